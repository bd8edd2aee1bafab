"""cuda/codec.cuh, compiled as C++, against the reference: every format, rounding and policy, bit for bit."""

from __future__ import annotations

import ctypes
from itertools import product

import numpy as np
import pytest

from fp4sim.floats import CASTS, ELEMENTS, SCALES, UE5M3_SPECIALS, FloatFormat, Specials, scale_format
from fp4sim.kernels.reference.encode import decode, encode
from fp4sim.randbits import Stream, random_bits
from fp4sim.rounding import CastPolicy, Rounding
from tests.cuda.host import host_library

FORMATS = [*ELEMENTS, *CASTS, *SCALES, *(scale_format("ue5m3", most) for most in UE5M3_SPECIALS), scale_format("e2m6")]
ROUNDINGS = list(Rounding)
NANS = ("hardware", "zero", "signed", "payload")
ZEROS = ("keep", "drop", "never", "set")


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def numbers(fmt: FloatFormat) -> np.ndarray:
    nan = -1 if fmt.nan_code is None else fmt.nan_code
    flags = (fmt.signed, fmt.has_zero, fmt.specials is Specials.IEEE)
    return np.array([fmt.exponent_bits, fmt.mantissa_bits, fmt.bias, fmt.max_code, nan, *flags], np.int32)


def run_encode(x, fmt, rounding, policy=None, random=None, bits=0):
    policy = policy or CastPolicy()
    settings = [ROUNDINGS.index(rounding), bits, policy.overflow == "special"]
    cast = np.array([*settings, NANS.index(policy.nan), ZEROS.index(policy.negative_zero)], np.int32)
    raw, codes = np.ascontiguousarray(x).view(np.uint32), np.empty(x.size, np.uint32)
    given = None if random is None else pointer(random)
    host_library("codec_host.cpp").host_encode(
        pointer(raw), given, pointer(codes), ctypes.c_int64(x.size), pointer(numbers(fmt)), pointer(cast)
    )
    return codes


def inputs(fmt: FloatFormat) -> np.ndarray:
    """Random bit patterns, values near the format, every code's value, midpoint and their neighbours, specials."""
    rng = np.random.default_rng(7)
    anywhere = rng.integers(0, 1 << 32, 20000, np.uint32).view(np.float32)
    near = (rng.standard_normal(20000) * min(fmt.max, 1e30)).astype(np.float32)
    with np.errstate(all="ignore"):
        values = fmt.magnitudes() if fmt.bits <= 8 else rng.integers(0, 1 << fmt.magnitude_bits, 999, np.uint32)
        grid = (values if fmt.bits <= 8 else decode(values.astype(fmt.code_dtype), fmt)).astype(np.float64)
        grid = np.sort(grid[np.isfinite(grid)])
        edges = np.concatenate([grid, (grid[1:] + grid[:-1]) / 2]).astype(np.float32)
        edges = np.concatenate([edges, np.nextafter(edges, np.float32(np.inf)), np.nextafter(edges, np.float32(0))])
    special = np.array([0, 1e-45, 2e-39, 1.1754944e-38, 3.4e38, np.inf, np.nan], np.float32)
    odd = np.array([0x7F800001, 0x7FFFFFFF, 0x7FABCDEF], np.uint32).view(np.float32)
    both = np.concatenate([anywhere, near, edges, special, odd])
    return np.concatenate([both, (both.view(np.uint32) ^ np.uint32(1 << 31)).view(np.float32)])


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: f"{fmt}{'' if fmt.signed else '-scale'}-{fmt.max_code}")
def test_every_rounding(fmt):
    x = inputs(fmt)
    for rounding in ROUNDINGS[:-1]:
        assert np.array_equal(run_encode(x, fmt, rounding), encode(x, fmt, rounding)), rounding
    rng = np.random.default_rng(3)
    for bits in (1, 7, 8, 23, 24, 31, 32):
        random = rng.integers(0, 1 << bits, x.size, np.uint32)
        expected = encode(x, fmt, Rounding.SR, random=random, random_bits=bits)
        assert np.array_equal(run_encode(x, fmt, Rounding.SR, None, random, bits), expected), bits


