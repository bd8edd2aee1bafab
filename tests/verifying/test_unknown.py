"""Kernels that are wrong in no way that the explainer knows: it says unknown, and nothing false."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fp4sim
from fp4sim.verifying.check import verify_dump
from fp4sim.verifying.dump import dump_of
from tests.verifying.inputs import many_amax, wide
from tests.verifying.kernel import NV, F


def some_bits_flipped(x):
    dump = NV(x)
    rng = np.random.default_rng(1)
    return {**dump, "codes": dump["codes"] ^ (rng.random(dump["codes"].shape) < 0.01).astype(np.uint8)}


def random_codes(x):
    return {**NV(x), "codes": np.random.default_rng(2).integers(0, 16, x.shape).astype(np.uint8)}


def random_scales(x):
    dump = NV(x)
    return {**dump, "scales": np.random.default_rng(3).integers(8, 120, dump["scales"].shape).astype(np.uint8)}


def shuffled_scales(x):
    dump = NV(x)
    return {
        **dump,
        "scales": np.random.default_rng(4).permutation(dump["scales"].reshape(-1)).reshape(dump["scales"].shape),
    }


def noisy_scaling(x):
    noise = np.random.default_rng(5).uniform(0.98, 1.02, (x.shape[0], x.shape[1] // 16, 16)).astype(F)
    return replace(NV, scaled=lambda b, s, g, a: NV.scaled(b * noise, s, g, a))(x)


KERNELS = (
    some_bits_flipped,
    random_codes,
    random_scales,
    shuffled_scales,
    noisy_scaling,
    replace(NV, amax=lambda b: F(2.5) * np.sqrt((b * b).mean(axis=-1))),
    replace(NV, amax=lambda b: F(2) * np.median(np.abs(b), axis=-1)),
    replace(NV, amax=lambda b: np.sort(np.abs(b), axis=-1)[..., -2]),
)


@pytest.mark.parametrize("make", [many_amax, wide])
@pytest.mark.parametrize("kernel", KERNELS)
def test_unknown_stays_unknown(kernel, make):
    with np.errstate(all="ignore"):
        dump = kernel(make(11))
    case = verify_dump(dump_of(dump), fp4sim.parse("nvfp4")).cases[0]
    assert not case.ok
    assert {finding.cause for finding in case.findings} == {"unknown"}, [f.sentence for f in case.findings]


def test_one_wrong_bit_is_not_a_theory():
    dump = NV(many_amax(12))
    dump["codes"][3, 5] ^= 2
    case = verify_dump(dump_of(dump), fp4sim.parse("nvfp4")).cases[0]
    assert case.counts["codes"].wrong == 1
    assert [finding.cause for finding in case.findings] == ["unknown"]
