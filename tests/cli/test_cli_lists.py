"""``fp4sim formats``, ``spec`` and ``sources``."""

from __future__ import annotations

import math

import pytest
from rich.cells import cell_len

from fp4sim.commands.describe_format import describe_format, list_formats
from fp4sim.commands.explain_spec import DIALECT_WORDS, RULE_WORDS, STEP_WORDS, explain_spec
from fp4sim.dialects import registry
from fp4sim.floats import ELEMENTS, SCALES
from fp4sim.grammar import parse
from fp4sim.io.generators import GENERATORS
from fp4sim.spec_names import DIALECT_ROWS, FLOAT_RULES, POW2_RULES, STEP_ROWS

SMALL = [fmt.name for fmt in ELEMENTS + SCALES if fmt.bits <= 8] + ["ue4m3", "e3m2", "ue5m3:max=61440", "E2M1 "]


@pytest.mark.parametrize("columns", ["80", "100"])
def test_formats_fit(run, columns):
    for args in (["formats"], ["formats", "e4m3"], ["formats", "e8m0", "--all"], ["sources"], ["spec", "nvfp4+sr"]):
        result = run(*args, env={"COLUMNS": columns})
        assert result.exit_code == 0
        assert max(map(cell_len, result.stdout.splitlines())) <= int(columns)


def test_e2m1_by_hand(run):
    text = run("formats", "e2m1").stdout
    assert "0b1_00_1" in text
    rows = {code.code: code for code in describe_format("e2m1").codes}
    assert [rows[c].value for c in range(8)] == [0, 0.5, 1, 1.5, 2, 3, 4, 6]
    assert [rows[c].midpoint for c in range(8)] == [0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5, None]
    assert [rows[c].tie_to for c in range(8)] == [0, 2, 2, 4, 4, 6, 6, None]
    assert math.copysign(1, rows[8].value) == -1
    assert (rows[9].midpoint, rows[9].tie_to) == (-0.75, 10)


@pytest.mark.parametrize("name", SMALL)
def test_codes_are_consistent(run_json, name):
    row = run_json("formats", name, "--json")["formats"][0]
    codes = row["codes"]
    assert len(codes) == 1 << row["bits"]
    assert max(code["value"] for code in codes if code["value"] is not None) == row["max"]
    for code in codes:
        assert int(code["fields"].replace("_", ""), 2) == code["code"]
        assert (code["value"] is None) == (code["special"] in ("NaN", "Inf", "-Inf"))
        if code["tie_to"] is not None:
            assert code["tie_to"] % 2 == 0


@pytest.mark.parametrize("name", ["bf16", "fp32"])
def test_wide_formats_are_summarized(run, name):
    text = run("formats", name).stdout
    assert "too many to list" in text
    assert describe_format(name).codes is None


def test_signed_and_unsigned_e4m3():
    assert (describe_format("e4m3").bits, describe_format("ue4m3").bits) == (8, 7)
    assert {row.role for row in list_formats()} == {"element", "operand", "scale"}


def test_all_lists_negative_codes(run):
    assert "0b1_1111_110" not in run("formats", "e4m3").stdout
    assert "0b1_1111_110" in run("formats", "e4m3", "--all").stdout


def test_every_name_of_a_spec_has_words():
    assert set(STEP_WORDS) == set(STEP_ROWS)
    assert set(RULE_WORDS) == set(POW2_RULES + FLOAT_RULES)
    assert set(DIALECT_WORDS) <= set(DIALECT_ROWS)


@pytest.mark.parametrize(
    "text",
    ["nvfp4", "mxfp4@rceil+sr:bits=8", "e2m1/16x16@ue5m3:max=61440", "bf16", "e2m1/row@fp32", "nvfp4@ts:128:bound=256"],
)
def test_explain_spec(run_json, text):
    row = run_json("spec", text, "--json")["specs"][0]
    spec = parse(text)
    assert (row["spec"], row["short"], row["slug"]) == (str(spec), spec.short, spec.slug)
    assert row["bits_per_element"] == spec.bits_per_element
    assert row["unavailable"] is None
    written = [part for part, _ in row["parts"]]
    assert all(part in written for part in str(spec.element).split())
    assert all(meaning for _, meaning in row["parts"])


def test_explain_says_what_is_not_there(run, monkeypatch):
    monkeypatch.delitem(registry._MODULES, "quartet2")
    assert "not in this version" in explain_spec(parse("nvfp4@quartet2")).unavailable
    result = run("spec", "nvfp4@quartet2", "mxfp4,bf16")
    assert result.exit_code == 0
    assert result.stdout.count("Not computed") == 1
    assert result.stdout.count("canonical") == 3


@pytest.mark.parametrize("text", ["nvfp4+quest", "nvfp4+mxplus", "mxfp4+mseden", "nvfp4+rht:24"])
def test_explain_says_what_has_no_meaning(run, text):
    assert text in explain_spec(parse(text)).unavailable
    assert "Not computed" in run("spec", text).stdout


@pytest.mark.parametrize("name", [row.name for row in DIALECT_ROWS.values() if row.available])
def test_every_dialect_that_computes_has_words(name):
    assert name in DIALECT_WORDS


def test_sources(run, run_json):
    data = run_json("sources", "--json")
    assert [row["name"] for row in data["synthetic"]] == [row.name for row in GENERATORS]
    assert ".safetensors" in data["files"]
    text = run("sources").stdout
    assert "nu=5" in text
    for row in GENERATORS:
        line = next(line for line in text.splitlines() if line.startswith(f"{row.name} "))
        assert (line.split()[1] == "yes") == row.in_suite
