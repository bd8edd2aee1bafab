"""Layouts of block scales: linear, and the swizzles that tensor cores and libraries read.

``128x4``: the layout of cuBLASLt, CUTLASS and torchao's ``to_blocked``; rows padded to 128, columns to 4, tiles of 512
bytes in row-major order. Row r, column c lies at

    ((r div 128) * ceil(cols/4) + c div 4) * 512 + (r mod 32) * 16 + ((r mod 128) div 32) * 4 + c mod 4

``8x4``: FlashInfer's and TensorRT-LLM's layout for few rows; rows padded to 8, columns to 4, tiles of 32 bytes, row-major
inside. Padding is zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from fp4sim.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Layout = Literal["linear", "128x4", "8x4"]
LAYOUTS: tuple[Layout, ...] = ("linear", "128x4", "8x4")


def padded_shape(rows: int, cols: int, layout: Layout) -> tuple[int, int]:
    """Shape of a (rows, cols) scale matrix with a layout's padding."""
    height = {"linear": 1, "128x4": 128, "8x4": 8}.get(layout)
    if height is None:
        raise UsageError(f"unknown scale layout {layout!r}: known are {' '.join(LAYOUTS)}")
    width = 1 if layout == "linear" else 4
    return -(-rows // height) * height, -(-cols // width) * width


def offsets(rows: int, cols: int, layout: Layout) -> NDArray[np.int64]:
    """Byte offset of each scale in the laid-out buffer, int64 (rows, cols)."""
    padded_shape(rows, cols, layout)
    r, c = np.arange(rows)[:, None], np.arange(cols)[None, :]
    tiles = -(-cols // 4)
    if layout == "linear":
        return np.asarray(r * cols + c)
    if layout == "8x4":
        return np.asarray((r // 8 * tiles + c // 4) * 32 + r % 8 * 4 + c % 4)
    return np.asarray((r // 128 * tiles + c // 4) * 512 + r % 32 * 16 + r % 128 // 32 * 4 + c % 4)


def swizzle(scales: NDArray[np.uint8], layout: Layout) -> NDArray[np.uint8]:
    """Lay out a linear (rows, cols) matrix; returns the padded buffer with ``padded_shape``."""
    if scales.ndim != 2:
        raise UsageError(f"scales to lay out must be a matrix, not of shape {scales.shape}")
    rows, cols = scales.shape
    shape = padded_shape(rows, cols, layout)
    buffer = np.zeros(shape[0] * shape[1], scales.dtype)
    buffer[offsets(rows, cols, layout)] = scales
    return buffer.reshape(shape)


def unswizzle(buffer: NDArray[np.uint8], rows: int, cols: int, layout: Layout) -> NDArray[np.uint8]:
    """The linear (rows, cols) matrix of a laid-out buffer of any shape. Raises UsageError if its size does not fit."""
    shape = padded_shape(rows, cols, layout)
    if buffer.size != shape[0] * shape[1]:
        raise UsageError(
            f"{buffer.size} scales are not a {layout} layout of {rows} x {cols}, which takes {shape[0] * shape[1]}"
        )
    return np.ascontiguousarray(buffer).reshape(-1)[offsets(rows, cols, layout)]
