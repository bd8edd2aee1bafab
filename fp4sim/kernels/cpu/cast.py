"""Elementwise casts of block scales: unsigned formats of any width, directed roundings included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.kernels.cpu.jit import kernel
from fp4sim.rounding import Rounding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.floats import FloatFormat


def can_cast(fmt: FloatFormat, rounding: Rounding) -> bool:
    """Unsigned formats with a zero of up to 8 bits, nearest-even, up or down: what float block scales use."""
    return not fmt.signed and fmt.has_zero and fmt.bits <= 8 and rounding in (Rounding.RN, Rounding.RU, Rounding.RD)


def cast_scale(x: NDArray[np.float32], fmt: FloatFormat, rounding: Rounding) -> NDArray[np.uint8]:
    """Saturating cast of |x| to an unsigned format, as :func:`fp4sim.kernels.reference.encode.encode` defines it."""
    flat = np.ascontiguousarray(x).reshape(-1)
    out = np.empty(flat.size, np.uint8)
    nan = fmt.nan_code if fmt.nan_code is not None else fmt.max_code
    mode = (Rounding.RN, Rounding.RU, Rounding.RD).index(rounding)
    _cast(flat.view(np.int32), fmt.mantissa_bits, fmt.bias, fmt.max_code, nan, mode, out)
    return out.reshape(x.shape)


@kernel
def _cast(bits: Any, mantissa: Any, bias: Any, largest: Any, nan: Any, mode: Any, out: Any) -> None:
    one: Any = np.int64(1)
    shift = 23 - mantissa
    for i in range(bits.size):
        pattern: Any = np.int64(bits[i])
        negative = pattern < 0
        magnitude = pattern & 0x7FFFFFFF
        if magnitude > 0x7F800000:
            out[i] = nan
            continue
        exponent = magnitude >> 23
        significand = (magnitude & 0x7FFFFF) | (0x800000 if exponent > 0 else 0)
        exponent = max(exponent, 1)
        # Below the target's normal range the quantum stops shrinking: shift out more bits (41 leaves none of 24).
        drop = min(shift + max(0, 128 - bias - exponent), 41)
        code = significand >> drop
        rest, half = significand & ((one << drop) - 1), one << (drop - 1)
        if mode == 0:
            code += (rest > half) | ((rest == half) & (code & 1))
        else:
            code += (rest > 0) & ((mode == 2) == negative)
        code += max(0, exponent + bias - 128) << mantissa
        out[i] = min(code, largest)
