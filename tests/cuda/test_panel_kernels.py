"""The GPU backend against the reference, bit for bit: its Python and its kernels' source, run on the host."""

from __future__ import annotations

import numpy as np
import pytest

from fp4sim.floats import CASTS, ELEMENTS, UE4M3, scale_format
from fp4sim.kernels.cuda.arrays import on_device
from fp4sim.kernels.cuda.kernels import CudaKernels
from fp4sim.kernels.interface import Criterion, ElementCast, Place
from fp4sim.kernels.reference.kernels import ReferenceKernels
from fp4sim.randbits import Stream
from fp4sim.rounding import CastPolicy, Rounding

TILES = [(1, 16), (1, 32), (1, 8), (1, 12), (1, 48), (16, 16), (2, 32), (4, 10), (3, 240)]
FORMATS = ELEMENTS + CASTS

pytestmark = pytest.mark.usefixtures("host_device")


def panel(tile: tuple[int, int], seed: int, nonfinite: bool = True) -> np.ndarray:
    """Ties, wide exponents, random bits and zeros of both signs, row by row."""
    rng = np.random.default_rng(seed)
    shape = tile[0] * 6, tile[1] * 5
    x = (rng.integers(-40, 41, shape) / 8).astype(np.float32)
    x[1::4] = rng.standard_normal(x[1::4].shape) * np.exp2(rng.integers(-140, 100, x[1::4].shape))
    bits = rng.integers(0, 1 << 32, x[2::4].shape, dtype=np.uint32).view(np.float32)
    x[2::4] = bits if nonfinite else np.where(np.isfinite(bits), bits, np.float32(-0.0))
    x[3::4] = rng.choice([0.0, -0.0, 1.0], x[3::4].shape)
    return x


def factors(x: np.ndarray, tile: tuple[int, int], divides: bool) -> np.ndarray:
    with np.errstate(all="ignore"):
        amax = ReferenceKernels.block_amax(x, tile)
        found = amax / np.float32(6) if divides else np.fmin(np.float32(6.3) / amax, np.float32(3.4028235e38))
    return found.astype(np.float32)


def same_bits(actual: object, expected: np.ndarray) -> None:
    got = actual if isinstance(actual, np.ndarray) else actual.get()
    assert got.dtype == expected.dtype
    number = np.ones(expected.shape, bool) if expected.dtype.kind != "f" else ~np.isnan(expected)
    assert np.array_equal(number, ~np.isnan(got) if expected.dtype.kind == "f" else number)
    assert np.array_equal(got[number].tobytes(), expected[number].tobytes())


@pytest.mark.parametrize("tile", TILES, ids=str)
def test_block_amax(tile):
    x = panel(tile, 1)
    same_bits(CudaKernels.block_amax(on_device(x), tile), ReferenceKernels.block_amax(x, tile))


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("divides", [False, True])
def test_encode(fmt, divides):
    for seed, tile in enumerate(TILES):
        x = panel(tile, seed)
        factor = factors(x, tile, divides)
        for rounding in (Rounding.RN, Rounding.RNU, Rounding.RD):
            cast = ElementCast(fmt, rounding, divides=divides)
            want = ReferenceKernels.encode(x, factor, tile, cast)
            same_bits(CudaKernels.encode(on_device(x), factor, tile, cast), want)
            if fmt.bits == 4 and x.shape[1] % 2 == 0:
                same_bits(CudaKernels.encode_packed(on_device(x), factor, tile, cast), ReferenceKernels.pack(want))


@pytest.mark.parametrize("inner", [1, 3])
@pytest.mark.parametrize("bits", [1, 8, 13, 32])
def test_stochastic_encode(bits, inner):
    stream = Stream.of(2**63 + 5, "weight", 5)
    for seed, tile in enumerate(TILES):
        x = panel(tile, seed)
        factor, place = factors(x, tile, False), Place(2**33 + 1, 7, 7 + x.shape[1] + 3, inner)
        cast = ElementCast(ELEMENTS[0], Rounding.SR, bits)
        want = ReferenceKernels.encode(x, factor, tile, cast, stream, place)
        same_bits(CudaKernels.encode(on_device(x), factor, tile, cast, stream, place), want)


