"""The conversions that NVIDIA defines, in fp4sim's terms: a format, a rounding and a policy each. cuda/casts.cuh has them too.

Source: PTX ISA 9.0, ``cvt`` to e2m1x2, e4m3x2 and ue8m0x2; cuda_fp4.hpp and cuda_fp8.hpp agree for all 2^32 inputs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fp4sim.floats import E2M1, E4M3, E8M0, FloatFormat
from fp4sim.kernels.reference.encode import encode
from fp4sim.rounding import HARDWARE, CastPolicy, Rounding

_SPECIAL = CastPolicy(overflow="special")
_SIGN, _INF, _LAST, _ALL = 0x80000000, 0x7F800000, 0x7FFFFFFF, 1 << 32


def _below(limits: NDArray[np.int64], patterns: int, stride: int) -> NDArray[np.int64]:
    """How many of the first multiples of ``stride``, modulo 2^32, are less than each limit."""
    found = np.zeros(limits.shape, np.int64)
    for turn in range(0, patterns * stride, _ALL):
        first = -(-turn // stride)
        found += np.minimum(-(-(limits + turn) // stride), patterns) - first
    return found


@dataclass(frozen=True)
class Cast:
    """A conversion from float32. ``instruction``: what PTX calls it; empty where there is only a function."""

    name: str
    fmt: FloatFormat
    rounding: Rounding
    policy: CastPolicy = field(default_factory=lambda: HARDWARE)
    instruction: str = ""

    def codes(self, bits: NDArray[np.uint32]) -> NDArray[np.uint8]:
        """Codes of float32 bits, by the reference."""
        if not self.fmt.signed:
            bits = bits & np.uint32(_LAST)  # else the sign would turn the direction of a rounding
        x = np.ascontiguousarray(bits).view(np.float32)
        return np.asarray(encode(x, self.fmt, self.rounding, policy=self.policy), np.uint8)

    def histogram(self, patterns: int = _ALL, stride: int = 1) -> NDArray[np.int64]:
        """How often each code comes out over ``patterns`` patterns, each ``stride`` after the last, modulo 2^32; (256,).

        A code never falls as a magnitude grows, so the patterns where it changes are found by halving intervals.
        """
        counts = np.zeros(256, np.int64)
        for sign in (0, _SIGN):
            starts = self._changes(sign)
            codes = self.codes((starts + sign).astype(np.uint32))
            nans = self.codes(np.array([_INF + 1 + sign, _LAST + sign], np.uint32))
            if nans[0] != nans[1]:
                raise AssertionError(f"{self.name}: NaNs have several codes")
            limits = np.array([*starts, _INF + 1, _LAST + 1], np.int64) + sign
            np.add.at(counts, np.append(codes, nans[0]), np.diff(_below(limits, patterns, stride)))
        return counts

    def _changes(self, sign: int) -> NDArray[np.int64]:
        """The magnitudes in [0, Inf] at which a new code begins, 0 first."""
        low, high = np.array([0], np.int64), np.array([_INF], np.int64)
        starts = [0]
        while low.size:
            differ = self.codes((low + sign).astype(np.uint32)) != self.codes((high + sign).astype(np.uint32))
            low, high = low[differ], high[differ]
            adjacent = high - low == 1
            starts += high[adjacent].tolist()
            low, high = low[~adjacent], high[~adjacent]
            middle = (low + high) // 2
            low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
        return np.array(sorted(starts), np.int64)


CASTS: tuple[Cast, ...] = (
    Cast("e2m1", E2M1, Rounding.RN, instruction="cvt.rn.satfinite.e2m1x2.f32"),
    Cast("e4m3", E4M3, Rounding.RN, instruction="cvt.rn.satfinite.e4m3x2.f32"),
    Cast("e4m3_inf", E4M3, Rounding.RN, _SPECIAL),
    Cast("e8m0_up", E8M0, Rounding.RU, instruction="cvt.rp.satfinite.ue8m0x2.f32"),
    Cast("e8m0_down", E8M0, Rounding.RZ, instruction="cvt.rz.satfinite.ue8m0x2.f32"),
    Cast("e8m0_up_inf", E8M0, Rounding.RU, _SPECIAL, "cvt.rp.ue8m0x2.f32"),
    Cast("e8m0_down_inf", E8M0, Rounding.RZ, _SPECIAL, "cvt.rz.ue8m0x2.f32"),
)
