"""``fp4sim estimators``, and that what the catalogue says is true."""

from __future__ import annotations

import numpy as np
import pytest
from rich.cells import cell_len

import fp4sim
from fp4sim.commands.describe_estimator import (
    CLAIM_WORDS,
    PARAMETER_WORDS,
    describe_estimator,
    list_estimators,
)
from fp4sim.dialects import mx
from fp4sim.estimators import registry
from fp4sim.estimators.catalogue import CATALOGUE
from fp4sim.estimators.pipeline import is_random
from fp4sim.floats import E2M1
from fp4sim.grammar import parse
from fp4sim.recipes.registry import recipes
from fp4sim.spec_names import STEPS

INFOS = [info for _, info in CATALOGUE]
NAMES = [info.name for info in INFOS]
X = np.random.default_rng(11).standard_normal((2, 256)).astype(np.float32)
by_name = pytest.mark.parametrize("info", INFOS, ids=NAMES)


@by_name
def test_every_example_computes_what_it_is_an_example_of(info):
    spec = parse(info.example)
    values = fp4sim.quantize(X, spec).dequantize()
    assert 0.003 < ((values - X) ** 2).sum() / (X**2).sum() < 0.04
    row = describe_estimator(info.name)
    if row.kind == "step" and info.name not in ("rtn",):
        assert spec.has(info.name)
    assert parse(row.spec) == spec


@by_name
def test_every_entry_says_where_it_comes_from(info):
    assert info.claim in CLAIM_WORDS
    assert any(word in info.source for word in ("arXiv", "MS-AMP", "IST-DASLab", "OCP", "fp4sim's own"))
    for text in (info.title, info.definition, info.source):
        assert text.isprintable()
        assert text == text.strip()
    assert info.definition.endswith(".")


def test_every_step_has_an_entry_and_every_parameter_words():
    rows = list_estimators()
    described = {name for row in rows for name in row.spellings}
    assert described | {info.name for info in INFOS} >= set(registry.available())
    assert len(set(NAMES)) == len(NAMES)
    assert set(PARAMETER_WORDS) == {(step.name, parameter.name) for step in STEPS for parameter in step.parameters}
    for row in rows:
        if row.kind == "step":
            wanted = [p.name for step in STEPS if step.name == row.name for p in step.parameters]
            assert [parameter.name for parameter in row.parameters] == wanted


# --- Claims -----------------------------------------------------------------------------------------------------------

DRAWS = 400


@pytest.mark.parametrize("info", [i for i in INFOS if i.claim in ("biased", "unbiased")], ids=lambda info: info.name)
def test_claims(info):
    """Unbiased: the mean of 400 draws is x within its own scatter. Biased: it is not, or nothing is drawn at all."""
    spec = parse(info.example)
    if not is_random(spec):
        assert info.claim == "biased"
        once, twice = (fp4sim.quantize(X, spec, draw=draw).dequantize() for draw in (0, 1))
        assert once.tobytes() == twice.tobytes()
        assert once.tobytes() != X.tobytes()
        return
    draws = np.stack([fp4sim.quantize(X, spec, draw=draw).dequantize("float64") for draw in range(DRAWS)])
    error = draws.mean(axis=0) - X
    scatter = draws.var(axis=0, ddof=1) / DRAWS
    shrinkage = (error * X).sum() / np.sqrt((scatter * X**2).sum())  # of <x_hat, x>, in standard errors
    moving = scatter > 0
    assert np.abs(error[~moving]).max(initial=0) < 0.02 * np.abs(X).max()  # so near a value that no draw left it
    spread = (error[moving] ** 2 / scatter[moving]).mean()  # 1 where no element is biased
    if info.claim == "unbiased":
        assert abs(shrinkage) < 4
        assert spread == pytest.approx(1, abs=0.3)
    else:
        assert abs(shrinkage) > 6 or spread > 1.6


