"""Where blocks and chunks of a tensor lie: the quantized axis moved last, padding, and the fixed grid of cells.

A tensor of any rank becomes a matrix (rows, length): the quantized axis last, the others flattened in order. Tiles of more
than one row never straddle the matrices of a higher-rank tensor. The matrix is cut into cells of at most 2^18 elements that
hold whole blocks; the cut depends on shape and block alone, so sums merged cell by cell have the same digits everywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from fp4sim.errors import UsageError
from fp4sim.kernels.interface import Place
from fp4sim.transforms import rotation_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fp4sim.spec import Block, Spec

CELL_ELEMENTS = 1 << 18
PIECE_ELEMENTS = 1 << 20
_LANE_UNIT = 32


@dataclass(frozen=True)
class Cell:
    """Rows [row0, row0 + rows) and columns [col0, col0 + cols) of the matrix."""

    row0: int
    rows: int
    col0: int
    cols: int


@dataclass(frozen=True)
class Run:
    """Neighbouring cells worked on together: ``whole`` is cut into cells of ``cell_rows`` rows, the last one shorter."""

    whole: Cell
    cell_rows: int


@dataclass(frozen=True)
class Geometry:
    """The matrix view of a tensor of ``shape`` quantized along ``axis`` (non-negative) in ``block``s.

    ``span``: columns that share a tensor scale where that is finer than a row, else 0. ``rotation``: columns that are
    rotated together, else 0.
    """

    shape: tuple[int, ...]
    axis: int
    block: Block
    span: int = 0
    rotation: int = 0

    @classmethod
    def of(cls, shape: Sequence[int], axis: int, block: Block, span: int = 0, rotation: int = 0) -> Geometry:
        """Check and normalize.

        Raises UsageError for an axis that is not there, scalars, empty tensors, bad tiles and rotations that do not divide.
        """
        shape = tuple(int(n) for n in shape)
        if not shape or 0 in shape:
            raise UsageError(f"shape {shape} has no elements along an axis to quantize")
        if not -len(shape) <= axis < len(shape):
            raise UsageError(f"axis {axis} is not one of shape {shape}")
        if block.kind == "tile" and block.rows > 1 and len(shape) < 2:
            raise UsageError(f"/{block} tiles need at least 2 axes, the shape is {shape}")
        if rotation and shape[axis] % rotation:
            raise UsageError(
                f"shape {shape}: a rotation of {rotation} does not divide axis {axis % len(shape)} of length {shape[axis]};"
                " choose a smaller one, e.g. +rht:16, or pad the tensor"
            )
        return cls(shape, axis % len(shape), block, span, rotation)

    @classmethod
    def for_spec(cls, shape: Sequence[int], axis: int, spec: Spec) -> Geometry:
        """The matrix view that a spec works on. Raises as :meth:`of`."""
        return cls.of(shape, axis, spec.block, spec.tensor_scale.span, rotation_size(spec))

    @property
    def length(self) -> int:
        """Elements along the quantized axis."""
        return self.shape[self.axis]

    @property
    def inner(self) -> int:
        """Distance in elements between neighbours along the axis."""
        return math.prod(self.shape[self.axis + 1 :])

    @property
    def rows(self) -> int:
        """Rows of the matrix."""
        return math.prod(self.shape) // self.length

    @property
    def moved_shape(self) -> tuple[int, ...]:
        """The shape with the axis last."""
        return (*self.shape[: self.axis], *self.shape[self.axis + 1 :], self.length)

    @property
    def matrix_rows(self) -> int:
        """Rows of one matrix of a higher-rank tensor: what tiles may not straddle."""
        return self.moved_shape[-2] if len(self.shape) > 1 else 1

    @property
    def block_rows(self) -> int:
        """Rows a block spans within a cell."""
        return self.block.rows if self.block.kind == "tile" else 1

    @property
    def padded_length(self) -> int:
        """Columns padded to whole blocks (tiles), or to the kernels' groups of 16."""
        unit = self.block.cols if self.block.kind == "tile" else 16
        unit = math.lcm(unit, self.span) if self.span else unit
        return -(-self.length // unit) * unit

    @property
    def stored_length(self) -> int:
        """Columns that ``PackedTensor.packed`` stores: whole blocks, or an even number."""
        unit = self.block.cols if self.block.kind == "tile" else 2
        return -(-self.length // unit) * unit

    @property
    def block_shape(self) -> tuple[int, ...]:
        """Shape of ``block_scale``: one entry a block, () for the whole tensor."""
        if self.block.kind in ("none", "tensor"):
            return ()
        if self.block.kind == "row":
            return (*self.moved_shape[:-1], 1)
        lead = self.moved_shape[:-1]
        if self.block.rows > 1:
            lead = (*lead[:-1], -(-lead[-1] // self.block.rows))
        return (*lead, -(-self.length // self.block.cols))

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """The fixed grid of error sums, row-major: cells of at most 2^18 elements, neighbours of full rows together."""
        return self.runs_of(PIECE_ELEMENTS)

    def runs_of(self, elements: int) -> tuple[Run, ...]:
        """The same grid, as many cells together as have ``elements``, but one at least."""
        cells = self.grid(CELL_ELEMENTS)
        height = cells[0].rows
        if cells[0].cols < self.length:
            return tuple(Run(cell, max(cell.rows, 1)) for cell in cells)
        most = max(1, elements // CELL_ELEMENTS) * height
        limit = self.matrix_rows if self.block_rows > 1 else self.rows
        return tuple(
            Run(Cell(matrix + row, min(most, limit - row), 0, self.length), height)
            for matrix in range(0, self.rows, limit)
            for row in range(0, limit, most)
        )

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """The cells of the fixed grid, one by one."""
        return self.grid(CELL_ELEMENTS)

    @cached_property
    def pieces(self) -> tuple[Cell, ...]:
        """A coarser grid for work whose result does not depend on the cut: maxima and codes."""
        return self.grid(PIECE_ELEMENTS)

    def grid(self, elements: int) -> tuple[Cell, ...]:
        """Cells of at most ``elements`` that cover the matrix, row-major."""
        width = self._columns(elements)
        height = max(1, elements // min(width, self.padded_length) // self.block_rows) * self.block_rows
        limit = self.matrix_rows if self.block_rows > 1 else self.rows
        cells = []
        for matrix in range(0, self.rows, limit):
            for row in range(0, limit, height):
                rows = min(height, limit - row)
                for col in range(0, self.length, width):
                    cells.append(Cell(matrix + row, rows, col, min(width, self.length - col)))
        return tuple(cells)

    def _columns(self, elements: int) -> int:
        most = elements // self.block_rows
        if self.padded_length <= most:
            return self.padded_length
        unit = math.lcm(
            _LANE_UNIT, self.block.cols if self.block.kind == "tile" else 1, self.span or 1, self.rotation or 1
        )
        return max(unit, most // unit * unit)

    @property
    def block_matrix(self) -> tuple[int, int]:
        """Blocks of the matrix view, padding included: rows and columns (tiles only)."""
        matrices = self.rows // self.matrix_rows if self.block_rows > 1 else self.rows
        per_matrix = -(-self.matrix_rows // self.block_rows) if self.block_rows > 1 else 1
        return matrices * per_matrix, self.padded_length // self.block.cols

    def blocks_of(self, cell: Cell) -> tuple[slice, slice]:
        """A cell's blocks in the block matrix (tiles only)."""
        rows, cols = self.padded(cell)
        top = cell.row0
        if self.block_rows > 1:
            matrix, inside = divmod(cell.row0, self.matrix_rows)
            top = matrix * -(-self.matrix_rows // self.block_rows) + inside // self.block_rows
        left = cell.col0 // self.block.cols
        return slice(top, top + rows // self.block_rows), slice(left, left + cols // self.block.cols)

    def padded(self, cell: Cell) -> tuple[int, int]:
        """Shape of a cell's panel: whole blocks."""
        unit = self.block.cols if self.block.kind == "tile" else 16
        unit = math.lcm(unit, self.span) if self.span else unit
        return -(-cell.rows // self.block_rows) * self.block_rows, -(-cell.cols // unit) * unit

    def tile(self, cell: Cell) -> tuple[int, int]:
        """Rows and columns that share a factor within a cell's panel."""
        if self.block.kind == "tile":
            return self.block.rows, self.block.cols
        rows, cols = self.padded(cell)
        return (1, cols) if self.block.kind == "row" else (rows, cols)

    def place(self, cell: Cell) -> Place:
        """Where a cell's elements lie in the random stream."""
        return Place(cell.row0, cell.col0, self.length, self.inner)

    def index_of(self, cell: Cell, panel_index: int) -> tuple[int, ...]:
        """The tensor index of an element given by its flat index in a cell's panel."""
        width = self.padded(cell)[1]
        row, col = cell.row0 + panel_index // width, cell.col0 + panel_index % width
        lead = self.moved_shape[:-1]
        index = []
        for size in reversed(lead):
            row, digit = divmod(row, size)
            index.append(digit)
        moved = [*reversed(index)]
        return (*moved[: self.axis], col, *moved[self.axis :])
