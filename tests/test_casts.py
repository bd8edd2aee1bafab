"""Element and scale casts against NVIDIA's headers, ml_dtypes and the published code counts."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from fp4sim.floats import CASTS, E2M1, E4M3, E8M0, ELEMENTS, UE4M3, FloatFormat
from fp4sim.kernels.cpu.kernels import CpuKernels
from fp4sim.kernels.interface import ElementCast
from fp4sim.kernels.reference.encode import decode, encode
from fp4sim.rounding import CastPolicy, Rounding, midpoints, thresholds

# Codes 0..7 over all 2^32 patterns of cuda_fp4.hpp; negatives mirror 0..6 and lack the NaNs in code F.
POSITIVE_COUNTS = [1048576001, 12582911, 6291457, 4194303, 4194305, 4194303, 4194305, 1071644670]
NEGATIVE_LAST = 1054867456

PLAIN = (1, 16)


def stratified(count: int = 1 << 24) -> np.ndarray:
    """Float32 values: ``count`` patterns spread over all 2^32, and each E2M1 tie and code ±1 ulp, both signs."""
    spread = (np.arange(count, dtype=np.uint64) * np.uint64((1 << 32) // count)).astype(np.uint32)
    spread ^= np.random.default_rng(0).integers(0, (1 << 32) // count, count, dtype=np.uint32)
    points = np.concatenate([midpoints(E2M1), E2M1.magnitudes(), [2.0**-149, 448.0, 464.0, 2.0**-10, 2.0**-127]])
    bits = points.astype(np.float32).view(np.uint32)[:, None] + np.arange(-1, 2, dtype=np.int64).astype(np.uint32)
    edges = np.concatenate([bits.ravel(), bits.ravel() | np.uint32(1 << 31)])
    special = np.array([0, 1 << 31, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00000, 0x7F800001, 0xFFFFFFFF], np.uint32)
    return np.concatenate([spread, edges, special]).view(np.float32)


def compiled_codes(x: np.ndarray, fmt: FloatFormat, rounding: Rounding = Rounding.RN) -> np.ndarray:
    """Codes by the compiled kernels, NaN and Inf left to the reference as the quantizer does."""
    padded = np.zeros(-(-x.size // 16) * 16, np.float32)
    padded[: x.size] = x
    finite = np.where(np.isfinite(padded), padded, 0).astype(np.float32).reshape(1, -1)
    ones = np.ones((1, finite.size // 16), np.float32)
    codes = CpuKernels.encode(finite, ones, PLAIN, ElementCast(fmt, rounding))[0, : x.size]
    bad = ~np.isfinite(x)
    codes[bad] = encode(x[bad], fmt, rounding)
    return codes


@pytest.mark.parametrize("start", range(0, 1 << 24, 1 << 22))
def test_e2m1_equals_cuda_fp4_header_on_a_stratified_sample(cuda_casts, start: int) -> None:
    x = stratified()[start : start + (1 << 22) if start < 3 << 22 else None]
    theirs = cuda_casts("float_to_e2m1", x)
    np.testing.assert_array_equal(encode(x, E2M1), theirs)
    np.testing.assert_array_equal(compiled_codes(x, E2M1), theirs)


def test_e4m3_and_e8m0_equal_cuda_fp8_header_on_a_stratified_sample(cuda_casts) -> None:
    x = stratified(1 << 20)
    np.testing.assert_array_equal(encode(x, E4M3), cuda_casts("float_to_e4m3", x))
    special = encode(x, E4M3, policy=CastPolicy(overflow="special"))
    np.testing.assert_array_equal(special, cuda_casts("float_to_e4m3_nosat", x))
    finite = np.abs(x[~np.isnan(x)])
    np.testing.assert_array_equal(encode(finite, E8M0, Rounding.RZ), cuda_casts("float_to_e8m0_zero", finite))
    np.testing.assert_array_equal(encode(np.abs(x), UE4M3), cuda_casts("float_to_e4m3", np.abs(x)) & 0x7F)


def test_e8m0_rounded_up_equals_cuda_fp8_header(cuda_casts) -> None:
    from fp4sim.dialects.mx import round_up

    x = np.abs(stratified(1 << 20))
    x = x[np.isfinite(x)]
    np.testing.assert_array_equal(np.minimum(round_up(x), 254), cuda_casts("float_to_e8m0_up", x))


@pytest.mark.parametrize(
    ("fmt", "dtype"),
    [
        (E2M1, ml_dtypes.float4_e2m1fn),
        (CASTS[0], ml_dtypes.float8_e4m3fn),
        (CASTS[1], ml_dtypes.float8_e5m2),
        (CASTS[2], ml_dtypes.bfloat16),
    ],
    ids=str,
)
def test_casts_equal_ml_dtypes_on_finite_values_in_range(fmt: FloatFormat, dtype: type) -> None:
    x = stratified(1 << 20)
    x = x[np.abs(x) <= fmt.max]
    np.testing.assert_array_equal(encode(x, fmt), x.astype(dtype).view(fmt.code_dtype))


@pytest.mark.parametrize("fmt", ELEMENTS + CASTS[:2], ids=str)
@pytest.mark.parametrize("rounding", [mode for mode in Rounding if mode is not Rounding.SR], ids=str)
def test_compiled_casts_equal_the_reference(fmt: FloatFormat, rounding: Rounding) -> None:
    x = stratified(1 << 16)
    edges = np.concatenate([midpoints(fmt), fmt.magnitudes()]).astype(np.float32)
    edges = (edges.view(np.uint32)[:, None] + np.arange(-2, 3, dtype=np.int64).astype(np.uint32)).view(np.float32)
    x = np.concatenate([x, edges.ravel(), -edges.ravel()])
    np.testing.assert_array_equal(compiled_codes(x, fmt, rounding), encode(x, fmt, rounding))


@pytest.mark.parametrize("fmt", ELEMENTS, ids=str)
@pytest.mark.parametrize("rounding", [mode for mode in Rounding if mode is not Rounding.SR], ids=str)
def test_thresholds_are_where_codes_change(fmt: FloatFormat, rounding: Rounding) -> None:
    for negative in (False, True):
        sign = np.float32(-1 if negative else 1)
        table = thresholds(fmt, rounding, negative)
        below = np.nextafter(table, np.float32(0))
        magnitude = (1 << fmt.magnitude_bits) - 1
        steps = np.arange(1, fmt.max_code + 1)
        np.testing.assert_array_equal(encode(sign * table, fmt, rounding) & magnitude, steps)
        np.testing.assert_array_equal(encode(sign * below, fmt, rounding) & magnitude, steps - 1)


@pytest.mark.parametrize("fmt", ELEMENTS + CASTS[:2] + (UE4M3, E8M0), ids=str)
def test_every_finite_code_survives_a_round_trip(fmt: FloatFormat) -> None:
    codes = np.arange(1 << fmt.bits, dtype=fmt.code_dtype)
    values = decode(codes, fmt)
    finite = np.isfinite(values)
    for rounding in Rounding:
        random = np.zeros(finite.sum(), np.uint32) if rounding is Rounding.SR else None
        again = encode(values[finite].astype(np.float32), fmt, rounding, random=random)
        np.testing.assert_array_equal(again, codes[finite])


def test_policies_say_what_becomes_of_special_values() -> None:
    x = np.array([np.nan, -np.nan, np.inf, -np.inf, -0.0, -1e-45, 500.0], np.float32)
    assert encode(x, E2M1).tolist() == [7, 7, 7, 15, 8, 8, 7]
    assert encode(x, E2M1, policy=CastPolicy(nan="zero")).tolist() == [0, 0, 7, 15, 8, 8, 7]
    assert encode(x, E2M1, policy=CastPolicy(negative_zero="drop")).tolist() == [7, 7, 7, 15, 0, 8, 7]
    assert encode(x, E4M3).tolist() == [0x7F, 0x7F, 0x7E, 0xFE, 0x80, 0x80, 0x7E]
    assert encode(x, E4M3, policy=CastPolicy(overflow="special")).tolist() == [0x7F, 0x7F, 0x7F, 0xFF, 0x80, 0x80, 0x7F]
    with pytest.raises(ValueError, match="overflow can only saturate"):
        encode(x, E2M1, policy=CastPolicy(overflow="special"))


@pytest.mark.slow
def test_e2m1_equals_cuda_fp4_header_on_all_2_to_32_inputs(cuda_casts) -> None:
    """Both paths of fp4sim against the header, and the published histogram of codes. About ten minutes."""
    counts = np.zeros(16, np.int64)
    for start in range(0, 1 << 32, 1 << 24):
        x = np.arange(start, start + (1 << 24), dtype=np.uint32).view(np.float32)
        theirs = cuda_casts("float_to_e2m1", x)
        np.testing.assert_array_equal(compiled_codes(x, E2M1), theirs)
        np.testing.assert_array_equal(encode(x, E2M1), theirs)
        counts += np.bincount(theirs, minlength=16)
    assert counts[:8].tolist() == POSITIVE_COUNTS
    assert counts[8:15].tolist() == POSITIVE_COUNTS[:7]
    assert counts[15] == NEGATIVE_LAST


@pytest.mark.slow
def test_scale_casts_equal_cuda_fp8_header_on_all_nonnegative_inputs(cuda_casts) -> None:
    from fp4sim.dialects.mx import round_up

    for start in range(0, 0x7F800000, 1 << 24):
        x = np.arange(start, min(start + (1 << 24), 0x7F800000), dtype=np.uint32).view(np.float32)
        theirs = cuda_casts("float_to_e4m3", x)
        np.testing.assert_array_equal(CpuKernels.cast(x, UE4M3, Rounding.RN), theirs)
        np.testing.assert_array_equal(encode(x, E4M3), theirs)
        np.testing.assert_array_equal(np.minimum(round_up(x), 254), cuda_casts("float_to_e8m0_up", x))
        np.testing.assert_array_equal(encode(x, E8M0, Rounding.RZ), cuda_casts("float_to_e8m0_zero", x))
