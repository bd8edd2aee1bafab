"""Quantizes one tensor to a PackedTensor: stage 1 over all cells, then scales and codes cell by cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.fpmode import ieee_mode
from fp4sim.geometry import Cell, Geometry
from fp4sim.kernels.reference.blocks import pack
from fp4sim.packed import PackedTensor
from fp4sim.panels import Panels
from fp4sim.parallel import run_all, thread_count
from fp4sim.quantizer import Quantizer
from fp4sim.randbits import Stream
from fp4sim.rounding import Rounding
from fp4sim.statistic import Nonfinite, default_kernels, measure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.io.source import Tensor
    from fp4sim.kernels.interface import Kernels
    from fp4sim.spec import Spec


@ieee_mode()
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
    statistic = measure(panels, geometry, nonfinite, workers, run)
    quantizer = Quantizer(spec, geometry, statistic, Stream.of(seed, tensor.info.name, draw), tensor_scale, run)
    output = _Output(geometry, quantizer)

    def encode(cell: Cell) -> None:
        panel = panels.load(geometry, cell, drop_nonfinite=nonfinite == "ignore")
        scales = quantizer.scales(cell, panel)
        place = output.place_of(cell, panel)
        if place is not None:
            quantizer.encode_packed(cell, panel, scales, place)
        else:
            output.codes(cell, quantizer.encode(cell, panel, scales))
        output.scales(cell, scales.codes, scales.stored)

    run_all(encode, geometry.pieces, workers)
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
        self.tensor_scale = np.ones(self._tensor_scale_shape(quantizer.given), np.float32)

    def _tensor_scale_shape(self, given: NDArray[np.float32] | None) -> tuple[int, ...]:
        mode = self.spec.tensor_scale.mode
        if mode == "blocks":
            return self.geometry.rows, -(-self.geometry.length // self.geometry.span)
        by_row = mode == "row" or (mode == "given" and given is not None and given.shape != ())
        return (self.geometry.rows,) if by_row else ()

    def place_of(self, cell: Cell, panel: NDArray[np.float32]) -> NDArray[np.uint8] | None:
        """Where the nibbles of an unpadded cell of whole rows go: filled in place, without a copy."""
        place = self.packed[cell.row0 : cell.row0 + cell.rows]
        whole = self.nibbles and panel.shape == (cell.rows, 2 * self.packed.shape[1])
        return place if whole else None

    def codes(self, cell: Cell, codes: NDArray[np.unsignedinteger]) -> None:
        """Store the codes of a panel, one an element."""
        rows = slice(cell.row0, cell.row0 + cell.rows)
        if self.nibbles:
            raw = pack(codes.astype(np.uint8, copy=False))
        else:
            raw = np.ascontiguousarray(codes, codes.dtype.newbyteorder("<")).view(np.uint8)
        start = cell.col0 // 2 if self.nibbles else cell.col0 * self.itemsize
        stop = min(start + raw.shape[1], self.packed.shape[1])
        self.packed[rows, start:stop] = raw[: cell.rows, : stop - start]

    def scales(self, cell: Cell, codes: NDArray[np.unsignedinteger], stored: NDArray[np.float32]) -> None:
        """Store a cell's scale codes and tensor scales."""
        geometry, block = self.geometry, self.geometry.block
        if self.spec.scale is not None:
            if block.kind == "tile":
                target = self._scale_matrix[geometry.blocks_of(cell)]
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
