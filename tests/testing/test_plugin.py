"""The pytest plugin, in sessions of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

pytest_plugins = ["pytester"]

TESTS = """
import numpy as np, pytest, fp4sim

X = np.random.default_rng(0).standard_normal((16, 64)).astype(np.float32)

def test_default(fp4_oracle):
    fp4_oracle.assert_bit_exact(fp4_oracle.quantize(X), X)
    assert fp4_oracle.quantize(X).spec.short == "nvfp4"

@pytest.mark.fp4(spec="mxfp4@rceil", axis=0)
def test_marked(fp4_oracle):
    out = fp4sim.quantize(X, "mxfp4@rceil", axis=0)
    fp4_oracle.assert_bit_exact(out.dequantize(), X)
    assert not fp4_oracle.verify(-out.dequantize(), X)

@pytest.mark.fp4("mxfp4")
class TestWrong:
    def test_wrong(self, fp4_oracle):
        q = fp4_oracle.quantize(X)
        fp4_oracle.assert_bit_exact((q.packed, q.block_scale + 1), X)

def test_untouched():
    pass
"""


@pytest.fixture
def session(pytester, monkeypatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)

    def run(*args):
        return pytester.runpytest_subprocess("-p", "fp4sim.testing.plugin", "--strict-markers", *args)

    return run


def test_fixture_marker_and_report(pytester, session):
    pytester.makepyfile(TESTS)
    result = session("--fp4sim-report=report.json", "--junitxml=junit.xml", "-rf")
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["*Mismatched elements: *", "*scales 32/32*", "*fp4sim: 3 tests reported in *"])
    report = json.loads((pytester.path / "report.json").read_text())
    assert report["schema"] == "fp4sim.pytest/1"
    rows = {row["test"].split("::")[-1]: row for row in report["tests"]}
    assert set(rows) == {"test_default", "test_marked", "test_wrong"}
    assert rows["test_default"]["numbers"]["fp4sim.codes_mismatched"] == 0
    assert rows["test_marked"]["numbers"]["fp4sim.2.dequantized_mismatched"] > 0
    assert rows["test_wrong"]["outcome"] == "failed"
    assert rows["test_wrong"]["numbers"]["fp4sim.scales_mismatched"] == 32
    properties = {p.get("name"): p.get("value") for p in ET.parse(pytester.path / "junit.xml").iter("property")}
    assert properties["fp4sim.scales_mismatched"] == "32"
    assert properties["fp4sim.cause"].startswith("scale.")


def test_markdown_report(pytester, session):
    pytester.makepyfile(TESTS)
    session("--fp4sim-report=report.md")
    text = (pytester.path / "report.md").read_text()
    assert "scales 32/32" in text
    assert text.startswith("| Test |")


def test_reports_under_xdist(pytester, session):
    pytest.importorskip("xdist")
    pytester.makepyfile(TESTS)
    session("-p", "xdist", "-n", "2", "--fp4sim-report=report.json")
    assert len(json.loads((pytester.path / "report.json").read_text())["tests"]) == 3


@pytest.mark.parametrize("path", ["report.txt", "missing/report.json"])
def test_reports_that_cannot_be_written(pytester, session, path):
    pytester.makepyfile("def test(): pass")
    result = session(f"--fp4sim-report={path}")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*--fp4sim-report*"])


def test_bad_markers(pytester, session):
    pytester.makepyfile("import pytest\n@pytest.mark.fp4(dialect='te')\ndef test(fp4_oracle): pass\n")
    result = session()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*pytest.mark.fp4 takes a spec*"])


def test_the_plugin_loads_nothing_heavy():
    code = (
        "import sys, pytest, fp4sim.testing.plugin\n"
        "heavy = {'numpy', 'numba', 'scipy', 'ml_dtypes', 'torch', 'rich', 'typer'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_entry_point_is_declared():
    import tomllib
    from pathlib import Path

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"fp4sim": "fp4sim.testing.plugin"}


def test_properties_are_no_warning(pytester, session):
    pytester.makepyfile(TESTS)
    session("-W", "error", "--junitxml=junit.xml", "-k", "not wrong").assert_outcomes(passed=3, deselected=1)
    names = {p.get("name") for p in ET.parse(pytester.path / "junit.xml").iter("property")}
    assert "fp4sim.codes_mismatched" in names
