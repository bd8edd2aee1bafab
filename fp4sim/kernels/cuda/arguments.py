"""Formats, casts and streams as the integers that the kernels of cuda/panel.cu take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.floats import Specials
from fp4sim.rounding import Rounding

if TYPE_CHECKING:
    from fp4sim.floats import FloatFormat
    from fp4sim.kernels.interface import ElementCast, Place
    from fp4sim.randbits import Stream

_ROUNDINGS = tuple(Rounding)
_NANS = ("hardware", "zero", "signed", "payload")
_ZEROS = ("keep", "drop", "never", "set")


def format_numbers(fmt: FloatFormat) -> tuple[int, ...]:
    """exponent_bits, mantissa_bits, bias, max_code, nan_code (-1: none), flags (signed, has a zero, has Inf)."""
    flags = fmt.signed | fmt.has_zero << 1 | (fmt.specials is Specials.IEEE) << 2
    nan = -1 if fmt.nan_code is None else fmt.nan_code
    return fmt.exponent_bits, fmt.mantissa_bits, fmt.bias, fmt.max_code, nan, int(flags)


def rounding_number(rounding: Rounding) -> int:
    """The value of codec.cuh's enum."""
    return _ROUNDINGS.index(rounding)


def cast_numbers(cast: ElementCast) -> tuple[int, ...]:
    """rounding, random_bits, policy: bit 0 overflow, 1-2 NaN, 3-4 zeros, 5 divides, 6 flushes."""
    policy = cast.policy
    bits = (policy.overflow == "special") | _NANS.index(policy.nan) << 1 | _ZEROS.index(policy.negative_zero) << 3
    return rounding_number(cast.rounding), cast.random_bits, int(bits | cast.divides << 5 | cast.flush << 6)


def stream_numbers(stream: Stream) -> tuple[int, ...]:
    """key0, key1, name, draw."""
    return *stream.key, stream.name, stream.draw


def place_numbers(place: Place) -> tuple[int, ...]:
    """row0, col0, length, inner."""
    return place.row0, place.col0, place.length, place.inner
