"""The pytest plugin: fixture ``fp4_oracle``, marker ``fp4``, option ``--fp4sim-report``. fp4sim loads when a test uses it.

@pytest.mark.fp4(spec="mxfp4@rceil", layout="128x4")
def test_kernel(fp4_oracle):
    x = torch.randn(128, 256, device="cuda")
    fp4_oracle.assert_bit_exact(my_kernel(x), x)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from fp4sim.testing.oracle import Oracle

_MARKER = "fp4(spec, axis=-1, layout='auto', padding='zero', seed=0): what the fixture fp4_oracle holds a kernel to"
_KEYWORDS = ("spec", "axis", "layout", "padding", "seed", "explain", "threads")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--fp4sim-report``."""
    group = parser.getgroup("fp4sim")
    group.addoption(
        "--fp4sim-report",
        metavar="PATH",
        default=None,
        help="write what fp4_oracle found in each test: .json or .md",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker and, where a report is asked for, its writer."""
    config.addinivalue_line("markers", _MARKER)
    path = config.getoption("--fp4sim-report")
    if path is not None and not hasattr(config, "workerinput"):  # the workers of pytest-xdist report to the controller
        if Path(path).suffix.lower() not in (".json", ".md"):
            raise pytest.UsageError(f"--fp4sim-report {path}: the suffix is .json or .md")
        if not Path(path).parent.is_dir():
            raise pytest.UsageError(f"--fp4sim-report {path}: the folder does not exist; create it first")
        config.pluginmanager.register(_Report(Path(path)), "fp4sim-report")


@pytest.fixture
def fp4_oracle(request: pytest.FixtureRequest) -> Oracle:
    """fp4sim bound to the marker's spec: ``quantize(x)``, ``verify(actual, x)``, ``assert_bit_exact(actual, x)``."""
    from fp4sim.testing.oracle import Oracle

    def record(name: str, value: object) -> None:
        # what the fixture record_property does, but for its warning, which fails runs under -W error --junitxml
        request.node.user_properties.append((name, value))

    marker = request.node.get_closest_marker("fp4")
    if marker is None:
        return Oracle(record)
    options = dict(marker.kwargs)
    if len(marker.args) > 1 or (marker.args and "spec" in options) or not set(options) <= set(_KEYWORDS):
        raise pytest.UsageError(f"pytest.mark.fp4 takes a spec and {', '.join(_KEYWORDS[1:])}")
    spec = marker.args[0] if marker.args else options.pop("spec", "nvfp4")
    return Oracle(record, spec, **options)


class _Report:
    """Collects the properties of every test that used the fixture and writes them at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a test's numbers."""
        numbers = {name: value for name, value in report.user_properties if name.startswith("fp4sim")}
        if report.when == "call" and numbers:
            self.rows.append({"test": report.nodeid, "outcome": report.outcome, "numbers": numbers})

    def pytest_sessionfinish(self) -> None:
        """Write the report, whole or not at all."""
        from fp4sim.io.writer import write_atomically
        from fp4sim.testing.plugin_report import report_text

        with write_atomically(self.path, "w") as file:
            file.write(report_text(self.rows, self.path.suffix.lower()))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say where it is."""
        terminalreporter.write_line(f"fp4sim: {len(self.rows)} tests reported in {self.path}")
