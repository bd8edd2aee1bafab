"""EDEN's inner products, compiled: the order of sums of :mod:`fp4sim.kernels.reference.products`."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.kernels.cpu.jit import bits_of, float_of, inlined, kernel
from fp4sim.stats.sums import LANES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.floats import FloatFormat
    from fp4sim.kernels.interface import ElementCast


def can_multiply(tile: tuple[int, int], group: int) -> bool:
    """Whether the compiled path covers a shape: whole lanes of one block in whole lanes of a group."""
    return tile[1] % LANES == 0 and group % LANES == 0


def products(
    x: NDArray[np.float32],
    codes: NDArray[np.uint8],
    factor: NDArray[np.float32],
    tile: tuple[int, int],
    cast: ElementCast,
    group: int,
) -> NDArray[np.float64]:
    """See :meth:`fp4sim.kernels.interface.Kernels.products`."""
    out = np.empty((2, x.shape[0], x.shape[1] // group))
    _kernel(cast.fmt, cast.divides)(x, codes, factor, *tile, group, out)
    return out


@inlined
def _halved(s: Any) -> Any:
    """Lane i with i + 8, then 4, 2, 1."""
    even = ((s[0] + s[8]) + (s[4] + s[12])) + ((s[2] + s[10]) + (s[6] + s[14]))
    odd = ((s[1] + s[9]) + (s[5] + s[13])) + ((s[3] + s[11]) + (s[7] + s[15]))
    return even + odd


@lru_cache(maxsize=16)
def _kernel(fmt: FloatFormat, divides: bool) -> Any:
    """The kernel of one format; a code's value is put together from its bits, which vectorizes."""
    shift = np.int32(23 - fmt.mantissa_bits)
    rebias = np.int32((127 - fmt.bias) << 23)
    first_normal = np.int32(1 << fmt.mantissa_bits)
    quantum = np.float32(fmt.min_normal * 2.0**-fmt.mantissa_bits)
    sign_mask, sign_shift = np.int32(fmt.sign_mask), np.int32(31 - fmt.magnitude_bits)

    @kernel
    def sums(x: Any, codes: Any, factor: Any, rows: Any, cols: Any, group: Any, out: Any) -> None:
        square, product = np.empty(16), np.empty(16)
        parts = group // 16
        for row in range(x.shape[0]):
            line, code, scales = x[row], codes[row], factor[row // rows]
            block, left = -1, 0
            for index in range(out.shape[2]):
                for j in range(16):
                    square[j] = 0.0
                    product[j] = 0.0
                for part in range(parts):
                    if left == 0:
                        block, left = block + 1, cols // 16
                        scale = scales[block]
                    left -= 1
                    for j in range(16):
                        element = line[(index * parts + part) * 16 + j]
                        z = np.float64(element / scale if divides else element * scale)
                        one = np.int32(code[(index * parts + part) * 16 + j])
                        magnitude = np.int32(one & (sign_mask - np.int32(1)))
                        normal = float_of(np.int32(np.int32(magnitude << shift) + rebias))
                        value = np.float32(magnitude) * quantum if magnitude < first_normal else normal
                        signed = float_of(np.int32(bits_of(value) | np.int32((one & sign_mask) << sign_shift)))
                        square[j] += z * z
                        product[j] += z * np.float64(signed)
                out[0, row, index] = _halved(square)
                out[1, row, index] = _halved(product)

    return sums
