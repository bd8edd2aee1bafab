"""Transformer Engine's scale stage compiled: the twin of ``fp4sim.dialects.te`` for narrow float scales, nearest-even."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.kernels.cpu.jit import bits_of, float_of, kernel
from fp4sim.rounding import Rounding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.floats import FloatFormat


def can_scale(fmt: FloatFormat, rounding: Rounding) -> bool:
    """Whether the compiled stage covers an encoding: up to 8 bits, with a zero, nearest-even."""
    return fmt.bits <= 8 and fmt.has_zero and rounding is Rounding.RN


def te_scales(
    amax: NDArray[np.float32], multiplier: NDArray[np.float32], decode: NDArray[np.float32], fmt: FloatFormat
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Scale codes and factors of block maxima; ``multiplier`` and ``decode`` broadcast to ``amax``.

    s = cast(min(fl(a m), FLT_MAX)), factor = min(fl(1 / fl(s S_dec)), FLT_MAX), as the dialect's module states.
    """
    codes, factor = np.empty(amax.shape, np.uint8), np.empty(amax.shape, np.float32)
    flat, one_group = [amax.reshape(-1)], multiplier.size == 1 and decode.size == 1
    for one in (multiplier, decode):
        whole = one.reshape(1) if one_group else np.ascontiguousarray(np.broadcast_to(one, amax.shape)).reshape(-1)
        flat.append(whole)
    _te_kernel(fmt, one_group)(*flat, codes.reshape(-1), factor.reshape(-1))
    return codes, factor


@lru_cache(maxsize=64)
def _te_kernel(fmt: FloatFormat, one_group: bool) -> Any:
    """The kernel with one encoding's numbers compiled in; one tensor scale for all blocks, or one a block."""
    shift = np.int32(23 - fmt.mantissa_bits)
    half = np.int32((1 << (22 - fmt.mantissa_bits)) - 1)
    rebias = np.int32((127 - fmt.bias) << 23)
    largest = np.float32(fmt.max).view(np.int32)
    min_normal = np.float32(fmt.min_normal).view(np.int32)
    first_normal = np.int32(1 << fmt.mantissa_bits)
    quantum = np.float32(fmt.min_normal * 2.0**-fmt.mantissa_bits)
    magic = np.float32(1.5 * 2.0**23 * fmt.min_normal * 2.0**-fmt.mantissa_bits)
    magic_bits = magic.view(np.int32)
    one, most = np.int32(1), np.float32(np.finfo(np.float32).max)

    @kernel
    def scales(amax: Any, multiplier: Any, decode: Any, codes: Any, factor: Any) -> None:
        for i in range(amax.size):
            wanted = amax[i] * (multiplier[0] if one_group else multiplier[i])
            wanted = wanted if wanted < most else most  # as fminf: NaN gives FLT_MAX
            clamped = np.int32(min(bits_of(wanted), largest))
            normal = np.int32(clamped - rebias)
            normal = np.int32((normal + half + ((normal >> shift) & one)) >> shift)
            subnormal = np.int32(bits_of(float_of(clamped) + magic) - magic_bits)
            code = subnormal if clamped < min_normal else normal
            value = float_of(np.int32(np.int32(code << shift) + rebias))
            value = np.float32(code) * quantum if code < first_normal else value
            scaled = value * (decode[0] if one_group else decode[i])
            inverse = np.float32(1) / scaled
            codes[i] = np.uint8(code)
            factor[i] = inverse if inverse < most else most

    return scales
