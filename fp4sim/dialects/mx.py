"""Power-of-two block scales (E8M0): the five rules in circulation, on the bits of amax.

With E the exponent field and M the mantissa field of amax (float32), emax = floor(log2(element max)), code c = 2^(c-127):

* ``floor`` (OCP MX v1.0 §6.3): E - emax
* ``ceil`` (torchao CEIL): E - emax, one more if M > 0
* ``even`` (torchao EVEN, Quark, vLLM): floor after rounding amax to the element's mantissa width, halves up
* ``rceil`` (NVIDIA: cuBLASLt, TE, ``cvt.rp.ue8m0x2``): fl(amax fl(1/max)) rounded up to a power of two
* ``log2``: amax/max rounded to the nearest power of two in the logarithm, exactly

Codes are clamped to 0..254; an amax that is Inf or NaN, or that ``even`` rounds to 2^128, gives 255 = NaN (torchao
main 36027d8).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects.base import BlockScales
from fp4sim.dialects.target import FLT_MAX

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.dialects.base import TensorFactors
    from fp4sim.dialects.target import Target
    from fp4sim.floats import FloatFormat

NAN_CODE = 255

Codes = Callable[["NDArray[np.float32]", "Target"], "NDArray[np.uint8]"]


@dataclass(frozen=True)
class PowerScales:
    """How a library makes power-of-two scales and what x is multiplied by.

    ``codes``: codes of block maxima under the spec's rule. ``least``: the multiplier under code 0 where it is not 2^127.
    ``gain``: a further factor on x, which the stored tensor scale undoes. ``nan``: the multiplier under a NaN scale.
    """

    text: str = "the rule that the spec names"
    codes: Codes = field(default_factory=lambda: named_rule)
    least: float | None = None
    gain: float = 1.0
    nan: float = float("nan")

    def block_scales(self, target: Target, amax: NDArray[np.float32], factors: TensorFactors) -> BlockScales:
        """E8M0 codes, and factors gain * shrink * S_enc * 2^(127 - code)."""
        codes = self.codes(np.asarray(amax * factors.encode), target)
        exponent = 127 - codes.astype(np.int32)
        with np.errstate(all="ignore"):
            power = np.ldexp(np.float32(1), exponent).astype(np.float32)
            if self.least is not None:
                power = np.where(codes == 0, np.float32(self.least), power)
            power = power * np.float32(target.shrink * self.gain) * factors.encode
            power = np.minimum(power, FLT_MAX)  # a given tensor scale may exceed the range: 0 * Inf would not be 0
        return BlockScales(codes, np.where(codes == NAN_CODE, np.float32(self.nan), power).astype(np.float32))


def named_rule(amax: NDArray[np.float32], target: Target) -> NDArray[np.uint8]:
    """The rule that the spec names."""
    return scale_codes(amax, target.spec.element, target.spec.rule or "floor", target.inverse)


def scale_codes(
    amax: NDArray[np.float32], element: FloatFormat, rule: str, inverse: np.float32 | None = None
) -> NDArray[np.uint8]:
    """E8M0 codes of block maxima under a rule; ``inverse`` is fl(1/max)."""
    amax = np.ascontiguousarray(amax, np.float32)
    bits = amax.view(np.int32)
    overflow = ~np.isfinite(amax)
    if rule == "floor":
        code = (bits >> 23) - element.emax
    elif rule == "ceil":
        code = (bits >> 23) - element.emax + ((bits & 0x7FFFFF) > 0)
    elif rule == "even":
        half = 1 << (22 - element.mantissa_bits) if element.mantissa_bits < 23 else 0  # float32 has no more to round
        rounded = (bits.astype(np.int64) + half) >> 23
        overflow = overflow | (rounded >= 255)
        code = rounded - element.emax
    elif rule == "rceil":
        code = round_up(amax * (inverse if inverse is not None else np.float32(1 / element.max)))
    else:
        code = _nearest_log2(amax, element)
    return np.where(overflow, NAN_CODE, np.clip(code, 0, 254)).astype(np.uint8)


def round_up(x: NDArray[np.float32]) -> NDArray[np.int32]:
    """``cvt.rp.satfinite.ue8m0``: the next power of two; a subnormal above 2^-127 counts as 2^-126."""
    bits = np.ascontiguousarray(x).view(np.int32)
    exponent, mantissa = bits >> 23, bits & 0x7FFFFF
    return np.asarray(exponent + np.where(exponent > 0, mantissa > 0, mantissa > 0x400000))


def up_saturating(x: NDArray[np.float32]) -> NDArray[np.uint8]:
    """``cvt.rp.satfinite.ue8m0``: codes of the powers of two at or above x >= 0; Inf gives 254, NaN 255."""
    return np.where(np.isnan(x), NAN_CODE, np.minimum(round_up(x), 254)).astype(np.uint8)


def float_log2(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """log2 rounded to float32, which is what libraries' log2f aims at; next to a power of two it is the power's."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log2(np.asarray(x, np.float64)).astype(np.float32)


def _nearest_log2(amax: NDArray[np.float32], element: FloatFormat) -> NDArray[np.int64]:
    """round(log2(amax/max)) + 127: up iff (amax/max)^2 >= 2 * 4^k, both sides exact in float64 (24-bit significands)."""
    significand, exponent = np.frexp(amax.astype(np.float64))
    top, top_exponent = np.frexp(element.max)
    below = significand < top
    k = exponent - top_exponent - below  # floor(log2(amax / max))
    scaled = np.where(below, 2 * significand, significand)
    up = scaled * scaled >= 2 * top * top
    return np.asarray(np.where(amax == 0, 0, k + up + 127), np.int64)
