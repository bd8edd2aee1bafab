"""Quantizes one tensor to a PackedTensor: stage 1 over all cells, then scales and codes cell by cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.geometry import Cell, Geometry
from fp4sim.packed import PackedTensor
from fp4sim.panels import Panels
from fp4sim.parallel import map_ordered, thread_count
from fp4sim.quantizer import Nonfinite, Quantizer, Statistic, default_kernels, nonfinite_error
from fp4sim.randbits import Stream
from fp4sim.rounding import Rounding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.io.source import Tensor
    from fp4sim.kernels.interface import Kernels
    from fp4sim.spec import Spec

BlockMaxima = dict[Cell, "NDArray[np.float32]"]


def quantize_tensor(
    tensor: Tensor,
    spec: Spec,
    *,
    axis: int = -1,
    seed: int = 0,
    draw: int = 0,
    tensor_scale: NDArray[np.float32] | None = None,
    nonfinite: Nonfinite = "error",
    threads: int | None = None,
    kernels: Kernels | None = None,
) -> PackedTensor:
    """Quantize; see :func:`fp4sim.quantize`."""
    geometry = Geometry.of(tensor.info.shape, axis, spec.block, spec.tensor_scale.span)
    panels, workers = Panels(tensor, geometry.axis), thread_count(threads)
    run = kernels or default_kernels()
    maxima, statistic = _block_maxima(panels, geometry, nonfinite, workers, run)
    quantizer = Quantizer(spec, geometry, statistic, Stream.of(seed, tensor.info.name, draw), tensor_scale, run)
    output = _Output(geometry, quantizer)

    def encode(cell: Cell) -> None:
        panel = panels.load(geometry, cell, drop_nonfinite=nonfinite == "ignore")
        amax = maxima[cell] if geometry.block.kind == "tile" else None
        scales = quantizer.scales(cell, panel, amax)
        output.codes(cell, quantizer.encode(cell, panel, scales, packed=output.nibbles))
        output.scales(cell, scales.codes, scales.stored)

    for _ in map_ordered(encode, geometry.cells, workers):
        pass
    return PackedTensor(
        packed=output.packed.reshape(*geometry.moved_shape[:-1], -1),
        block_scale=output.block_scale.reshape(geometry.block_shape if spec.scale is not None else (0,)),
        tensor_scale=output.tensor_scale,
        shape=geometry.shape,
        axis=geometry.axis,
        spec=spec,
        dtype=tensor.info.dtype,
        seed=seed if spec.rounding is Rounding.SR else None,
        nonfinite=statistic.nonfinite,
    )


def _block_maxima(
    panels: Panels, geometry: Geometry, nonfinite: Nonfinite, threads: int, kernels: Kernels
) -> tuple[BlockMaxima, Statistic]:
    """Stage 1 with the block maxima kept: a sixteenth of the data, and stage 2 need not read it again."""
    keep = geometry.block.kind == "tile"
    maxima: BlockMaxima = {}
    rows = np.zeros(geometry.rows if not keep or geometry.block.rows == 1 else 0, np.float32)

    def largest(cell: Cell) -> tuple[Cell, NDArray[np.float32], int]:
        panel = panels.load(geometry, cell)
        tile = geometry.tile(cell) if keep else (1, panel.shape[1])
        amax = kernels.block_amax(panel, tile)
        if np.isfinite(amax).all():
            return cell, amax, 0
        bad = ~np.isfinite(panel)
        if nonfinite == "error":
            index = geometry.index_of(cell, int(np.flatnonzero(bad)[0]))
            raise nonfinite_error(panels.tensor.info.name, index, panel[bad][0])
        if nonfinite == "ignore":
            amax = kernels.block_amax(np.where(bad, np.float32(0), panel), tile)
        return cell, amax, int(bad.sum())

    amax, count = np.float32(0), 0
    for cell, blocks, bad in map_ordered(largest, geometry.cells, threads):
        if keep:
            maxima[cell] = blocks
        if rows.size:
            target = rows[cell.row0 : cell.row0 + cell.rows]
            np.maximum(target, blocks.max(axis=1)[: cell.rows], out=target)
        amax = np.maximum(amax, blocks.max())
        count += bad
    return maxima, Statistic(amax, rows, count)


class _Output:
    """The arrays of a PackedTensor as matrices, filled cell by cell (cells never overlap)."""

    def __init__(self, geometry: Geometry, quantizer: Quantizer) -> None:
        spec = quantizer.spec
        self.geometry, self.spec = geometry, spec
        self.nibbles = spec.element.bits <= 4
        self.itemsize = spec.element.code_dtype.itemsize
        width = geometry.stored_length // 2 if self.nibbles else geometry.stored_length * self.itemsize
        self.packed = np.zeros((geometry.rows, width), np.uint8)
        scale_dtype = spec.scale.code_dtype if spec.scale else np.dtype(np.uint8)
        shape = geometry.block_shape if spec.scale is not None else (0,)
        self.block_scale = np.zeros(shape, scale_dtype)
        self._scale_matrix = self.block_scale.reshape(-1, max(1, shape[-1] if shape else 1))
        self.tensor_scale = np.ones(self._tensor_scale_shape(), np.float32)

    def _tensor_scale_shape(self) -> tuple[int, ...]:
        mode = self.spec.tensor_scale.mode
        if mode == "blocks":
            return self.geometry.rows, -(-self.geometry.length // self.geometry.span)
        return (self.geometry.rows,) if mode == "row" else ()

    def codes(self, cell: Cell, codes: NDArray[np.unsignedinteger]) -> None:
        """Store the codes of a panel (packed nibbles, or one code an element)."""
        rows = slice(cell.row0, cell.row0 + cell.rows)
        raw = codes if self.nibbles else np.ascontiguousarray(codes, codes.dtype.newbyteorder("<")).view(np.uint8)
        start = cell.col0 // 2 if self.nibbles else cell.col0 * self.itemsize
        stop = min(start + raw.shape[1], self.packed.shape[1])
        self.packed[rows, start:stop] = raw[: cell.rows, : stop - start]

    def scales(self, cell: Cell, codes: NDArray[np.unsignedinteger], stored: NDArray[np.float32]) -> None:
        """Store a cell's scale codes and tensor scales."""
        geometry, block = self.geometry, self.geometry.block
        if self.spec.scale is not None:
            if block.kind == "tile":
                per_matrix = -(-geometry.matrix_rows // block.rows)
                matrix, inside = divmod(cell.row0, geometry.matrix_rows)
                top = cell.row0 if block.rows == 1 else matrix * per_matrix + inside // block.rows
                left = cell.col0 // block.cols
                target = self._scale_matrix[top : top + codes.shape[0], left : left + codes.shape[1]]
                target[...] = codes[: target.shape[0], : target.shape[1]]  # less blocks that only pad a ts group
            elif block.kind == "row":
                self._scale_matrix[cell.row0 : cell.row0 + cell.rows] = codes
            else:
                self._scale_matrix[...] = codes
        rows = slice(cell.row0, cell.row0 + cell.rows)
        if self.tensor_scale.ndim == 2:
            group = self.spec.tensor_scale.span // block.cols
            first = cell.col0 // self.spec.tensor_scale.span
            per_group = stored[:, ::group]
            columns = self.tensor_scale[rows, first : first + per_group.shape[1]]
            columns[...] = per_group[: cell.rows, : columns.shape[1]]
        elif self.tensor_scale.ndim == 1:
            self.tensor_scale[rows] = np.broadcast_to(stored.reshape(-1), cell.rows)
        else:
            self.tensor_scale[...] = stored.reshape(-1)[0]
