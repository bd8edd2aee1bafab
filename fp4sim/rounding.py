"""Roundings and cast policies as data: thresholds between codes, and what becomes of overflow, NaN, Inf and −0.

A deterministic rounding of magnitude ``a`` to a format with codes 0..n is n thresholds: the code is at least k
exactly when ``not (a < t[k])``. A tie that goes down moves its threshold to the next float32 above, so that one
comparison serves every mode, and NaN (which is never below a threshold) takes the largest code, as the instruction does.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from fp4sim.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.floats import FloatFormat


class Rounding(Enum):
    """How a value between two codes is rounded. Signs: ``RU``/``RD`` are toward +Inf/-Inf, the rest symmetric."""

    RN = "rn"  # nearest, ties to the even code (IEEE 754, PTX .rn)
    RNA = "rna"  # nearest, ties away from zero
    RNZ = "rnz"  # nearest, ties toward zero
    RNU = "rnu"  # nearest, ties toward +Inf
    RZ = "rz"  # toward zero
    RU = "ru"  # toward +Inf
    RD = "rd"  # toward -Inf
    SR = "sr"  # stochastic, from given random bits

    def __str__(self) -> str:
        return self.value

    @classmethod
    def of(cls, name: str | Rounding) -> Rounding:
        """Accept a member or its name. Raises UsageError listing the names."""
        try:
            return name if isinstance(name, Rounding) else cls(name.lower())
        except ValueError:
            raise UsageError(f"unknown rounding {name!r}: known are {' '.join(m.value for m in cls)}") from None

    def for_magnitude(self, negative: bool) -> Rounding:
        """The mode that acts on |x|: ``RU``/``RD`` become ``RU`` (away) or ``RZ`` by sign, ``RNU`` ``RNA`` or ``RNZ``."""
        if self is Rounding.RNU:
            return Rounding.RNZ if negative else Rounding.RNA
        if self is Rounding.RD:
            return Rounding.RU if negative else Rounding.RZ
        return Rounding.RZ if self is Rounding.RU and negative else self


@dataclass(frozen=True)
class CastPolicy:
    """What a cast does where rounding has no answer. The default is ``cvt.rn.satfinite.e2m1x2`` (PTX ISA 9.0).

    * ``overflow``: ``saturate`` clamps magnitudes above max, Inf included, to ±max; ``special`` gives Inf where the
      format has one, else NaN (PTX casts without .satfinite).
    * ``nan``: ``hardware`` gives the canonical NaN code where there is one, else +max; ``zero`` gives +0; ``signed`` the
      quiet NaN with x's sign, else a zero of the other sign (ml_dtypes); ``payload`` what rounding the bits of a NaN as
      if it were a number leaves in 4 bits (torchao).
    * ``negative_zero``: ``keep`` copies the sign bit always; ``drop`` encodes an exact -0 as +0 (small negatives
      that round to zero keep their sign); ``never`` encodes whatever rounds to zero as +0; ``set`` gives exact zeros of
      either sign the sign bit.
    """

    overflow: Literal["saturate", "special"] = "saturate"
    nan: Literal["hardware", "zero", "signed", "payload"] = "hardware"
    negative_zero: Literal["keep", "drop", "never", "set"] = "keep"


HARDWARE = CastPolicy()


@lru_cache(maxsize=256)
def midpoints(fmt: FloatFormat) -> NDArray[np.float64]:
    """Midpoints between neighbouring magnitudes, float64, shape (max_code,)."""
    values = fmt.magnitudes()
    return (values[1:] + values[:-1]) / 2


def tie_winner(lower_code: int, rounding: Rounding) -> int:
    """The magnitude code that the midpoint above ``lower_code`` rounds to under a nearest mode."""
    if rounding is Rounding.RN:
        return lower_code + (lower_code & 1)
    return lower_code + (rounding is Rounding.RNA)


@lru_cache(maxsize=256)
def thresholds(fmt: FloatFormat, rounding: Rounding, negative: bool = False) -> NDArray[np.float32]:
    """Thresholds t[k-1] for k = 1..max_code: |x| gets code >= k exactly when ``not (|x| < t[k-1])``.

    Values above max saturate. ``negative`` selects the table for negative x, which differs under ``RU``/``RD``.
    Raises UsageError for stochastic rounding and for formats wider than 8 bits.
    """
    mode = rounding.for_magnitude(negative)
    if mode is Rounding.SR or fmt.bits > 8:
        raise UsageError(f"{fmt.name} with rounding {mode} has no threshold table")
    values = fmt.magnitudes()
    table = np.empty(fmt.max_code, np.float32)
    for k in range(1, fmt.max_code + 1):
        if mode is Rounding.RZ:
            closed, threshold = True, values[k]
        elif mode is Rounding.RU:
            closed, threshold = False, values[k - 1]
        else:
            closed, threshold = tie_winner(k - 1, mode) == k, midpoints(fmt)[k - 1]
        t = np.float32(threshold)
        table[k - 1] = t if closed else np.nextafter(t, np.float32(np.inf))
    table.setflags(write=False)
    return table
