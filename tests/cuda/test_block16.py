"""cuda/block16.cuh, compiled as C++: the fast roundings against codec.cuh, which test_codec_host.py holds to the reference."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from tests.cuda.host import host_library

INFINITE = 0x7F800000
SEVEN = 0x40E00000


def mismatches(first: int, last: int, step: int, name: str = "host_nearest_mismatches") -> int:
    function = getattr(host_library("block16_host.cpp"), name)
    function.argtypes, function.restype = [ctypes.c_uint64] * 3, ctypes.c_uint64
    return int(function(first, last, step))


def test_nearest_sampled():
    """Every 1021st float, and every one from 2^-10 to 512 with a step of 97: all thresholds of both formats lie there."""
    assert mismatches(0, INFINITE, 1021) == 0
    assert mismatches(0x3A800000, 0x44000000, 97) == 0


def test_nearest_around_thresholds():
    """All floats next to a midpoint of either grid."""
    e2m1 = np.array([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5, 6], np.float32)
    values = np.concatenate(
        [np.arange(16) / 512, (1 + np.arange(8)[None] / 8) * 2.0 ** np.arange(-6, 9)[:, None]], axis=None
    )
    values = np.unique(values.astype(np.float32))
    for middle in np.concatenate([e2m1, (values[1:] + values[:-1]) / 2]).astype(np.float32).view(np.uint32):
        assert mismatches(int(middle) - 40, int(middle) + 40, 1) == 0


@pytest.mark.slow
def test_nearest_exhaustive():
    assert mismatches(0, INFINITE, 1) == 0


def below_7_mismatches(first: int, last: int, step: int) -> int:
    return mismatches(first, last, step, "host_below_7_mismatches")


def test_nearest_below_7_sampled():
    """Every float from 1/8 on, where all thresholds lie, and every 1021st below."""
    assert below_7_mismatches(0x3E000000, SEVEN, 1) == 0
    assert below_7_mismatches(0, 0x3E000000, 1021) == 0


def test_nearest_below_7_around_thresholds():
    """All floats next to a midpoint, to a value of the grid and to both ends; at 7 itself it is 8."""
    near = np.array([0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 5, 6], np.float32).view(np.uint32)
    for bits in near:
        assert below_7_mismatches(int(bits) - 4096, int(bits) + 4096, 1) == 0
    assert below_7_mismatches(0, 4096, 1) == 0
    assert below_7_mismatches(SEVEN - 4096, SEVEN, 1) == 0
    assert below_7_mismatches(SEVEN, SEVEN + 1, 1) == 1


@pytest.mark.slow
def test_nearest_below_7_exhaustive():
    assert below_7_mismatches(0, SEVEN, 1) == 0


def test_stochastic():
    """Random floats up to beyond the largest and down to the smallest, and draws at the edge of rounding up."""
    rng = np.random.default_rng(0)
    x = (rng.random(1 << 20) * np.exp2(rng.integers(-14, 10, 1 << 20))).astype(np.float32)
    x[:4096] = np.arange(4096) / 4096 / 256
    x[4096:8192] = np.exp2(rng.uniform(-149, -14, 4096))
    random = rng.integers(0, 1 << 32, x.size, dtype=np.uint32)
    cut = x.view(np.uint32) << np.uint32(12)
    random[1::3] = (0 - cut.astype(np.int64))[1::3].astype(np.uint32)
    random[2::3] = (-1 - cut.astype(np.int64))[2::3].astype(np.uint32)
    function = host_library("block16_host.cpp").host_stochastic_mismatches
    function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64], ctypes.c_uint64
    assert function(x.ctypes.data, random.ctypes.data, x.size) == 0
