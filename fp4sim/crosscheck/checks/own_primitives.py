"""fp4sim's own GPU backend against the reference: every primitive, format, rounding and policy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fp4sim.crosscheck.check import Check, Effort, Outcome
from fp4sim.crosscheck.device import Device
from fp4sim.floats import E2M1, ELEMENTS, UE4M3
from fp4sim.kernels.interface import Criterion, ElementCast, Kernels, Place
from fp4sim.kernels.reference.kernels import ReferenceKernels
from fp4sim.randbits import Stream
from fp4sim.report.verify_model import Count
from fp4sim.rounding import CastPolicy, Rounding

_TILES = ((1, 16), (1, 32), (16, 16))
_POLICIES = (
    CastPolicy(),
    CastPolicy(nan="zero", negative_zero="drop"),
    CastPolicy(nan="signed", negative_zero="never"),
    CastPolicy(nan="payload", negative_zero="set"),
)
_STREAM = Stream.of(2**63 + 5, "weight", 5)
_LEAST_ROWS = 32


def panel(rows: int, cols: int, seed: int) -> NDArray[np.float32]:
    """Ties, many binades, any bits at all, and zeros of both signs, row by row."""
    rng = np.random.default_rng(seed)
    x = (rng.integers(-40, 41, (rows, cols)) / 8).astype(np.float32)
    x[1::4] = np.ldexp(rng.standard_normal(x[1::4].shape), rng.integers(-140, 100, x[1::4].shape))
    x[2::4] = rng.integers(0, 1 << 32, x[2::4].shape, dtype=np.uint64).astype(np.uint32).view(np.float32)
    x[3::4] = rng.choice(np.array([0.0, -0.0, 1.0, 1.5], np.float32), x[3::4].shape)
    return x


def differing(actual: NDArray[Any], expected: NDArray[Any]) -> Count:
    """How many elements differ in a bit; NaNs are all alike."""
    if actual.dtype != expected.dtype or actual.shape != expected.shape:
        return Count(expected.size, expected.size)
    if expected.dtype.kind != "f":
        return Count(int(np.count_nonzero(actual != expected)), expected.size)
    width = {4: np.uint32, 8: np.uint64}[expected.itemsize]
    same = (actual.view(width) == expected.view(width)) | (np.isnan(actual) & np.isnan(expected))
    return Count(int(np.count_nonzero(~same)), expected.size)


def run(device: Device, effort: Effort) -> Outcome:
    """Panels of 2^14 elements for each combination, and one large one."""
    kernels = device.own_kernels()
    counts: dict[str, Count] = {}
    for name, actual, expected in _results(device, kernels, effort):
        on_host = actual if isinstance(actual, np.ndarray) else device.get(actual)
        counts[name] = counts.get(name, Count(0, 0)) + differing(on_host, np.asarray(expected))
    return Outcome(counts)


def _results(device: Device, kernels: Kernels, effort: Effort) -> Iterator[tuple[str, Any, Any]]:
    for seed, tile in enumerate(_TILES):
        x = panel(_LEAST_ROWS, 512, seed)
        yield from _of_panel(device, kernels, x, tile)
    large = panel(max(_LEAST_ROWS, effort.elements >> 12), 4096, 9)
    tile, cast = (1, 16), ElementCast(E2M1)
    amax = ReferenceKernels.block_amax(large, tile)
    yield "block amax", kernels.block_amax(device.put(large), tile), amax
    factor = _factors(amax, divides=False)
    expected = ReferenceKernels.encode(large, factor, tile, cast)
    yield "encode_packed", kernels.encode_packed(device.put(large), factor, tile, cast), ReferenceKernels.pack(expected)


def _of_panel(
    device: Device, kernels: Kernels, x: NDArray[np.float32], tile: tuple[int, int]
) -> Iterator[tuple[str, Any, Any]]:
    on_device, amax = device.put(x), ReferenceKernels.block_amax(x, tile)
    yield "block amax", kernels.block_amax(on_device, tile), amax
    place = Place(2**33 + 1, 7, 7 + x.shape[1] + 3, 3)
    for cast in _casts():
        factor = _factors(amax, divides=cast.divides)
        random = (_STREAM, place) if cast.rounding is Rounding.SR else ()
        expected = ReferenceKernels.encode(x, factor, tile, cast, *random)
        yield f"encode {cast.fmt.name}", kernels.encode(on_device, factor, tile, cast, *random), expected
    codes = ReferenceKernels.encode(x, _factors(amax, divides=False), tile, ElementCast(E2M1))
    with np.errstate(all="ignore"):
        decode = np.where(np.isfinite(amax), amax.astype(np.float64) / 6, np.nan)
    there = device.put(codes)
    yield (
        "dequantize",
        kernels.dequantize(there, decode, tile, E2M1),
        ReferenceKernels.dequantize(codes, decode, tile, E2M1),
    )
    yield "histogram", kernels.histogram(there), ReferenceKernels.histogram(codes)
    finite = np.where(np.isfinite(amax), amax, np.float32(1))
    one = np.ones((1, 1), np.float32)
    for position in range(2):
        pair = [
            backend.te_scales(finite, one * np.float32(0.17), one, UE4M3, Rounding.RN)
            for backend in (kernels, ReferenceKernels)
        ]
        yield ("scales", "factors")[position], pair[0][position], pair[1][position]
    yield from _choices(device, kernels, tile)


def _choices(device: Device, kernels: Kernels, tile: tuple[int, int]) -> Iterator[tuple[str, Any, Any]]:
    """Of two encodings of finite data the one of less error."""
    x = np.random.default_rng(tile[0]).standard_normal((_LEAST_ROWS, 512)).astype(np.float32)
    amax = ReferenceKernels.block_amax(x, tile)
    scales = (np.asarray(amax / np.float32(6), np.float32), np.asarray(amax / np.float32(4), np.float32))
    codes = [
        ReferenceKernels.encode(x, np.asarray(np.float32(1) / scale, np.float32), tile, ElementCast(E2M1))
        for scale in scales
    ]
    group = (np.ones((1, 1), np.float32), np.float32(1))
    for metric in ("mse", "mae", "absmax"):
        given = (scales, group, tile, E2M1, Criterion(metric))
        actual = kernels.choose(device.put(x), (device.put(codes[0]), device.put(codes[1])), *given)
        expected = ReferenceKernels.choose(x, (codes[0], codes[1]), *given)
        yield f"choose by {metric}", actual[0], expected[0]
        yield f"choose by {metric}", actual[1], expected[1]


def _casts() -> Iterator[ElementCast]:
    for fmt in ELEMENTS:
        for rounding in Rounding:
            if rounding is not Rounding.SR:
                yield ElementCast(fmt, rounding)
        for bits in (8, 32):
            yield ElementCast(fmt, Rounding.SR, bits)
        for policy in _POLICIES:
            yield ElementCast(fmt, policy=policy, divides=True, flush=True)


def _factors(amax: NDArray[np.float32], *, divides: bool) -> NDArray[np.float32]:
    with np.errstate(all="ignore"):
        found = amax / np.float32(6) if divides else np.fmin(np.float32(6.3) / amax, np.float32(3.4028235e38))
    return np.asarray(found, np.float32)


CHECK = Check("own-primitives", "fp4sim's GPU kernels against its reference", run, ("panel.cu",))
