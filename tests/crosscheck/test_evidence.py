"""Evidence: written, read back, rendered, and refused where it is damaged; the commands around it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fp4sim.cli.app import app
from fp4sim.crosscheck import __main__ as module
from fp4sim.crosscheck.command import default_output, read_evidence, write_evidence
from fp4sim.crosscheck.registry import all_checks
from fp4sim.crosscheck.run import chosen, run_checks
from fp4sim.errors import UnreadableError, UsageError
from fp4sim.report.evidence_files import evidence_markdown
from fp4sim.report.evidence_model import Evidence
from fp4sim.report.evidence_text import evidence_text
from fp4sim.report.render import render
from fp4sim.rounding import Rounding
from tests.crosscheck import simulated as sim

REPORTS = Path(__file__).parents[2] / "reports"
QUICK_ONES = ("rcp-approx", "nvidia-casts", "cvt-rs", "mma-eight-bit")


def evidence(capability: tuple[int, int] = (12, 0), wrong: bool = False) -> Evidence:
    planted = sim.casting("nvidia", sim.planted_cast("e2m1", rounding=Rounding.RZ)) if wrong else {}
    device = sim.SimulatedDevice(capability, sim.right() | planted)
    return run_checks(device, chosen(all_checks(), QUICK_ONES, ()), sim.TINY)


def test_evidence_comes_back_as_it_was_written(tmp_path: Path) -> None:
    made, path = evidence(), tmp_path / "e.json"
    write_evidence(made, path)
    again = read_evidence(path)
    assert again == made
    assert evidence_text(again) == evidence_text(made)
    stored = json.loads(path.read_text())
    assert (stored["schema"], stored["ok"]) == ("fp4sim.evidence/1", True)
    assert all(len(digest) == 64 for digest in stored["sources"].values())
    assert "blackwell_mma.cu" in stored["sources"]


def test_evidence_names_no_host_user_or_path(tmp_path: Path) -> None:
    text = json.dumps(evidence().to_dict())
    secrets = [os.uname().nodename, str(Path.home()), str(tmp_path), str(Path(module.__file__).parents[2])]
    assert not [secret for secret in secrets if len(secret) > 3 and secret in text]


def test_text_of_a_run_where_all_is_right_and_of_one_where_not() -> None:
    good = evidence_text(evidence())
    one_line = " ".join(good.split())
    assert "ok      nvidia-casts" in good
    assert "skipped cvt-rs" in good
    assert "sm_120a has no stochastic conversion to FP4" in one_line
    assert good.rstrip().splitlines()[-1].startswith("OK: 3 checks passed, 1 skipped;")
    bad = evidence_text(evidence(wrong=True))
    assert "FAILED  nvidia-casts" in bad
    assert "e2m1: first at 0x" in bad
    assert "FAILED: 1 failed, 2 passed, 1 skipped" in bad
    assert max(map(len, (good + bad).splitlines())) <= 100


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "fp4sim.evidence/2"},
        {"checks": [{"name": "x"}]},
        {"checks": 3},
        {"device": None},
        {"bits_version": "one"},
    ],
)
def test_damaged_evidence_is_refused_in_a_line(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "e.json"
    path.write_text(json.dumps(evidence().to_dict() | change))
    with pytest.raises(UnreadableError) as caught:
        read_evidence(path)
    assert "\n" not in str(caught.value)


def test_hostile_names_are_harmless_on_the_terminal(tmp_path: Path) -> None:
    data = evidence().to_dict()
    data["device"]["name"] = "\x1b[31mred"
    path = tmp_path / "e.json"
    path.write_text(json.dumps(data))
    assert "\x1b" not in evidence_text(read_evidence(path))
    assert default_output(read_evidence(path)).name == "evidence-31mred.json"


def interrupted(*args: Any, **options: Any) -> Evidence:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    device = sim.SimulatedDevice((9, 0), sim.right() | {"rcp_table": interrupt})
    return run_checks(device, chosen(all_checks(), QUICK_ONES, ()), sim.TINY)


def test_an_interrupted_run_is_written_and_ends_with_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fp4sim.crosscheck.command.crosscheck", interrupted)
    monkeypatch.setattr(module, "crosscheck", interrupted)
    ways = {
        "command.json": lambda path: CliRunner().invoke(app, ["crosscheck", "-o", path]).exit_code,
        "module.json": lambda path: module.main(["-o", path]),
    }
    for name, run in ways.items():
        assert run(str(tmp_path / name)) == 130
        kept = read_evidence(tmp_path / name)
        assert [check.status for check in kept.checks] == ["pass", "skip", "skip", "skip"]
        assert (kept.interrupted, kept.ok) == (True, False)
        assert json.loads((tmp_path / name).read_text())["ok"] is False
    text = evidence_text(kept)
    assert text.rstrip().splitlines()[-1].startswith("INCOMPLETE: interrupted, 1 passed, 3 skipped; ")
    assert evidence_markdown(kept).startswith("### INCOMPLETE: ")
    page = render(kept, ".html")
    assert "The run was interrupted" in page
    assert "Every compared bit is right" not in page
    assert module.main(["--show", str(tmp_path / "module.json")]) == 1


def test_show_needs_no_gpu_and_no_cupy(tmp_path: Path) -> None:
    path = tmp_path / "e.json"
    write_evidence(evidence(), path)
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('cupy', 'rich', 'typer', 'ml_dtypes', 'numba', 'scipy')));"
        "from fp4sim.crosscheck.__main__ import main; sys.exit(main(['--show', sys.argv[1]]))"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout == evidence_text(evidence()).replace(evidence().date, read_evidence(path).date)


def test_show_by_the_command(tmp_path: Path) -> None:
    path = tmp_path / "e.json"
    write_evidence(evidence(), path)
    shown = CliRunner().invoke(app, ["crosscheck", "--show", str(path)])
    assert shown.exit_code == 0
    assert "OK: 3 checks passed" in shown.stdout
    asked = CliRunner().invoke(app, ["crosscheck", "--show", str(path), "--json"])
    assert json.loads(asked.stdout) == evidence().to_dict() | {"checks": json.loads(asked.stdout)["checks"]}
    assert CliRunner().invoke(app, ["crosscheck", "--show", str(path), "--quick"]).exit_code == 2
    assert CliRunner().invoke(app, ["crosscheck", "--show", str(tmp_path / "none.json")]).exit_code == 3


def test_without_a_gpu_one_line_and_exit_4() -> None:
    try:
        import cupy

        if cupy.cuda.runtime.getDeviceCount():
            pytest.skip("there is a GPU")
    except Exception:
        pass
    for command in (["-m", "fp4sim", "crosscheck"], ["-m", "fp4sim.crosscheck"]):
        run = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
        assert run.returncode == 4
        assert run.stdout == ""
        assert len(run.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("path", sorted((REPORTS / "evidence").glob("*.json")), ids=lambda path: path.name)
def test_the_projects_own_evidence_renders(path: Path) -> None:
    kept = read_evidence(path)
    assert kept.device["name"] in evidence_text(kept)
    assert not any("/root" in text or "/home" in text for text in (path.read_text(), evidence_text(kept)))


def test_checks_are_chosen_by_name() -> None:
    with pytest.raises(UsageError, match="no check 'nonsense'; there are nvidia-casts"):
        chosen(all_checks(), ["nonsense"], ())
    names = [check.name for check in all_checks()]
    assert len(set(names)) == len(names)
    assert [check.name for check in chosen(all_checks(), ["mma-tiles"], ())] == ["mma-tiles"]
    assert all(not check.on_request for check in chosen(all_checks(), (), ()))


def test_output_is_checked_before_the_work(tmp_path: Path) -> None:
    for name in ("e.txt", "missing/e.json"):
        assert module.main(["-o", str(tmp_path / name)]) == 2
