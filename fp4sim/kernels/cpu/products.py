"""EDEN's inner products, compiled: the order of sums of :mod:`fp4sim.kernels.reference.products`."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.kernels.cpu.jit import kernel
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


@lru_cache(maxsize=16)
def _kernel(fmt: FloatFormat, divides: bool) -> Any:
    """The kernel of one format: the values of its codes are compiled in."""
    values = fmt.values().astype(np.float64)

    @kernel
    def sums(x: Any, codes: Any, factor: Any, rows: Any, cols: Any, group: Any, out: Any) -> None:
        square, product = np.empty(16), np.empty(16)
        quantized = np.empty(16)
        for row in range(x.shape[0]):
            line, code, scales = x[row], codes[row], factor[row // rows]
            block, left = -1, 0
            for index in range(out.shape[2]):
                for j in range(16):
                    square[j] = 0.0
                    product[j] = 0.0
                for part in range(group // 16):
                    if left == 0:
                        block, left = block + 1, cols // 16
                        scale = scales[block]
                    left -= 1
                    start = index * group + part * 16
                    piece, piece_codes = line[start : start + 16], code[start : start + 16]
                    for j in range(16):
                        quantized[j] = values[piece_codes[j]]
                    for j in range(16):
                        z = np.float64(piece[j] / scale if divides else piece[j] * scale)
                        square[j] += z * z
                        product[j] += z * quantized[j]
                for width in (8, 4, 2, 1):
                    for j in range(width):
                        square[j] += square[j + width]
                        product[j] += product[j + width]
                out[0, row, index] = square[0]
                out[1, row, index] = product[0]

    return sums
