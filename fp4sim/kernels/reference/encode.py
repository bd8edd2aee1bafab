"""The definition of a cast: float32 values to codes of a small format, one readable path for every format and mode.

Everything is exact: a float32 widened to float64 divides by the local quantum (a power of two) without error, so the
integer part is the lower neighbour and the fraction is the exact position between two codes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.floats import FloatFormat, Specials
from fp4sim.rounding import HARDWARE, CastPolicy, Rounding

if TYPE_CHECKING:
    from numpy.typing import NDArray


def encode(
    x: NDArray[np.float32],
    fmt: FloatFormat,
    rounding: Rounding = Rounding.RN,
    *,
    random: NDArray[np.uint32] | None = None,
    random_bits: int = 32,
    policy: CastPolicy = HARDWARE,
) -> NDArray[np.unsignedinteger]:
    """Cast to codes.

    Args:
        x: float32, any shape.
        fmt: the target format; unsigned formats ignore the sign of x.
        rounding: the mode. For ``SR`` a value n + phi quanta above zero goes up when
            ``floor(phi * 2^bits) + r >= 2^bits`` (the carry model of ``cvt.rs``, PTX ISA 9.0), so that
            P(up) = floor(phi * 2^bits) / 2^bits: the bias is never positive and at most 2^-bits of a gap.
        random: for ``SR``: integers in [0, 2^random_bits), shape of x.
        random_bits: 1..32.
        policy: overflow, NaN and signed zero.

    Returns:
        Codes in ``fmt.code_dtype``, shape of x.
    """
    x = np.asarray(x, np.float32)
    negative = np.signbit(x)
    with np.errstate(invalid="ignore"):  # a signalling NaN is quieted
        magnitude = np.abs(x).astype(np.float64)
    position = code_position(magnitude, fmt)
    codes = _round(position, rounding, negative, random, random_bits)
    return _apply_policy(codes, x, negative, fmt, policy)


def decode(codes: NDArray[np.unsignedinteger], fmt: FloatFormat) -> NDArray[np.float64]:
    """Values of codes, exact in float64, same shape."""
    if fmt.bits <= 16:
        return np.asarray(fmt.values()[codes])
    return np.asarray(codes, np.uint32).view(np.float32).astype(np.float64)


def code_position(magnitude: NDArray[np.float64], fmt: FloatFormat) -> NDArray[np.float64]:
    """Where a magnitude lies on the axis of codes: its integer part is the code below, its fraction exact.

    Between two codes the axis is linear, which is what makes rounding a decision about the fraction alone.
    """
    with np.errstate(invalid="ignore"):
        lowest = 1 - fmt.bias if fmt.has_zero else -fmt.bias
        countable = np.isfinite(magnitude) & (magnitude > 0)
        exponent = np.maximum(np.frexp(np.where(countable, magnitude, fmt.min_normal))[1] - 1, lowest)
        quanta = np.ldexp(magnitude, fmt.mantissa_bits - exponent)
        offset = (exponent - lowest) * (1 << fmt.mantissa_bits)
        if not fmt.has_zero:
            offset = offset - 1  # code 0 is the first power of two; what lies below it is position < 0
        return np.asarray(quanta + offset)


def _round(
    position: NDArray[np.float64],
    rounding: Rounding,
    negative: NDArray[np.bool_],
    random: NDArray[np.uint32] | None,
    random_bits: int,
) -> NDArray[np.float64]:
    lower = np.floor(position)
    with np.errstate(invalid="ignore"):
        fraction = position - lower
    if rounding is Rounding.SR:
        if random is None or not 1 <= random_bits <= 32:
            raise UsageError("stochastic rounding needs random bits, 1 to 32 of them")
        with np.errstate(invalid="ignore"):
            up = np.floor(np.ldexp(fraction, random_bits)) + random >= 2.0**random_bits
    elif rounding is Rounding.RN:
        with np.errstate(invalid="ignore"):
            up = (fraction > 0.5) | ((fraction == 0.5) & (lower % 2 == 1))
    elif rounding is Rounding.RNA:
        up = fraction >= 0.5
    elif rounding is Rounding.RNU:
        up = np.where(negative, fraction > 0.5, fraction >= 0.5)
    elif rounding is Rounding.RNZ:
        up = fraction > 0.5
    else:
        away = np.where(negative, rounding is Rounding.RD, rounding is Rounding.RU)
        up = away & (fraction > 0)
    return np.asarray(lower + up)


def _apply_policy(
    codes: NDArray[np.float64],
    x: NDArray[np.float32],
    negative: NDArray[np.bool_],
    fmt: FloatFormat,
    policy: CastPolicy,
) -> NDArray[np.unsignedinteger]:
    nan = np.isnan(x)
    over = codes > fmt.max_code
    if policy.overflow == "special" and fmt.specials is Specials.NONE:
        raise UsageError(f"{fmt.name} has neither Inf nor NaN: overflow can only saturate")
    beyond = fmt.max_code if policy.overflow == "saturate" else fmt.max_code + 1  # Inf, or NaN where that is next
    result = np.clip(np.where(nan | over, 0, codes), 0, None).astype(np.int64)
    result[over] = beyond
    if fmt.signed:
        result |= np.where(_has_sign(result, x, negative, policy), fmt.sign_mask, 0)
    result[nan] = _nan_codes(x[nan], fmt, policy)
    return result.astype(fmt.code_dtype)


def _has_sign(
    codes: NDArray[np.int64], x: NDArray[np.float32], negative: NDArray[np.bool_], policy: CastPolicy
) -> NDArray[np.bool_]:
    if policy.negative_zero == "drop":
        return np.asarray(negative & (x != 0))
    if policy.negative_zero == "never":
        return np.asarray(negative & (codes != 0))
    return np.asarray(negative | (x == 0)) if policy.negative_zero == "set" else negative


def _nan_codes(x: NDArray[np.float32], fmt: FloatFormat, policy: CastPolicy) -> NDArray[np.int64]:
    """Codes of NaNs."""
    negative, bits = np.signbit(x), x.view(np.uint32).astype(np.int64)
    if policy.nan == "payload" and fmt.signed and fmt.bits <= 4:  # the sum of torchao's cast, on a NaN's bits
        magnitude, cut = bits & 0x7FFFFFFF, 23 - fmt.mantissa_bits
        odd = (magnitude >> cut) & 1
        rounded = magnitude + ((fmt.bias - 127) << 23) + (1 << (cut - 1)) - 1 + odd
        return np.asarray((rounded >> cut & (fmt.sign_mask - 1)) | np.where(negative, fmt.sign_mask, 0))
    if policy.nan == "signed" and fmt.signed:
        sign = negative if fmt.nan_code is not None else ~negative
        quiet = fmt.nan_code or 0
        if fmt.specials is Specials.IEEE:
            quiet = fmt.max_code + 1 | 1 << (fmt.mantissa_bits - 1)
        return np.asarray(quiet | np.where(sign, fmt.sign_mask, 0))
    canonical = fmt.nan_code if fmt.nan_code is not None else fmt.max_code
    return np.full(x.shape, 0 if policy.nan == "zero" else canonical, np.int64)
