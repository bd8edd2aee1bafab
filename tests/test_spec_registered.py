"""The table of names against what is built: a step or dialect computes, or says which do."""

from dataclasses import replace

import numpy as np
import pytest

import fp4sim
from fp4sim import parse
from fp4sim.dialects import registry as dialects
from fp4sim.errors import UsageError
from fp4sim.estimators import registry as steps
from fp4sim.spec_names import DIALECT_ROWS, DIALECTS, STEP_ROWS, STEPS

X = np.random.default_rng(2).standard_normal((2, 256)).astype(np.float32)
HEADS = dict.fromkeys(("minmse", "quest", "mxplus"), "mxfp4")  # what a step stands behind, where that is not nvfp4


def with_step(name):
    """A spec with the step and the same one without."""
    head = HEADS.get(name, "nvfp4")
    return parse(f"{head}+{name}"), parse(head)


def test_the_names_table_agrees_with_what_is_registered():
    assert {row.name for row in DIALECTS if row.available} == set(dialects.available())
    for name in dialects.available():
        assert dialects.dialect_of(parse(f"e2m1@{name}")).name == name
    assert {row.name for row in STEPS if row.available} == set(steps.available())
    assert len(steps.available()) == len(set(steps.available()))


@pytest.mark.parametrize("row", DIALECTS, ids=lambda row: row.name)
def test_a_dialect_computes_or_says_which_do(row):
    head = "e2m1" if row.cast_only else "nvfp4" if row.float_scales else "mxfp4"
    spec = parse(f"{head}@{row.name}")
    if row.available:
        assert fp4sim.quantize(X, spec).spec == spec
        return
    with pytest.raises(UsageError, match=rf"dialect '{row.name}' is not in this version; there is: .*\bte\b"):
        fp4sim.quantize(X, spec)
    with pytest.raises(UsageError, match="is not in this version"):
        fp4sim.compare(X, str(spec))


@pytest.mark.parametrize("row", STEPS, ids=lambda row: row.name)
def test_a_step_that_is_available_changes_what_comes_out(row):
    """A step that parsed and was then passed over would give the bits of the format without it."""
    if not row.available:
        with pytest.raises(UsageError, match=rf"step '\+{row.name}' is not in this version"):
            fp4sim.quantize(X, with_step(row.name)[0])
        return
    spec, bare = (fp4sim.quantize(X, one) for one in with_step("max:4" if row.name == "max" else row.name))
    assert spec.spec.has(row.name) or row.name == "rn"
    same = spec.dequantize().tobytes() == bare.dequantize().tobytes()
    # dge acts on gradients, rn is the default, and no element of X is a tie
    assert same == (row.name in ("dge", "rn", "rna", "rnz", "rnu"))


@pytest.mark.parametrize("name", ["rna", "rnz", "rnu"])
def test_roundings_that_differ_at_ties(name):
    ties = np.tile(np.array([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5, 6] * 2, np.float32), (2, 2))
    spec, bare = (fp4sim.quantize(ties, one).dequantize() for one in with_step(name))
    assert (spec != bare).any()


def test_a_name_that_is_not_built_says_so(monkeypatch):
    monkeypatch.setitem(STEP_ROWS, "sr", replace(STEP_ROWS["sr"], available=False))
    with pytest.raises(UsageError, match=r"step '\+sr' is not in this version; there is: rn .*\brht\b"):
        fp4sim.quantize(X, "nvfp4+sr")
    with pytest.raises(UsageError, match=r"step '\+sr' is not in this version"):
        fp4sim.compare(X, "nvfp4+sr")
    monkeypatch.delitem(dialects._MODULES, "quartet2")
    with pytest.raises(UsageError, match=r"dialect 'quartet2' is not in this version; there is: .*\bte\b"):
        fp4sim.quantize(X, "nvfp4@quartet2")
    assert "quartet2" in DIALECT_ROWS
