"""cuda/eden.cuh, compiled as C++: MS-EDEN's quick scale against its definition, at draws next to rounding the other way."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from fp4sim.floats import E4M3
from fp4sim.kernels.reference.encode import encode
from fp4sim.kernels.reference.products import lane_sums
from tests.cuda.host import host_library

N = 1 << 15
DECODE = np.float32(1 / 256)


def library():
    found = host_library("block16_host.cpp")
    pointer, count = ctypes.c_void_p, ctypes.c_uint64
    found.host_eden_mismatches.argtypes = [pointer, pointer, ctypes.c_float, pointer, count, pointer, pointer]
    found.host_eden_mismatches.restype = count
    found.host_eden_rests.argtypes = [pointer, pointer, ctypes.c_float, count, pointer]
    return found


def compared(y, scales, random, decode=DECODE):
    """Mismatches, the farthest position and how many blocks went the definition's way."""
    farthest, exact = ctypes.c_uint64(0), ctypes.c_uint64(0)
    wrong = library().host_eden_mismatches(
        y.ctypes.data,
        scales.ctypes.data,
        float(decode),
        random.ctypes.data,
        len(y),
        ctypes.byref(farthest),
        ctypes.byref(exact),
    )
    return int(wrong), int(farthest.value), int(exact.value)


def rests(y, scales, decode=DECODE):
    out = np.empty(len(y), np.uint32)
    library().host_eden_rests(y.ctypes.data, scales.ctypes.data, float(decode), len(y), out.ctypes.data)
    return out


def nearest_scales(y, decode=DECODE):
    """The codes of E4M3 nearest to amax / 6 / decode."""
    wanted = (np.abs(y).max(axis=1) / 6 / decode).astype(np.float32)
    return np.ascontiguousarray(encode(np.minimum(wanted, 448), E4M3).astype(np.uint32))


def blocks(seed, spread=0.0):
    rng = np.random.default_rng(seed)
    y = rng.standard_normal((N, 16)) * np.exp2(rng.uniform(-spread, 0, (N, 1)))
    return np.ascontiguousarray(y.astype(np.float32))


SETS = {
    "gaussian": blocks(0),
    "small scales": blocks(1, 24),  # subnormal and zero ones too
    "one large": np.ascontiguousarray(np.where(np.arange(16) == 3, 6, blocks(2) / 8).astype(np.float32)),
    "saturated": blocks(3) * np.float32(1e4),
    "near halves": np.ascontiguousarray(
        np.repeat(np.float32([[0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5, 6]]), 2, 1) * (1 + blocks(4) / 2**20)
    ),
}


@pytest.mark.parametrize("spread", [0, 30, 200])
def test_sums_of_the_definition(spread):
    """In the order of the reference, to the last bit: a draw that tells them apart is too rare to wait for."""
    rng = np.random.default_rng(9)
    z = (rng.standard_normal((N, 16)) * np.exp2(rng.uniform(-spread / 2, spread / 2, (N, 16)))).astype(np.float32)
    r = rng.choice(np.float32([0, 0.5, 1, 1.5, 2, 3, 4, 6]), (N, 16))
    square, product = np.empty(N), np.empty(N)
    function = library().host_eden_sums
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_void_p]
    function(z.ctypes.data, r.ctypes.data, N, square.ctypes.data, product.ctypes.data)
    wide = z.astype(np.float64)
    assert np.array_equal(square, lane_sums(wide * wide, 16)[:, 0])
    assert np.array_equal(product, lane_sums(wide * r, 16)[:, 0])


@pytest.mark.parametrize("name", SETS)
def test_draws_next_to_the_turn(name):
    """Random bits that carry, or just do not, by as much as the quick sums are off and more."""
    y = SETS[name]
    scales = nearest_scales(y)
    turn, rng = rests(y, scales), np.random.default_rng(5)
    asked = 0
    for reach in (1, 1 << 8, 1 << 12, 1 << 15, 1 << 17, 1 << 20):
        random = (-turn.astype(np.int64) + rng.integers(-reach, reach + 1, N)).astype(np.uint32)
        wrong, farthest, exact = compared(y, scales, random)
        assert wrong == 0
        assert farthest < 1 << 17
        asked += exact
    assert asked > N  # the definition was needed


def test_quick_sums_are_off():
    """Far enough for the definition to matter, and by less than half of what is allowed: the bound is not luck."""
    for name in ("gaussian", "near halves"):
        _, farthest, _ = compared(SETS[name], nearest_scales(SETS[name]), np.zeros(N, np.uint32))
        assert 1 << 12 < farthest < 1 << 16


def test_few_blocks_ask_the_definition():
    """At random draws, 2^-14 of them."""
    y = SETS["gaussian"]
    random = np.random.default_rng(6).integers(0, 1 << 32, N, dtype=np.uint32)
    wrong, _, exact = compared(y, nearest_scales(y), random)
    assert wrong == 0
    assert exact < 16


@pytest.mark.parametrize("decode", [2.0**-149, 1e-44, 1e-38, 1e-30, 1e30, 2.0**100, 2.0**118, 1.2e38])
@pytest.mark.parametrize("size", [0.0, 2.0**-149, 1e-39, 1e-20, 1.0, 1e20, 1e38])
def test_any_scale_and_factor(decode, size):
    """Every code of a scale beside elements that it does not fit: factors and sums that overflow or vanish."""
    y = np.ascontiguousarray(np.clip(blocks(7)[:8192].astype(np.float64) * size, -3e38, 3e38).astype(np.float32))
    y[:128, 1:] = 0
    scales = np.resize(np.arange(127, dtype=np.uint32), len(y))
    rng = np.random.default_rng(8)
    turn = rests(y, scales, np.float32(decode))
    for random in (rng.integers(0, 1 << 32, len(y), dtype=np.uint32), -turn, ~turn):
        assert compared(y, scales, random, np.float32(decode))[0] == 0
