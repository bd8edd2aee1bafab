"""Panels: the cells of a tensor as padded float32 matrices, read when they are needed and widened exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.geometry import Cell, Geometry
    from fp4sim.io.source import Tensor

# A tensor up to this size is read once and kept; a larger one is read cell by cell in each pass.
RESIDENT_BYTES = 1 << 28

FLOAT_DTYPES = [
    "float32",
    "bfloat16",
    "float16",
    "float64",
    "float8_e4m3fn",
    "float8_e5m2",
    "float8_e4m3fnuz",
    "float8_e5m2fnuz",
    "float8_e8m0fnu",
    "float8_e3m4",
    "float4_e2m1fn",
]


def is_float(dtype: str) -> bool:
    """Whether a dtype (by numpy or ml_dtypes name) holds what can be quantized."""
    return dtype in FLOAT_DTYPES


def widen(x: NDArray[Any]) -> NDArray[np.float32]:
    """To float32: exact from the narrower floats, rounded once from float64. Raises UsageError for anything else."""
    name = x.dtype.name
    if name == "float32":
        return x.astype(np.float32, copy=False)
    if name == "bfloat16":
        wide = x.view(np.uint16).astype(np.uint32)
        wide <<= np.uint32(16)
        return wide.view(np.float32)
    if not is_float(name):
        raise UsageError(f"dtype {name} cannot be quantized: float32, bfloat16, float16, float64 or an 8-bit float can")
    with np.errstate(over="ignore", invalid="ignore"):
        return x.astype(np.float32)


class Panels:
    """The cells of one tensor under one axis. Thread-safe to read."""

    def __init__(self, tensor: Tensor, axis: int) -> None:
        self.tensor = tensor
        self.moved_last = axis in (-1, len(tensor.info.shape) - 1)
        itemsize = 8 if tensor.info.dtype == "float64" else 4
        self.resident = not self.moved_last or tensor.info.size * itemsize <= RESIDENT_BYTES or tensor.load_whole
        self._matrix: NDArray[Any] | None = None
        if self.resident:
            whole = tensor.read_all()
            if not self.moved_last:
                whole = np.moveaxis(whole, axis, -1)
            self._matrix = np.ascontiguousarray(whole).reshape(-1, whole.shape[-1])

    def load(self, geometry: Geometry, cell: Cell, *, drop_nonfinite: bool = False) -> NDArray[np.float32]:
        """A cell's panel: float32, C-contiguous, padded with zeros to ``geometry.padded(cell)``."""
        if self._matrix is not None:
            raw = self._matrix[cell.row0 : cell.row0 + cell.rows, cell.col0 : cell.col0 + cell.cols]
        else:
            raw = self._read(geometry.length, cell)
        values = widen(raw)
        if drop_nonfinite:
            values = np.where(np.isfinite(values), values, np.float32(0))
        shape = geometry.padded(cell)
        if values.shape == shape:
            return np.ascontiguousarray(values)
        panel = np.zeros(shape, np.float32)
        panel[: cell.rows, : cell.cols] = values
        return panel

    def _read(self, length: int, cell: Cell) -> NDArray[Any]:
        """A cell from the file: one range where it holds whole rows, else one range a row."""
        start = cell.row0 * length + cell.col0
        if cell.cols == length or cell.rows == 1:
            return self.tensor.read(start, start + cell.rows * cell.cols).reshape(cell.rows, cell.cols)
        starts = range(start, start + cell.rows * length, length)
        return np.stack([self.tensor.read(first, first + cell.cols) for first in starts])