@pytest.mark.parametrize("nan", ["hardware", "zero", "signed", "payload"])
@pytest.mark.parametrize("zero", ["keep", "drop", "never", "set"])
@pytest.mark.parametrize("flush", [False, True])
def test_policies(nan, zero, flush):
    tile = (1, 16)
    for divides in (False, True):
        x = panel(tile, 9)
        cast = ElementCast(ELEMENTS[0], Rounding.RN, 0, CastPolicy("saturate", nan, zero), divides, flush)
        factor = factors(x, tile, divides)
        same_bits(CudaKernels.encode(on_device(x), factor, tile, cast), ReferenceKernels.encode(x, factor, tile, cast))


@pytest.mark.parametrize("scale", [UE4M3, scale_format("ue5m3"), scale_format("bf16"), scale_format("e2m6")], ids=str)
@pytest.mark.parametrize("groups", [(), (6, 1), (6, 5), (5,)], ids=str)
def test_te_scales(scale, groups):
    rng = np.random.default_rng(2)
    amax = np.abs(rng.standard_normal((6, 5)) * np.exp2(rng.integers(-130, 120, (6, 5)))).astype(np.float32)
    amax[0, :4] = [0, np.inf, np.nan, 1e-45]
    multiplier = np.asarray(np.exp2(rng.uniform(-20, 20, groups)), np.float32)
    decode = np.asarray(1 / multiplier, np.float32)
    for rounding in (Rounding.RN, Rounding.RU):
        want = ReferenceKernels.te_scales(amax, multiplier, decode, scale, rounding)
        got = CudaKernels.te_scales(amax, multiplier, decode, scale, rounding)
        same_bits(got[0], want[0])
        same_bits(got[1], want[1])


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_dequantize(fmt):
    rng = np.random.default_rng(4)
    for tile in TILES:
        shape = tile[0] * 4, tile[1] * 3
        codes = rng.integers(0, 1 << fmt.bits, shape).astype(fmt.code_dtype)
        decode = np.exp2(rng.uniform(-160, 100, (4, 3)))
        decode[0, 0] = np.nan
        want = ReferenceKernels.dequantize(codes, decode, tile, fmt)
        same_bits(CudaKernels.dequantize(on_device(codes), decode, tile, fmt), want)


@pytest.mark.parametrize("metric", ["mse", "mae", "absmax"])
@pytest.mark.parametrize("order", ["exact", "scaled", "product"])
@pytest.mark.parametrize("tile", [(1, 16), (16, 16), (3, 8)], ids=str)
def test_choose(metric, order, tile):
    rng = np.random.default_rng(6)
    shape, blocks = (tile[0] * 6, tile[1] * 5), (6, 5)
    x = rng.standard_normal(shape).astype(np.float32)
    x[0, 0] = np.nan
    codes = tuple(rng.integers(0, 16, shape).astype(np.uint8) for _ in range(2))
    scales = tuple(np.exp2(rng.uniform(-2, 2, blocks)).astype(np.float32) for _ in range(2))
    for group in (np.float32(0.7), np.exp2(rng.uniform(-1, 1, (6, 1))).astype(np.float32)):
        how = (scales, (np.asarray(group), np.float32(1536)), tile, ELEMENTS[0], Criterion(metric, order))
        want = ReferenceKernels.choose(x, codes, *how)
        got = CudaKernels.choose(on_device(x), tuple(map(on_device, codes)), *how)
        same_bits(got[0], want[0])
        assert np.array_equal(got[1], want[1])


def test_packing_and_counting():
    codes = np.random.default_rng(8).integers(0, 16, (3, 7, 40)).astype(np.uint8)
    packed = CudaKernels.pack(on_device(codes))
    same_bits(packed, ReferenceKernels.pack(codes))
    same_bits(CudaKernels.unpack(packed), codes)
    assert np.array_equal(CudaKernels.histogram(on_device(codes)), np.bincount(codes.ravel(), minlength=256))
