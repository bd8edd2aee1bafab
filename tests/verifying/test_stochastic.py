"""Draws of stochastic kernels: right ones pass, and each fault has its alarm."""

from __future__ import annotations

import numpy as np
import pytest

import fp4sim
from tests.verifying.inputs import many_amax

X = many_amax(5)


def draws(spec, count, same_seed=False):
    return [fp4sim.quantize(X, spec, seed=0 if same_seed else seed) for seed in range(count)]


def check(spec, codes, first):
    return fp4sim.verify(X, spec, codes=codes, block_scale=first.block_scale, tensor_scale=first.tensor_scale)


def alarms(result):
    return {alarm.name for alarm in result.cases[0].stochastic.alarms if alarm.failed}


@pytest.mark.parametrize("spec", ["nvfp4+sr", "mxfp4+sr", "nvfp4+sr:bits=8", "nvfp4+sr:clip", "mxfp4@rceil+sr:bits=4"])
@pytest.mark.parametrize("count", [1, 6])
def test_right_kernels_pass(spec, count):
    made = draws(spec, count)
    result = check(spec, [one.packed for one in made], made[0])
    assert result.ok, str(result)
    found = result.cases[0].stochastic
    assert found.draws == count
    assert found.p_value is None or found.p_value > 1e-6
    assert fp4sim.parse(spec).random_bits in found.bits or fp4sim.parse(spec).random_bits > 16


def test_draws_stacked_in_one_array():
    made = draws("nvfp4+sr", 3)
    result = check("nvfp4+sr", np.stack([one.codes for one in made]), made[0])
    assert result.ok
    assert result.cases[0].stochastic.draws == 3


def test_all_zeros():
    made = draws("nvfp4+sr", 2)
    result = check("nvfp4+sr", [made[0].packed, np.zeros_like(made[0].packed)], made[0])
    assert not result.ok
    assert "all zeros" in alarms(result)


def test_nearest_instead():
    made = fp4sim.quantize(X, "nvfp4+sr")
    nearest = check("nvfp4+sr:clip", [fp4sim.quantize(X, "nvfp4").packed], fp4sim.quantize(X, "nvfp4"))
    assert "deterministic" in alarms(nearest)
    assert check("nvfp4+sr", made.packed, made).ok


def test_seed_ignored():
    made = draws("nvfp4+sr", 3, same_seed=True)
    result = check("nvfp4+sr", [one.packed for one in made], made[0])
    assert "seed ignored" in alarms(result)


def test_dependent_draws():
    first, second = draws("nvfp4+sr", 2)
    mixed = np.where(np.arange(first.packed.size).reshape(first.packed.shape) % 3 == 0, first.packed, second.packed)
    assert "dependent" in alarms(check("nvfp4+sr", [first.packed, mixed], first))


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_number_of_bits_is_told(bits):
    made = draws(f"nvfp4+sr:bits={bits}", 8)
    result = check("nvfp4+sr", [one.packed for one in made], made[0])
    assert "frequency" in alarms(result)
    assert result.cases[0].stochastic.bits == (bits,)
    assert f"{bits} random bits would fit" in " ".join(str(result).split())


def test_clipping_is_told():
    made = draws("nvfp4+sr:clip", 1)
    assert check("nvfp4+sr:clip", made[0].packed, made[0]).cases[0].stochastic.range_matched is False
    matched = draws("nvfp4+sr", 1)
    assert check("nvfp4+sr", matched[0].packed, matched[0]).cases[0].stochastic.range_matched is True


@pytest.mark.parametrize("base", ["nvfp4", "mxfp4"])
def test_range_not_matched_is_told(base):
    for spec, other in ((f"{base}+sr", f"{base}+sr:clip"), (f"{base}+sr:clip", f"{base}+sr")):
        made = draws(other, 2)
        result = check(spec, [one.packed for one in made], made[0])
        assert not result.ok
        assert "range" in alarms(result)
        assert f"right for {other}" in " ".join(str(result).split())


def test_scales_are_explained_too():
    made = draws("nvfp4+sr", 1)[0]
    scales = made.block_scale + np.uint8(1)
    result = fp4sim.verify(X, "nvfp4+sr", codes=made.packed, block_scale=scales)
    assert result.cases[0].findings[0].cause == "scale.offset"


def test_codes_that_are_no_neighbours():
    made = draws("nvfp4+sr", 1)[0]
    codes = np.array(made.codes)
    codes[4, ::7] ^= 8
    result = check("nvfp4+sr", codes, made)
    assert result.totals["codes"].wrong == codes[4, ::7].size


def test_swapped_nibbles_are_told():
    made = draws("nvfp4+sr", 1)[0]
    swapped = made.packed << np.uint8(4) | made.packed >> np.uint8(4)
    result = check("nvfp4+sr", swapped, made)
    assert [finding.cause for finding in result.cases[0].findings] == ["layout.nibbles_swapped"]
