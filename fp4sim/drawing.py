"""Draws of an estimator: what one tensor becomes under draw 0, 1, 2, ..., a cell at a time.

What does not change between draws (the statistic, and for plain formats the block scales) is computed once. Draw k of a
tensor is the same whatever the threads and whatever was drawn before it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fp4sim.estimators.base import Encoded
from fp4sim.estimators.pipeline import Pipeline, check_spec, is_random, prepare
from fp4sim.geometry import Geometry
from fp4sim.gpu.backends import backends_of
from fp4sim.kernels.reference.blocks import expand
from fp4sim.parallel import run_all
from fp4sim.randbits import Stream
from fp4sim.stats.draw_statistics import NORMAL, SUBNORMAL, ZERO_SCALE
from fp4sim.transforms import redraws_rotation

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fp4sim.geometry import Cell
    from fp4sim.io.source import Tensor
    from fp4sim.kernels.interface import Kernels
    from fp4sim.quantizer import CellScales
    from fp4sim.spec import Spec

Domain = Literal["input", "rotated"]


class Drawer:
    """One tensor under one spec, drawn as often as wanted.

    ``name``: of the random stream, the tensor's by default; operands that must round independently take different ones.
    Raises as :func:`fp4sim.quantize`. Not to be used from several threads: it uses ``threads`` itself.
    """

    def __init__(
        self,
        tensor: Tensor,
        spec: Spec,
        axis: int = -1,
        *,
        seed: int = 0,
        name: str | None = None,
        threads: int = 1,
        kernels: Kernels | None = None,
    ) -> None:
        check_spec(spec)
        self.spec, self.seed = spec, seed
        self.name = tensor.info.name if name is None else name
        self.geometry = Geometry.for_spec(tensor.info.shape, axis, spec)
        self.is_random = is_random(spec)
        self._panels, own, _ = backends_of(tensor, self.geometry.axis, [spec])[0]
        self._kernels, self._on_gpu = kernels or own, own is not None
        self.threads = 1 if self._on_gpu else threads
        self._known: Pipeline | None = None
        self._scales: dict[Cell, CellScales] = {}

    @property
    def cells(self) -> tuple[Cell, ...]:
        """What is drawn at a time: the fixed grid's cells, larger ones on a GPU."""
        return self._panels.pieces(self.geometry) if self._on_gpu else self.geometry.cells

    def pipeline(self, draw: int) -> Pipeline:
        """The estimator bound to a draw."""
        stream = Stream.of(self.seed, self.name, draw)
        if self._known is None or redraws_rotation(self.spec):
            settings: dict[str, Any] = {"threads": self.threads, "kernels": self._kernels}
            self._known = prepare(self._panels, self.spec, self.geometry, stream, **settings)
        return replace(self._known, quantizer=replace(self._known.quantizer, stream=stream))

    def each(
        self, draw: int, work: Callable[[Cell, NDArray[np.float32], Encoded], None], domain: Domain = "input"
    ) -> None:
        """Call ``work(cell, values, encoded)`` for every cell, from several threads: values float32 (rows, cols)."""
        pipeline = self.pipeline(draw)

        def one(cell: Cell) -> None:
            encoded = self._encode(pipeline, cell)
            values = pipeline.values(cell, encoded)
            if pipeline.rotation is not None and domain == "input":
                whole = values if values.shape[1] == cell.cols else values[:, : cell.cols].copy()
                values = pipeline.rotation.undo(whole, pipeline.quantizer.kernels)
            work(cell, values[: cell.rows, : cell.cols], encoded)

        run_all(one, self.cells, self.threads)

    def matrix(self, draw: int, domain: Domain = "rotated") -> NDArray[np.float32]:
        """All values of a draw as a matrix (rows, length), the quantized axis last."""
        out = np.empty((self.geometry.rows, self.geometry.length), np.float32)

        def store(cell: Cell, values: NDArray[np.float32], _: Encoded) -> None:
            out[cell.row0 : cell.row0 + cell.rows, cell.col0 : cell.col0 + cell.cols] = values

        self.each(draw, store, domain)
        return out

    def trust(self, draw: int = 0) -> NDArray[np.bool_]:
        """QuEST's trust mask in the rotated domain, (rows, length); all True for other estimators."""
        mask = np.ones((self.geometry.rows, self.geometry.length), np.bool_)

        def store(cell: Cell, _: NDArray[np.float32], encoded: Encoded) -> None:
            if "trust" in encoded.extra:
                place = slice(cell.row0, cell.row0 + cell.rows), slice(cell.col0, cell.col0 + cell.cols)
                mask[place] = encoded.extra["trust"][: cell.rows, : cell.cols]

        self.each(draw, store, "rotated")
        return mask

    def exact(self, cell: Cell) -> NDArray[np.float32]:
        """The cell's own values, (rows, cols)."""
        return self._panels.load(self.geometry, cell)[: cell.rows, : cell.cols]

    def zones(self, cell: Cell) -> NDArray[np.uint8]:
        """Which zone each element's block scale lies in, (rows, cols), as draw 0 finds it.

        Under a rotation a group's elements belong to many blocks; they take the worst zone among the group's.
        """
        encoded = self._encode(self.pipeline(0), cell)
        fmt, codes = self.spec.scale, encoded.scales.codes
        if fmt is None or not fmt.has_zero:
            return np.full((cell.rows, cell.cols), NORMAL, np.uint8)
        magnitude = codes & codes.dtype.type((1 << fmt.magnitude_bits) - 1)
        subnormal = magnitude < (1 << fmt.mantissa_bits)
        zone = np.where(magnitude == 0, ZERO_SCALE, np.where(subnormal, SUBNORMAL, NORMAL)).astype(np.uint8)
        wide = np.ascontiguousarray(expand(zone, self.geometry.tile(cell))[: cell.rows, : cell.cols])
        size = self.geometry.rotation
        if size:
            groups = wide.reshape(cell.rows, -1, size)
            groups[...] = groups.max(axis=2, keepdims=True)
        return wide

    def _encode(self, pipeline: Pipeline, cell: Cell) -> Encoded:
        panel = pipeline.load(cell)
        if not pipeline.is_plain or redraws_rotation(self.spec):
            return pipeline.encode(cell, panel)
        if cell not in self._scales:
            self._scales[cell] = pipeline.quantizer.scales(cell, panel)
        return Encoded(pipeline.quantizer.encode(cell, panel, self._scales[cell]), self._scales[cell])
