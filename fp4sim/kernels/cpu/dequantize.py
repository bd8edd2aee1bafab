"""Codes to float32 values, compiled: the float64 product of value and block decode, rounded once."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.kernels.cpu.jit import bits_of, float_of, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.floats import FloatFormat


def dequantize(
    codes: NDArray[np.uint8], decode: NDArray[np.float64], tile: tuple[int, int], fmt: FloatFormat
) -> NDArray[np.float32]:
    """See :meth:`fp4sim.kernels.interface.Kernels.dequantize`."""
    out = np.empty(codes.shape, np.float32)
    _kernel(fmt)(codes, decode, *tile, out)
    return out


@lru_cache(maxsize=16)
def _kernel(fmt: FloatFormat) -> Any:
    """The kernel of one format: a code's value is put together from its bits, which vectorizes as a table does not."""
    shift = np.int32(23 - fmt.mantissa_bits)
    rebias = np.int32((127 - fmt.bias) << 23)
    first_normal = np.int32(1 << fmt.mantissa_bits)
    quantum = np.float32(fmt.min_normal * 2.0**-fmt.mantissa_bits)
    sign_mask, sign_shift = np.int32(fmt.sign_mask), np.int32(31 - fmt.magnitude_bits)
    values = fmt.values().astype(np.float64)
    plain = fmt.bits <= 4  # no NaN among the codes

    @kernel
    def decode_blocks(codes: Any, decode: Any, rows: Any, cols: Any, out: Any) -> None:
        for row in range(codes.shape[0]):
            line, target, scales = codes[row], out[row], decode[row // rows]
            for block in range(scales.size):
                scale = scales[block]
                piece, part = line[block * cols : (block + 1) * cols], target[block * cols : (block + 1) * cols]
                if plain:
                    for j in range(piece.size):
                        code = np.int32(piece[j])
                        magnitude = np.int32(code & (sign_mask - np.int32(1)))
                        normal = float_of(np.int32(np.int32(magnitude << shift) + rebias))
                        value = np.float32(magnitude) * quantum if magnitude < first_normal else normal
                        signed = float_of(np.int32(bits_of(value) | np.int32((code & sign_mask) << sign_shift)))
                        part[j] = np.float32(np.float64(signed) * scale)
                else:
                    for j in range(piece.size):
                        part[j] = np.float32(values[piece[j]] * scale)

    return decode_blocks
