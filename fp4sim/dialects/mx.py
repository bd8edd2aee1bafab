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

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects.base import BlockScales, TensorFactors
from fp4sim.dialects.target import FLT_MAX

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.dialects.target import Target
    from fp4sim.floats import FloatFormat

NAN_CODE = 255


def block_scales(target: Target, amax: NDArray[np.float32], factors: TensorFactors) -> BlockScales:
    """E8M0 codes, and factors shrink * S_enc * 2^(127 - code)."""
    codes = scale_codes(amax * factors.encode, target.spec.element, target.spec.rule or "floor", target.inverse)
    exponent = 127 - codes.astype(np.int32)
    with np.errstate(all="ignore"):
        power = np.ldexp(np.float32(target.shrink), exponent).astype(np.float32) * factors.encode
        power = np.minimum(power, FLT_MAX)  # a given tensor scale may exceed the range: 0 * Inf would not be 0
    return BlockScales(codes, np.where(codes == NAN_CODE, np.float32(np.nan), power))


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
        code = _round_up(amax * (inverse if inverse is not None else np.float32(1 / element.max)))
    else:
        code = _nearest_log2(amax, element)
    return np.where(overflow, NAN_CODE, np.clip(code, 0, 254)).astype(np.uint8)


def _round_up(x: NDArray[np.float32]) -> NDArray[np.int32]:
    """``cvt.rp.satfinite.ue8m0``: the next power of two; a subnormal above 2^-127 counts as 2^-126."""
    bits = np.ascontiguousarray(x).view(np.int32)
    exponent, mantissa = bits >> 23, bits & 0x7FFFFF
    return np.asarray(exponent + np.where(exponent > 0, mantissa > 0, mantissa > 0x400000))


def _nearest_log2(amax: NDArray[np.float32], element: FloatFormat) -> NDArray[np.int64]:
    """round(log2(amax/max)) + 127: up iff (amax/max)^2 >= 2 * 4^k, both sides exact in float64 (24-bit significands)."""
    significand, exponent = np.frexp(amax.astype(np.float64))
    top, top_exponent = np.frexp(element.max)
    below = significand < top
    k = exponent - top_exponent - below  # floor(log2(amax / max))
    scaled = np.where(below, 2 * significand, significand)
    up = scaled * scaled >= 2 * top * top
    return np.asarray(np.where(amax == 0, 0, k + up + 127), np.int64)
