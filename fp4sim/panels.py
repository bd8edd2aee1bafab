"""Panels: the cells of a tensor as padded float32 matrices, read when they are needed and widened exactly."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from fp4sim.errors import UnreadableError, UsageError
from fp4sim.geometry import Cell, Geometry, Run
from fp4sim.parallel import run_all
from fp4sim.spec import Block

if TYPE_CHECKING:
    from fp4sim.io.source import Tensor, TensorInfo
    from fp4sim.kernels.interface import Kernels
    from fp4sim.transforms import Rotation

Nonfinite = Literal["error", "propagate", "ignore"]
Change = Callable[[Cell, NDArray[np.float32]], NDArray[np.float32]]

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
        self.tensor, self.axis = tensor, axis
        self._changes: tuple[Change, ...] = ()
        self._drop = False
        self.moved_last = axis in (-1, len(tensor.info.shape) - 1)
        itemsize = 8 if tensor.info.dtype == "float64" else 4
        self.resident = not self.moved_last or tensor.info.size * itemsize <= RESIDENT_BYTES or tensor.load_whole
        self._matrix: NDArray[Any] | None = None
        if self.resident:
            whole = tensor.read_all()
            if not self.moved_last:
                whole = np.moveaxis(whole, axis, -1)
            self._matrix = np.ascontiguousarray(whole).reshape(-1, whole.shape[-1])

    def rotated(
        self, rotation: Rotation, geometry: Geometry, kernels: Kernels, threads: int, nonfinite: Nonfinite
    ) -> Panels:
        """The rotated tensor: a new matrix of what is in memory, else rotated a cell at a time as it is read.

        Raises UnreadableError for NaN and Inf unless they are ignored (taken as 0), since one would spread over its group.
        """
        drop = nonfinite == "ignore"

        def turn(cell: Cell, panel: NDArray[np.float32]) -> NDArray[np.float32]:
            turned = rotation.apply(panel, kernels)
            if not np.isfinite(kernels.block_amax(turned, (1, turned.shape[1])).max()):
                _refuse_nonfinite(self.tensor.info, geometry, cell, panel, rotation.size)
            return turned

        if self._matrix is None:
            return self.mapped(turn, drop=drop)
        turned = copy(self)
        matrix = self.zeros(self._matrix.shape, np.dtype(np.float32))

        def fill(cell: Cell) -> None:
            panel = turn(cell, self.load(geometry, cell, drop_nonfinite=drop))
            place = slice(cell.row0, cell.row0 + cell.rows), slice(cell.col0, cell.col0 + cell.cols)
            matrix[place] = panel[: cell.rows, : cell.cols]

        run_all(fill, self.pieces(geometry), threads)
        turned._matrix = matrix
        return turned

    def pieces(self, geometry: Geometry) -> tuple[Cell, ...]:
        """The parts that are worked on one at a time."""
        return geometry.pieces

    def runs(self, geometry: Geometry) -> tuple[Run, ...]:
        """The same for error sums."""
        return geometry.runs

    def zeros(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """An array of elements where the panels lie."""
        return np.zeros(shape, dtype)

    def beside(self, blocks: NDArray[Any]) -> NDArray[Any]:
        """An array of blocks, taken to where the panels lie."""
        return blocks

    def mapped(self, change: Change, *, drop: bool = False) -> Panels:
        """The same cells, each changed as it is loaded; ``drop``: NaN and Inf are taken as 0 first."""
        changed = copy(self)
        changed._changes = (*self._changes, change)
        changed._drop = drop or self._drop
        return changed

    def whole(self) -> NDArray[np.float32]:
        """The matrix (rows, length) as float32, read if it was not kept."""
        if self._matrix is not None and not self._changes:
            return widen(self._matrix)
        geometry = Geometry.of(self.tensor.info.shape, self.axis, Block("none"))
        whole = Cell(0, geometry.rows, 0, geometry.length)
        return self.load(geometry, whole)[:, : geometry.length]

    def load(self, geometry: Geometry, cell: Cell, *, drop_nonfinite: bool = False) -> NDArray[np.float32]:
        """A cell's panel: float32, C-contiguous, padded with zeros to ``geometry.padded(cell)``."""
        if self._matrix is not None:
            raw = self._matrix[cell.row0 : cell.row0 + cell.rows, cell.col0 : cell.col0 + cell.cols]
        else:
            raw = self._read(geometry.length, cell)
        values = widen(raw)
        if drop_nonfinite or self._drop:
            values = np.where(np.isfinite(values), values, np.float32(0))
        shape = geometry.padded(cell)
        panel = np.ascontiguousarray(values)
        if values.shape != shape:
            panel = np.zeros(shape, np.float32)
            panel[: cell.rows, : cell.cols] = values
        for change in self._changes:
            panel = change(cell, panel)
        return panel

    def _read(self, length: int, cell: Cell) -> NDArray[Any]:
        """A cell from the file: one range where it holds whole rows, else one range a row."""
        start = cell.row0 * length + cell.col0
        if cell.cols == length or cell.rows == 1:
            return self.tensor.read(start, start + cell.rows * cell.cols).reshape(cell.rows, cell.cols)
        starts = range(start, start + cell.rows * length, length)
        return np.stack([self.tensor.read(first, first + cell.cols) for first in starts])


def _refuse_nonfinite(
    info: TensorInfo, geometry: Geometry, cell: Cell, panel: NDArray[np.float32], size: int
) -> NoReturn:
    bad = ~np.isfinite(panel)
    if bad.any():
        index = geometry.index_of(cell, int(np.flatnonzero(bad)[0]))
        raise nonfinite_error(info, index, float(panel[bad][0]), spreads=True)
    from fp4sim.io.files import shown

    largest = float(np.abs(panel).max())
    raise UnreadableError(
        f"tensor '{shown(info.name)}': values up to {largest:.3g} exceed float32 when {size} of them are added"
        " in a rotation; scale the tensor down by a power of two"
    )


def nonfinite_error(
    info: TensorInfo, index: tuple[int, ...], value: float, *, spreads: bool = False
) -> UnreadableError:
    """The error for data that has no finite answer; ``spreads``: a rotation would carry it to its whole group."""
    from fp4sim.io.files import shown

    place = ", ".join(map(str, index))
    who = f"tensor '{shown(info.name)}'" if info.name else "the tensor"
    rounded = " once float64 is rounded to float32" if info.dtype == "float64" else ""
    otherwise = "" if spreads else " or 'propagate' (the dialect's bits)"
    return UnreadableError(
        f"{who} holds {value} at [{place}]{rounded}: clean the data, or, where there is the option, choose"
        f" nonfinite='ignore' (--nonfinite ignore; dropped and counted){otherwise}"
    )