@pytest.mark.parametrize("fmt", [*ELEMENTS, *CASTS], ids=str)
def test_every_policy(fmt):
    x = inputs(fmt)
    for overflow, nan, zero in product(("saturate", "special"), NANS, ZEROS):
        if overflow == "special" and fmt.specials is Specials.NONE:
            continue
        policy = CastPolicy(overflow, nan, zero)
        assert np.array_equal(run_encode(x, fmt, Rounding.RN, policy), encode(x, fmt, policy=policy)), policy


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: f"{fmt}{'' if fmt.signed else '-scale'}-{fmt.max_code}")
def test_decode(fmt):
    rng = np.random.default_rng(5)
    codes = np.arange(1 << fmt.bits) if fmt.bits <= 16 else rng.integers(0, 1 << fmt.bits, 1 << 16)
    codes = codes.astype(np.uint32)
    values = np.empty(codes.size, np.float32)
    host_library("codec_host.cpp").host_decode(
        pointer(codes), pointer(values), ctypes.c_int64(codes.size), pointer(numbers(fmt))
    )
    expected = decode(codes.astype(fmt.code_dtype), fmt).astype(np.float32)
    number = ~np.isnan(expected)
    assert np.array_equal(np.isnan(values), ~number)
    assert np.array_equal(values[number].view(np.uint32), expected[number].view(np.uint32))


@pytest.mark.parametrize("bits", [1, 7, 8, 9, 24, 32])
def test_random_stream(bits):
    stream = Stream.of(0x123456789ABCDEF0, "layer.weight", 5)
    index = np.concatenate([np.arange(64), 2**32 - 8 + np.arange(64), [2**40 + 3, 2**62 + 1]]).astype(np.uint64)
    words, out = np.array([*stream.key, stream.name, stream.draw], np.uint32), np.empty(index.size, np.uint32)
    host_library("codec_host.cpp").host_random(
        pointer(index), pointer(out), ctypes.c_int64(index.size), pointer(words), ctypes.c_int(bits)
    )
    assert np.array_equal(out, random_bits(stream, index, bits))


def test_narrow_floats_widen_and_narrow():
    import ml_dtypes

    library, every = host_library("codec_host.cpp"), np.arange(1 << 16, dtype=np.uint32)
    out = np.empty_like(every)
    library.host_widen_fp16(pointer(every), pointer(out), ctypes.c_int64(every.size))
    wide = every.astype(np.uint16).view(np.float16).astype(np.float32)
    assert np.array_equal(out.view(np.float32)[~np.isnan(wide)].view(np.uint32), wide[~np.isnan(wide)].view(np.uint32))
    assert np.array_equal(np.isnan(out.view(np.float32)), np.isnan(wide))
    x = inputs(CASTS[2])
    out = np.empty(x.size, np.uint32)
    library.host_narrow_bf16(pointer(x), pointer(out), ctypes.c_int64(x.size))
    with np.errstate(all="ignore"):
        expected = x.astype(ml_dtypes.bfloat16).view(np.uint16)
    assert np.array_equal(out[~np.isnan(x)], expected[~np.isnan(x)])


@pytest.mark.parametrize("divisor", [1536.0, 2688.0, 1.0])
def test_division_by_a_reach_is_correct_for_every_significand(divisor):
    run = host_library("codec_host.cpp").host_near_quotient
    run.restype = ctypes.c_int64
    for exponent in (0, -103, 111):
        first = np.float32(2.0**exponent).view(np.uint32)
        assert run(ctypes.c_uint32(int(first)), ctypes.c_int64(1 << 23), ctypes.c_float(divisor)) == 0
