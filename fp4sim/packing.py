"""Quantizes one tensor to a PackedTensor: stage 1 over all cells, then scales and codes cell by cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.estimators.pipeline import check_spec, is_random, prepare
from fp4sim.fpmode import ieee_mode
from fp4sim.geometry import Cell, Geometry
from fp4sim.packed import PackedTensor
from fp4sim.panels import Nonfinite, Panels
from fp4sim.parallel import run_all, thread_count
from fp4sim.randbits import Stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.io.source import Tensor
    from fp4sim.kernels.interface import Kernels
    from fp4sim.quantizer import Quantizer
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
    check_spec(spec)
    geometry = Geometry.for_spec(tensor.info.shape, axis, spec)
    panels, stream = Panels(tensor, geometry.axis), Stream.of(seed, tensor.info.name, draw)
    return quantize_panels(
        panels, spec, geometry, stream, tensor_scale=tensor_scale, nonfinite=nonfinite, threads=threads, kernels=kernels
    )


def quantize_panels(
    panels: Panels,
    spec: Spec,
    geometry: Geometry,
    stream: Stream,
    *,
    tensor_scale: NDArray[np.float32] | None = None,
    nonfinite: Nonfinite = "error",
    threads: int | None = None,
    kernels: Kernels | None = None,
) -> PackedTensor:
    """The same for a tensor's panels, wherever they lie; the result lies there too."""
    workers = thread_count(threads)
    pipeline = prepare(
        panels, spec, geometry, stream, given=tensor_scale, nonfinite=nonfinite, threads=workers, kernels=kernels
    )
    quantizer = pipeline.quantizer
    output = _Output(geometry, quantizer, panels)

    def encode(cell: Cell) -> None:
        panel = pipeline.load(cell, drop_nonfinite=nonfinite == "ignore")
        place = output.place_of(cell, panel)
        if place is not None and pipeline.is_plain:
            scales = quantizer.scales(cell, panel)
            quantizer.encode_packed(cell, panel, scales, place)
            output.scales(cell, scales.codes, scales.stored)
            return
        encoded = pipeline.encode(cell, panel)
        output.codes(cell, encoded.codes)
        output.scales(cell, encoded.scales.codes, encoded.scales.stored)
        output.extra(cell, encoded.extra)

    run_all(encode, panels.pieces(geometry), workers)
    assert quantizer.statistic is not None
    return PackedTensor(
        packed=output.packed.reshape(*geometry.moved_shape[:-1], -1),
        block_scale=panels.beside(output.block_scale),
        tensor_scale=panels.beside(output.tensor_scale),
        shape=geometry.shape,
        axis=geometry.axis,
        spec=spec,
        dtype=panels.tensor.info.dtype,
        seed=stream.seed if is_random(spec) else None,
        signs=None if pipeline.rotation is None else np.array(pipeline.rotation.signs, np.int8),
        extra=output.logical_extras(),
        nonfinite=quantizer.statistic.nonfinite,
    )


class _Output:
    """The arrays of a PackedTensor as matrices, filled cell by cell (cells never overlap)."""

    def __init__(self, geometry: Geometry, quantizer: Quantizer, panels: Panels) -> None:
        spec = quantizer.spec
        self.geometry, self.spec = geometry, spec
        self.pack = quantizer.kernels.pack
        self.nibbles = spec.element.bits <= 4
        self.itemsize = spec.element.code_dtype.itemsize
        width = geometry.stored_length // 2 if self.nibbles else geometry.stored_length * self.itemsize
        self.packed = panels.zeros((geometry.rows, width), np.dtype(np.uint8))
        scale_dtype = spec.scale.code_dtype if spec.scale else np.dtype(np.uint8)
        shape = geometry.block_shape if spec.scale is not None else (0,)
        self.block_scale = np.zeros(shape, scale_dtype)
        self._scale_matrix = self.block_scale.reshape(-1, max(1, shape[-1] if shape else 1))
        self.tensor_scale = np.ones(self._tensor_scale_shape(quantizer.given), np.float32)
        self.extras = self._extras()

    def _extras(self) -> dict[str, NDArray[Any]]:
        """What estimators keep besides: by element (residual, trust) in the logical shape, or by block (index)."""
        extras: dict[str, NDArray[Any]] = {}
        if self.spec.has("occ") and not self.spec.step("occ").get("nocomp", False):
            extras["residual"] = np.zeros((self.geometry.rows, self.geometry.length), np.float32)
        if self.spec.has("quest"):
            extras["trust"] = np.zeros((self.geometry.rows, self.geometry.length), np.bool_)
        if self.spec.has("mxplus"):
            extras["index"] = np.zeros(self.geometry.block_shape, np.uint8)
        return extras

    def logical_extras(self) -> dict[str, NDArray[Any]]:
        """The extras with what belongs to elements in the logical shape."""
        geometry = self.geometry
        return {
            name: array
            if name == "index"
            else np.ascontiguousarray(np.moveaxis(array.reshape(geometry.moved_shape), -1, geometry.axis))
            for name, array in self.extras.items()
        }

    def extra(self, cell: Cell, found: dict[str, NDArray[Any]]) -> None:
        """Store what a cell's estimator kept."""
        rows, cols = slice(cell.row0, cell.row0 + cell.rows), slice(cell.col0, cell.col0 + cell.cols)
        for name, target in self.extras.items():
            if name == "index":
                place = target.reshape(-1, target.shape[-1])[self.geometry.blocks_of(cell)]
                place[...] = found[name][: place.shape[0], : place.shape[1]]
            else:
                target[rows, cols] = found[name][: cell.rows, : cell.cols]

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
            raw = self.pack(codes.astype(np.uint8, copy=False))
        else:
            raw = codes.astype(codes.dtype.newbyteorder("<"), order="C", copy=False).view(np.uint8)
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
