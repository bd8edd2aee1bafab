"""Small floating-point formats as data: what the codes of E2M1, E8M0, E4M3 … mean.

A format is a frozen row of numbers (exponent bits, mantissa bits, bias, specials); its value table is derived,
never typed in. With exponent field E, mantissa field M and m mantissa bits, a code's magnitude is

* ``(1 + M/2^m) * 2^(E - bias)`` for E > 0,
* ``(M/2^m) * 2^(1 - bias)`` for E = 0 (subnormals and zero),
* ``2^(E - bias)`` for every E in formats without a zero (E8M0).

Sources: OCP Microscaling Formats v1.0 §5.3 (E2M1, E8M0), OCP 8-bit Floating Point v1.0 (E4M3, E5M2), PTX ISA 9.0 §5.2.3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Specials(Enum):
    """Which codes are not numbers."""

    NONE = "none"  # every code is finite: E2M1, E1M2, E3M0
    NAN = "nan"  # only all-ones is NaN: E4M3 ("fn"), E8M0
    IEEE = "ieee"  # the top exponent is Inf (M = 0) and NaN: E5M2, FP32, BF16


@dataclass(frozen=True)
class FloatFormat:
    """A small float. ``bits`` counts the sign bit only if ``signed``; codes are sign-magnitude."""

    name: str
    exponent_bits: int
    mantissa_bits: int
    bias: int
    signed: bool = True
    specials: Specials = Specials.NONE
    has_zero: bool = True
    note: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.name

    @property
    def magnitude_bits(self) -> int:
        """Exponent plus mantissa bits."""
        return self.exponent_bits + self.mantissa_bits

    @property
    def bits(self) -> int:
        """Width of a code in bits."""
        return self.magnitude_bits + self.signed

    @property
    def bits_stored(self) -> int:
        """Bits a code takes in memory: whole bytes for scales."""
        return 8 * self.code_dtype.itemsize

    @property
    def sign_mask(self) -> int:
        """The sign bit of a code; 0 in unsigned formats."""
        return 1 << self.magnitude_bits if self.signed else 0

    @property
    def max_code(self) -> int:
        """The code of the largest finite magnitude."""
        top = (1 << self.magnitude_bits) - 1
        if self.specials is Specials.NAN:
            return top - 1
        if self.specials is Specials.IEEE:
            return top - (1 << self.mantissa_bits)
        return top

    @property
    def nan_code(self) -> int | None:
        """The canonical NaN code (sign clear, all ones), or None where the format has none."""
        return None if self.specials is Specials.NONE else (1 << self.magnitude_bits) - 1

    @property
    def inf_code(self) -> int | None:
        """The code of +Inf, or None."""
        return self.max_code + 1 if self.specials is Specials.IEEE else None

    @property
    def max(self) -> float:
        """The largest finite value."""
        return self.value(self.max_code)

    @property
    def min_normal(self) -> float:
        """The smallest normal magnitude."""
        return 2.0 ** (1 - self.bias if self.has_zero else -self.bias)

    @property
    def smallest(self) -> float:
        """The smallest nonzero magnitude."""
        return self.value(1 if self.has_zero else 0)

    @property
    def emax(self) -> int:
        """floor(log2(max)): the exponent that the OCP scale rule subtracts."""
        return int(np.frexp(self.max)[1]) - 1

    @property
    def code_dtype(self) -> np.dtype[np.unsignedinteger]:
        """The narrowest unsigned dtype that holds a code."""
        return np.dtype(np.uint8 if self.bits <= 8 else np.uint16 if self.bits <= 16 else np.uint32)

    def value(self, code: int) -> float:
        """Decode one code exactly (Inf and NaN included)."""
        if not 0 <= code < 1 << self.bits:
            raise UsageError(f"{self.name} has no code {code}: codes are 0..{(1 << self.bits) - 1}")
        magnitude = code & ((1 << self.magnitude_bits) - 1)
        sign = -1.0 if code & self.sign_mask else 1.0
        if magnitude > self.max_code:
            return sign * float("inf") if magnitude == self.inf_code else float("nan")
        exponent, mantissa = magnitude >> self.mantissa_bits, magnitude & ((1 << self.mantissa_bits) - 1)
        if exponent == 0 and self.has_zero:
            return sign * mantissa * 2.0 ** (1 - self.bias - self.mantissa_bits)
        return sign * ((1 << self.mantissa_bits) + mantissa) * 2.0 ** (exponent - self.bias - self.mantissa_bits)

    def values(self) -> NDArray[np.float64]:
        """All 2^bits values by code, float64, read-only; defined for formats of up to 16 bits."""
        if self.bits > 16:
            raise UsageError(f"{self.name} has 2^{self.bits} codes: too many to list")
        return _values(self)

    def magnitudes(self) -> NDArray[np.float64]:
        """The finite magnitudes in order of code, float64, shape (max_code + 1,)."""
        return self.values()[: self.max_code + 1]


ELEMENTS: tuple[FloatFormat, ...] = (
    FloatFormat("e2m1", 2, 1, 1, note="the FP4 of NVFP4 and MXFP4"),
    FloatFormat("e1m2", 1, 2, 0, note="uniform: the same 15 values as a halved INT4"),
    FloatFormat("e3m0", 3, 0, 3, note="powers of two and zero"),
    FloatFormat("e0m3", 0, 3, -2, note="symmetric INT4 (0..7 with a sign): the element of nvint4"),
)

CASTS: tuple[FloatFormat, ...] = (
    FloatFormat("e4m3", 4, 3, 7, specials=Specials.NAN, note="FP8 operand"),
    FloatFormat("e5m2", 5, 2, 15, specials=Specials.IEEE, note="FP8 operand"),
    FloatFormat("bf16", 8, 7, 127, specials=Specials.IEEE, note="unquantized operand"),
    FloatFormat("fp32", 8, 23, 127, specials=Specials.IEEE, note="unquantized operand"),
)

# UE5M3: three maxima are in circulation; the parameter `max` names which (recipe reports use all three).
UE5M3_SPECIALS = {61440: Specials.IEEE, 114688: Specials.NAN, 122880: Specials.NONE}

SCALES: tuple[FloatFormat, ...] = (
    FloatFormat("e8m0", 8, 0, 127, signed=False, specials=Specials.NAN, has_zero=False, note="power of two, no zero"),
    FloatFormat("e4m3", 4, 3, 7, signed=False, specials=Specials.NAN, note="UE4M3: the scale of NVFP4"),
    FloatFormat("e5m2", 5, 2, 15, signed=False, specials=Specials.IEEE),
    FloatFormat("ue5m3", 5, 3, 15, signed=False, specials=Specials.NAN, note="max=114688; also :max=61440, 122880"),
    FloatFormat("e3m4", 3, 4, 3, signed=False, specials=Specials.IEEE),
    FloatFormat("bf16", 8, 7, 127, signed=False, specials=Specials.IEEE),
    FloatFormat("fp32", 8, 23, 127, signed=False, specials=Specials.IEEE),
)

E2M1, E1M2, E3M0, E0M3 = ELEMENTS
E8M0, UE4M3 = SCALES[0], SCALES[1]
E4M3 = CASTS[0]

_GENERIC = re.compile(r"e([0-9])m([0-9])")


@lru_cache(maxsize=64)
def _values(fmt: FloatFormat) -> NDArray[np.float64]:
    table = np.array([fmt.value(code) for code in range(1 << fmt.bits)])
    table.setflags(write=False)
    return table


@lru_cache(maxsize=256)
def element_format(name: str) -> FloatFormat:
    """Look up an element or operand format by name. Raises UsageError for an unknown one."""
    for fmt in ELEMENTS + CASTS:
        if fmt.name == name:
            return fmt
    known = " ".join(fmt.name for fmt in ELEMENTS + CASTS)
    raise UsageError(f"unknown element format {name!r}: known are {known}")


@lru_cache(maxsize=256)
def scale_format(name: str, maximum: int | None = None) -> FloatFormat:
    """Look up a scale encoding: a named one, or generic ``eXmY`` with X+Y <= 8, IEEE bias and all codes finite.

    ``maximum`` chooses among UE5M3's three maxima. Raises UsageError.
    """
    if maximum is not None:
        if name != "ue5m3" or maximum not in UE5M3_SPECIALS:
            raise UsageError(f"scale {name}:max={maximum}: only ue5m3 takes max, one of 61440, 114688, 122880")
        return FloatFormat("ue5m3", 5, 3, 15, signed=False, specials=UE5M3_SPECIALS[maximum])
    for fmt in SCALES:
        if fmt.name == name:
            return fmt
    match = _GENERIC.fullmatch(name)
    if match:
        exponent_bits, mantissa_bits = int(match[1]), int(match[2])
        if exponent_bits >= 1 and 1 <= exponent_bits + mantissa_bits <= 8:
            return FloatFormat(name, exponent_bits, mantissa_bits, 2 ** (exponent_bits - 1) - 1, signed=False)
    known = " ".join(fmt.name for fmt in SCALES)
    raise UsageError(f"unknown scale encoding {name!r}: known are {known} and eXmY with X >= 1 and X+Y <= 8")
