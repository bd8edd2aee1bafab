"""JUnit, GitHub and Markdown: well-formed whatever the cases are called."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fp4sim.cli.app import app
from fp4sim.report.github import error_lines, tell_github
from fp4sim.report.golden_text import results_markdown
from fp4sim.report.junit import junit_xml
from fp4sim.report.verify_model import Alarm, CaseResult, Closeness, Count, Finding, StochasticResult, VerifyResult

HOSTILE = [
    "a\"b'<&>]]>",
    "line\nbreak\r\ttab",
    "\x00\x01\x1b[31mred\x7f",
    "\ud800 lone",
    "\ufffe\uffff",
    "::error::injected%0A",
    "| pipe `code` <script>alert(1)</script> [link](x)",
    "x" * 5000,
    "emoji 🙂 ü",
    "",
]
CLOSE = Closeness(1, 4, 1.0, (0,), 1.0, (0,))


def verdict(names, wrong=1, repro="fp4sim verify 'a b.npz' --spec nvfp4"):
    finding = Finding("scale.truncated", "scales", "the scale was truncated <not> & rounded\nat all", 1, 1)
    cases = tuple(
        CaseResult(name, (4,), "float32", {"codes": Count(wrong, 4)}, CLOSE, findings=(finding,) if wrong else ())
        for name in names
    )
    return VerifyResult(
        "e2m1/16@e4m3@rn@ts:tensor", "nvfp4", names[0] if names else "", cases, repro, {}, version="0.1", bits_version=1
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_junit_parses(name):
    text = junit_xml([verdict([name, "fine"])])
    root = ET.fromstring(text.encode("utf-8"))
    suite = root.find("testsuite")
    assert (root.get("tests"), root.get("failures"), suite.get("tests")) == ("2", "2", "2")
    case, failure = root.find(".//testcase"), root.find(".//failure")
    assert case.get("classname") == "nvfp4"
    assert failure.get("type") == "scale.truncated"
    assert failure.get("message").startswith("codes 1/4; the scale was truncated")
    assert "repro: fp4sim verify" in failure.text
    properties = {p.get("name"): p.get("value") for p in case.iter("property")}
    assert properties == {"fp4sim.codes_mismatched": "1", "fp4sim.codes_compared": "4"}


def test_junit_of_right_cases_has_no_failures():
    root = ET.fromstring(junit_xml([verdict(["a", "b"], wrong=0), verdict(["c"], wrong=0)]))
    assert (root.get("tests"), root.get("failures")) == ("3", "0")
    assert root.find(".//failure") is None


def test_junit_of_alarms():
    stochastic = StochasticResult(8, 100, 0.0, (), None, (Alarm("zeros", "every draw is zero"),))
    case = CaseResult("c", (4,), "float32", {"codes": Count(0, 4)}, CLOSE, stochastic=stochastic)
    result = VerifyResult("s", "s", "", (case,), "", {}, version="0", bits_version=1)
    failure = ET.fromstring(junit_xml([result])).find(".//failure")
    assert "zeros" in failure.get("message")
    assert "every draw is zero" in failure.text


@pytest.mark.parametrize("name", HOSTILE)
def test_annotations_are_one_line_each(name):
    text = error_lines([verdict([name])])
    assert text.count("\n") == 1
    assert text.startswith("::error title=")
    head, _, message = text[len("::error title=") :].partition("::")
    assert ":" not in head.replace("%3A", "")
    assert "," not in head
    assert message.startswith("codes 1/4")
    assert text.rstrip("\n").isprintable()


def test_annotations_are_limited():
    lines = error_lines([verdict([f"c{i}" for i in range(30)])]).splitlines()
    assert len(lines) == 10
    assert "21 more wrong cases" in lines[-1]
    assert len(error_lines([verdict([f"c{i}" for i in range(10)])]).splitlines()) == 10
    assert error_lines([verdict(["a"], wrong=0)]) == ""


@pytest.mark.parametrize("name", HOSTILE)
def test_summaries_hold_their_tables(name):
    text = results_markdown([verdict([name])])
    assert "<script>" not in text
    assert "<not>" not in text
    assert text.startswith("### fp4sim: 1 wrong case of 1\n")


def test_github_is_told_inside_actions_only(tmp_path, capsys):
    summary = tmp_path / "summary.md"
    tell_github([verdict(["a"])], {"GITHUB_STEP_SUMMARY": str(summary)})
    assert not summary.exists()
    assert capsys.readouterr() == ("", "")
    summary.write_text("before\n")
    tell_github([verdict(["a"])], {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)})
    assert summary.read_text().startswith("before\n### fp4sim")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("::error")
    tell_github([verdict(["a"])], {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "no" / "x")})
    assert "::warning" in capsys.readouterr().err


def test_golden_check_tells_github_and_keeps_json_clean(tmp_path):
    runner = CliRunner()
    runner.invoke(app, ["golden", "make", str(tmp_path / "pack"), "--stimuli", "ties"])
    codes = tmp_path / "out" / "nvfp4" / "ties" / "codes.bin"
    codes.parent.mkdir(parents=True)
    codes.write_bytes(bytes((tmp_path / "pack" / "nvfp4" / "ties" / "codes.bin").stat().st_size))
    env = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    words = ["golden", "check", str(tmp_path / "pack"), str(tmp_path / "out"), "--json"]
    result = runner.invoke(app, [*words, "--junit", str(tmp_path / "j.xml")], env=env)
    assert result.exit_code == 1
    assert json.loads(result.stdout)["ok"] is False
    assert result.stderr.startswith("::error title=nvfp4%3A nvfp4/ties::codes")
    assert "wrong case" in (tmp_path / "summary.md").read_text()
    assert ET.parse(tmp_path / "j.xml").getroot().get("failures") == "1"


def test_the_action_keeps_inputs_out_of_scripts():
    """An input that reaches a script as text could be a command; in the environment it is data."""
    text = (Path(__file__).parents[2] / "action.yml").read_text()
    assert "using: composite" in text
    for step in text.split("    - ")[1:]:
        script = step.partition(" run:")[2]
        assert "${{" not in script
        assert not script or "shell: bash" in step
    inputs = set(re.findall(r"\$\{\{ inputs\.([\w-]+) \}\}", text))
    assert inputs <= set(re.findall(r"^  ([\w-]+):$", text, re.MULTILINE))