@pytest.mark.parametrize("exponent", [100, 127, 200])
def test_oas_has_the_exponents_of_even(exponent):
    """Every significand: the smallest power of two that saturates nothing, halved where amax is below 3.5 of it."""
    amax = (np.arange(1 << 23, dtype=np.uint32) | np.uint32(exponent << 23)).view(np.float32)
    code = mx.scale_codes(amax, E2M1, "rceil").astype(np.int32)
    scaled = np.ldexp(amax, 127 - code)
    assert np.array_equal(np.where(scaled < 3.5, code - 1, code), mx.scale_codes(amax, E2M1, "even"))
    assert parse("mxfp4@oas") == parse("mxfp4@even")


# --- The command ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [80, 100])
def test_everything_fits(run, columns):
    for words in ([], *(["show", name] for name in NAMES)):
        result = run("estimators", *words, env={"COLUMNS": str(columns)})
        assert result.exit_code == 0, result.stderr
        assert max(map(cell_len, result.stdout.splitlines())) <= columns


def test_training_recipes_are_named_and_pointed_to(run):
    text = " ".join(run("estimators").stdout.split())
    assert all(recipe.name in text.split("fp4sim bias --recipe: ")[1].split() for recipe in recipes())
    assert "fp4sim bias --recipe quartet2 --verbose" in run("estimators", "show", "quartet2").stderr


def test_the_list_has_every_estimator_on_a_line(run):
    lines = run("estimators", env={"COLUMNS": "100"}).stdout.splitlines()
    for info in INFOS:
        (line,) = (line for line in lines if line.split(" ")[0] == info.name)
        assert info.example in line
        assert info.claim.split()[0] in line


@by_name
def test_show_says_it_all(run, info):
    text = " ".join(run("estimators", "show", info.name).stdout.split())
    for part in (info.title, info.claim, info.definition, info.source, info.example):
        assert " ".join(part.split()) in text
    for parameter in describe_estimator(info.name).parameters:
        assert f"+{parameter.step}{parameter.written}" in text


def test_parameters_of_an_example(run_json):
    (row,) = run_json("estimators", "show", "nvidia-wgrad", "--json")["estimators"]
    found = {f"+{p['step']}{p['written']}": (p["default"], p["value"]) for p in row["parameters"]}
    assert found == {
        "+rht:N": (128, 16),
        "+rht:te": (False, True),
        "+sr:bits=N": (32, 32),
        "+sr:clip": (False, True),
    }
    (row,) = run_json("estimators", "show", "pma", "--json")["estimators"]
    assert [p["name"] for p in row["parameters"]] == ["factor"]  # not those of the other steps of its example


def test_json(run_json):
    data = run_json("estimators", "--json")
    assert data["schema"] == "fp4sim.estimators/1"
    assert [row["name"] for row in data["estimators"]] == NAMES
    assert {row["kind"] for row in data["estimators"]} == {"step", "format", "recipe"}
    for words in (["show", "sr"], ["sr"]):
        (row,) = run_json("estimators", "--json", *words)["estimators"]
        assert row == data["estimators"][NAMES.index("sr")]


@pytest.mark.parametrize(("name", "found"), [("RNA", "rtn"), ("+sr", "sr"), ("@oas", "oas"), (" 4Over6", "4over6")])
def test_names_as_they_are_written(name, found):
    assert describe_estimator(name).name == found


@pytest.mark.parametrize(
    ("name", "offered"),
    [
        ("msden", "did you mean mseden"),
        ("four over six", "4over6"),
        ("nvidia", "nvidia-w"),
        ("zzz", "there are rtn sr"),
    ],
)
def test_unknown_names(run, name, offered):
    result = run("estimators", "show", name)
    assert result.exit_code == 2
    assert offered in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.mark.parametrize("words", [["show"], ["show", "sr", "rht"], ["sr", "rht"]])
def test_other_words(run, words):
    result = run("estimators", *words)
    assert result.exit_code == 2
    assert "show NAME" in result.stderr


def test_hostile_names(run):
    result = run("estimators", "show", "\x1b[31m" + "x" * 5000)
    assert result.exit_code == 2
    assert "\x1b" not in result.stderr
    assert len(result.stderr) < 500
