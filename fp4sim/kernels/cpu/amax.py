"""Block maxima: magnitudes compare as integers, so that NaN (the largest pattern) survives and vectors stay full."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.kernels.cpu.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

LANES = 16


def block_amax(
    x: NDArray[np.float32], tile: tuple[int, int], out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """See :meth:`fp4sim.kernels.interface.Kernels.block_amax`."""
    rows, cols = tile
    direct = out is not None and out.flags.c_contiguous  # another layout would compile another kernel
    filled = out if out is not None and direct else np.empty((x.shape[0] // rows, x.shape[1] // cols), np.float32)
    _fill(x.view(np.int32), rows, cols, filled.view(np.int32))
    if out is not None and not direct:
        out[...] = filled
    return filled


def _fill(bits: NDArray[np.int32], rows: int, cols: int, out: NDArray[np.int32]) -> None:
    if rows > 1 or cols % LANES:
        out[...] = 0
    if cols == LANES:
        _amax_16(bits, rows, out)
    elif cols % LANES == 0:
        _amax_lanes(bits, rows, cols, out)
    else:
        _amax_any(bits, rows, cols, out)


@kernel
def _amax_16(bits: NDArray[np.int32], rows: int, out: NDArray[np.int32]) -> None:
    for row in range(bits.shape[0]):
        target = out[row // rows]
        line = bits[row]
        for block in range(target.size):
            largest = target[block] if rows > 1 else np.int32(0)
            for j in range(16):
                largest = max(largest, line[block * 16 + j] & np.int32(0x7FFFFFFF))
            target[block] = largest


@kernel
def _amax_lanes(bits: NDArray[np.int32], rows: int, cols: int, out: NDArray[np.int32]) -> None:
    for row in range(bits.shape[0]):
        target = out[row // rows]
        line = bits[row]
        for block in range(target.size):
            largest = target[block] if rows > 1 else np.int32(0)
            piece = line[block * cols : (block + 1) * cols]
            for j in range(piece.size):
                largest = max(largest, piece[j] & np.int32(0x7FFFFFFF))
            target[block] = largest


@kernel
def _amax_any(bits: NDArray[np.int32], rows: int, cols: int, out: NDArray[np.int32]) -> None:
    for row in range(bits.shape[0]):
        for col in range(bits.shape[1]):
            magnitude = bits[row, col] & np.int32(0x7FFFFFFF)
            if magnitude > out[row // rows, col // cols]:
                out[row // rows, col // cols] = magnitude
