"""Four-over-six, compiled: the errors of both encodings of a block in one pass, in the order of reference/choose.py."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.kernels.cpu.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.floats import FloatFormat

LANES = 16


def can_choose(tile: tuple[int, int]) -> bool:
    """Whether the compiled path covers a tile: 16 columns, and rows that are a power of two."""
    return tile[1] == LANES and tile[0] & (tile[0] - 1) == 0


def choose(
    x: NDArray[np.float32],
    codes: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    scales: tuple[NDArray[np.float32], NDArray[np.float32]],
    group: tuple[NDArray[np.float32], np.float32],
    tile: tuple[int, int],
    fmt: FloatFormat,
    metric: str,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """See :meth:`fp4sim.kernels.interface.Kernels.choose`."""
    shape = scales[0].shape
    amax = np.ascontiguousarray(np.broadcast_to(group[0], shape), np.float32)
    out, other = np.empty(x.shape, np.uint8), np.empty(shape, np.bool_)
    _kernel(fmt, metric)(x, *codes, *scales, amax, group[1], tile[0], out, other)
    return out, other


@lru_cache(maxsize=16)
def _kernel(fmt: FloatFormat, metric: str) -> Any:
    """The kernel of one format and criterion."""
    values = fmt.values().astype(np.float32)
    squared, largest = metric == "mse", metric == "absmax"

    @kernel
    def choose_blocks(
        x: Any, first: Any, second: Any, scale1: Any, scale2: Any, amax: Any, reach: Any, rows: Any, out: Any, other: Any
    ) -> None:
        by_row = np.empty((2, rows), np.float32)
        term = np.empty((2, 16), np.float32)
        value = np.empty((2, 16), np.float32)
        for tile in range(other.shape[0]):
            for block in range(other.shape[1]):
                for r in range(rows):
                    line = x[tile * rows + r, block * 16 : (block + 1) * 16]
                    code1 = first[tile * rows + r, block * 16 : (block + 1) * 16]
                    code2 = second[tile * rows + r, block * 16 : (block + 1) * 16]
                    s1, s2, a = scale1[tile, block], scale2[tile, block], amax[tile, block]
                    for j in range(16):
                        value[0, j] = values[code1[j]]
                        value[1, j] = values[code2[j]]
                    for j in range(16):
                        d1 = abs(((value[0, j] * s1) * a) / reach - line[j])
                        d2 = abs(((value[1, j] * s2) * a) / reach - line[j])
                        term[0, j] = d1 * d1 if squared else d1
                        term[1, j] = d2 * d2 if squared else d2
                    e1, e2 = np.float32(0), np.float32(0)
                    for j in range(16):
                        e1 = max(e1, term[0, j]) if largest else e1 + term[0, j]
                        e2 = max(e2, term[1, j]) if largest else e2 + term[1, j]
                    by_row[0, r], by_row[1, r] = e1, e2
                width = rows // 2
                while width > 0:
                    for r in range(width):
                        for k in range(2):
                            a1, a2 = by_row[k, r], by_row[k, r + width]
                            by_row[k, r] = max(a1, a2) if largest else a1 + a2
                    width //= 2
                chosen = by_row[1, 0] < by_row[0, 0]
                other[tile, block] = chosen
                for r in range(rows):
                    target = out[tile * rows + r, block * 16 : (block + 1) * 16]
                    source = second if chosen else first
                    piece = source[tile * rows + r, block * 16 : (block + 1) * 16]
                    for j in range(16):
                        target[j] = piece[j]

    return choose_blocks
