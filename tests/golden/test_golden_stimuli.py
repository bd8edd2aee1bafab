"""The stimuli show what they say they show."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import fp4sim
from fp4sim.errors import NothingComparedError, UsageError
from fp4sim.golden.blocks import facts_of
from fp4sim.golden.cases import cases_of, check_specs
from fp4sim.golden.stimuli import NAMES, STIMULI, inputs_of, named

SPECS = ["nvfp4", "mxfp4", "mxfp4@rceil", "nvfp4/16x16", "e2m1/row@fp32", "nvfp4@ts:128", "nvfp4+rht:64", "e4m3"]


def make(name, spec="nvfp4", seed=0):
    return inputs_of(named(name)[0], fp4sim.parse(spec), seed)


@pytest.mark.parametrize("spec", SPECS)
def test_every_stimulus_is_quantized(spec):
    cases = list(cases_of([fp4sim.parse(spec)], STIMULI))
    assert len(cases) > 10
    assert len({case.name for case in cases}) == len(cases)
    assert all(case.x.size for case in cases)


@pytest.mark.parametrize("spec", ["nvfp4", "mxfp4", "mxfp4@rceil", "nvfp4/16x16", "nvint4", "e4m3/32@e8m0@floor"])
def test_exhaustive_holds_every_code_under_every_scale(spec):
    parsed = fp4sim.parse(spec)
    (one,) = make("exhaustive", spec)
    packed = fp4sim.quantize(one.x, parsed)
    assert np.array_equal(packed.dequantize(), one.x)  # every value is exact
    facts = facts_of(parsed)
    if parsed.scale.bits <= 8:
        assert set(facts.scales / facts.unit) <= set(parsed.scale.magnitudes()[np.unique(packed.block_scale)])
    assert set(np.unique(packed.codes)) >= set(range(parsed.element.max_code + 1))


def test_ties_are_ties():
    (one,) = make("ties")
    packed = fp4sim.quantize(one.x, "nvfp4")
    rz, rna = fp4sim.quantize(one.x, "nvfp4+rnz"), fp4sim.quantize(one.x, "nvfp4+rna")
    assert np.count_nonzero(rz.codes != packed.codes) > 20
    assert np.count_nonzero(rna.codes != packed.codes) > 20


@pytest.mark.parametrize("spec", ["nvfp4", "mxfp4@even", "mxfp4@rceil", "mxfp4@ceil"])
def test_scale_ties_tell_rules_apart(spec):
    (one,) = make("scale-ties", spec)
    right = fp4sim.quantize(one.x, spec).block_scale
    others = ["nvfp4@down", "nvfp4@up"] if spec == "nvfp4" else ["mxfp4@floor", "mxfp4@log2"]
    for other in others:
        assert np.count_nonzero(fp4sim.quantize(one.x, other).block_scale != right) > 5


def test_exponents_span_float32():
    everything = make("exponents")
    amax = [float(np.abs(one.x).max()) for one in everything]
    assert min(amax) == 2.0**-149
    assert max(amax) == 2.0**127
    assert len(everything) > 10  # one tensor each, since one tensor scale spans a tensor
    assert len(make("exponents", "mxfp4")) == 1


def test_amax_is_bf16_of_many_sizes():
    amax = set()
    for one in make("amax"):
        assert one.x.dtype == ml_dtypes.bfloat16
        amax.add(float(np.abs(one.x.astype(np.float32)).max()))
    assert len(amax) == len(make("amax"))


def test_specials():
    found = {one.name: one.x for one in make("specials")}
    assert not found["zero-tensor"].any()
    assert np.count_nonzero(found["one-nonzero"]) == 1
    assert np.isnan(found["nan"]).sum() == 1
    assert np.isposinf(found["inf"]).sum() == 1
    assert np.isneginf(found["minus-inf"]).any()
    assert (np.signbit(found["minus-zero"]) & (found["minus-zero"] == 0)).any()
    assert np.abs(found["flt-max"]).max() == np.finfo(np.float32).max
    assert 0 < np.abs(found["subnormals"]).max() < np.finfo(np.float32).tiny


def test_quantized_data_stays_as_it_is():
    (one,) = make("quantized", "mxfp4")
    assert np.array_equal(fp4sim.quantize(one.x, "mxfp4").dequantize(), one.x)


def test_padding_is_poison():
    (one,) = make("padding")
    rows, cols = one.x.shape
    assert np.array_equal(one.padded[:rows, :cols], one.x)
    rest = one.padded.copy()
    rest[:rows, :cols] = np.nan
    assert not np.isfinite(rest[np.abs(rest) != np.finfo(np.float32).max]).any()


def test_seeds_change_data_and_equal_seeds_do_not():
    assert np.array_equal(make("gaussian", seed=1)[0].x, make("gaussian", seed=1)[0].x)
    assert not np.array_equal(make("gaussian", seed=1)[0].x, make("gaussian", seed=2)[0].x)


@pytest.mark.parametrize("spec", ["nvfp4+sr", "nvfp4+mseden", "nvfp4@ts:given"])
def test_specs_without_one_right_answer_are_refused(spec):
    with pytest.raises(UsageError, match=r"golden|ts:given"):
        check_specs([fp4sim.parse(spec)])


def test_wide_elements_are_refused():
    with pytest.raises(UsageError, match="8 bits"):
        list(cases_of([fp4sim.parse("bf16")], named("gaussian")))


def test_names():
    assert {one.name for one in named("all")} == set(NAMES)
    with pytest.raises(UsageError, match="no stimulus 'x'"):
        named("ties,x")
    with pytest.raises(UsageError, match="none"):
        named(" , ")
    with pytest.raises(NothingComparedError):
        list(cases_of([fp4sim.parse("e4m3")], named("scale-ties")))
