"""The compiled kernels and the definition on tensors so small that factors overflow, vanish and make NaN of zeros."""

from __future__ import annotations

import numpy as np
import pytest

import fp4sim
from fp4sim.errors import UsageError
from fp4sim.statistic import by_definition
from fp4sim.verifying.dialects import variants

BASES = ("nvfp4", "nvfp4/16x16", "nvfp4+sr", "nvfp4+mseden", "mxfp4+sr")
SPECS = [spec for base in BASES for spec in variants(fp4sim.parse(base))]


def tensor(exponent: int) -> np.ndarray:
    """Zeros of both signs between normal values, rows of which most are smaller by 2^30 more."""
    x = np.random.default_rng(0).standard_normal((16, 128)) * 2.0**exponent
    x[2:] *= 2.0**-30
    x[:, ::3], x[:, 1::7] = 0.0, -0.0
    return x.astype(np.float32)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.short)
def test_bits_are_the_definitions(spec):
    compared = 0
    for exponent in (-149, -140, -126, 100):
        x = tensor(exponent)
        try:
            found = fp4sim.quantize(x, spec)
        except UsageError:  # a tensor scale that its format cannot hold
            continue
        with by_definition():
            expected = fp4sim.quantize(x, spec)
        assert np.array_equal(found.codes, expected.codes)
        assert np.array_equal(found.block_scale, expected.block_scale)
        compared += 1
    assert compared
