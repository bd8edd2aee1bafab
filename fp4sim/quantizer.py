"""Turns a spec into work on cells: block statistic, scales, codes or error sums.

Stage 1 (a pass over the data) gives what is wider than a cell: the amax of the tensor or of its rows. Stage 2, the
dialect's, turns block maxima into scale codes and one factor a block. Stage 3 encodes, or sums errors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from fp4sim.dialects.base import TensorFactors, target_of
from fp4sim.dialects.registry import dialect_of
from fp4sim.errors import UnreadableError, UsageError
from fp4sim.kernels.interface import ElementCast
from fp4sim.kernels.reference.encode import decode
from fp4sim.kernels.reference.kernels import ReferenceKernels
from fp4sim.parallel import map_ordered
from fp4sim.randbits import Stream
from fp4sim.rounding import Rounding
from fp4sim.spec_names import STEP_ROWS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.geometry import Cell, Geometry
    from fp4sim.kernels.interface import Kernels
    from fp4sim.panels import Panels
    from fp4sim.spec import Spec
    from fp4sim.stats.sums import PanelSums

Nonfinite = Literal["error", "propagate", "ignore"]


@dataclass(frozen=True)
class Statistic:
    """Stage 1: amax of the tensor and of each row of its matrix; how many elements are not finite."""

    amax: np.float32
    row_amax: NDArray[np.float32]
    nonfinite: int


@dataclass(frozen=True)
class CellScales:
    """Stage 2 on one cell: scale codes, factor, float64 decode multiplier and amax, one a block."""

    codes: NDArray[np.unsignedinteger]
    factor: NDArray[np.float32]
    decode: NDArray[np.float64]
    amax: NDArray[np.float32]
    stored: NDArray[np.float32]


@lru_cache(maxsize=1)
def default_kernels() -> Kernels:
    """The compiled CPU backend."""
    from fp4sim.kernels.cpu.kernels import CpuKernels

    return CpuKernels


def check_available(spec: Spec) -> None:
    """Raise UsageError for parts of a spec that parse but are not built in this version."""
    dialect_of(spec)
    for step in spec.steps:
        if not STEP_ROWS[step.name].available:
            known = " ".join(row.name for row in STEP_ROWS.values() if row.available)
            raise UsageError(f"{spec.short}: step '+{step.name}' is not in this version; there is: {known}")


def measure(
    panels: Panels, geometry: Geometry, nonfinite: Nonfinite, threads: int, kernels: Kernels | None = None
) -> Statistic:
    """Stage 1 over every cell. Raises UnreadableError at the first NaN or Inf under ``nonfinite="error"``."""
    run = kernels or default_kernels()
    rows = np.zeros(geometry.rows, np.float32)

    def cell_amax(cell: Cell) -> tuple[Cell, NDArray[np.float32], int]:
        panel = panels.load(geometry, cell)
        amax = run.block_amax(panel, (1, panel.shape[1]))[: cell.rows, 0]
        if np.isfinite(amax).all():
            return cell, amax, 0
        bad = ~np.isfinite(panel)
        if nonfinite == "error":
            index = geometry.index_of(cell, int(np.flatnonzero(bad)[0]))
            raise nonfinite_error(panels.tensor.info.name, index, panel[bad][0])
        clean = np.where(bad, np.float32(0), panel) if nonfinite == "ignore" else panel
        return cell, ReferenceKernels.block_amax(clean, (1, panel.shape[1]))[: cell.rows, 0], int(bad.sum())

    count = 0
    for cell, amax, bad in map_ordered(cell_amax, geometry.cells, threads):
        target = rows[cell.row0 : cell.row0 + cell.rows]
        np.maximum(target, amax, out=target)  # propagates NaN
        count += bad
    return Statistic(rows.max(), rows, count)


def nonfinite_error(name: str, index: tuple[int, ...], value: np.float32) -> UnreadableError:
    """The error for data that has no finite answer."""
    from fp4sim.io.files import shown

    place = ", ".join(map(str, index))
    return UnreadableError(
        f"tensor '{shown(name)}' holds {value} at [{place}]: clean the data, or choose nonfinite='ignore' (dropped and"
        " counted) or 'propagate' (the dialect's bits)"
    )


@dataclass(frozen=True)
class Quantizer:
    """One spec bound to one tensor's geometry; its methods work cell by cell and are safe from several threads.

    ``statistic`` may be None where :meth:`needs_statistic` is False. ``given``: decode multipliers for ``ts:given``,
    shape () or (rows,).
    """

    spec: Spec
    geometry: Geometry
    statistic: Statistic | None = None
    stream: Stream = field(default_factory=Stream)
    given: NDArray[np.float32] | None = None
    kernels: Kernels = field(default_factory=default_kernels)

    def __post_init__(self) -> None:
        check_available(self.spec)
        if (self.spec.tensor_scale.mode == "given") != (self.given is not None):
            raise UsageError(f"{self.spec.short}: ts:given and the argument tensor_scale need each other")
        if self.given is not None and self.given.shape not in ((), (self.geometry.rows,)):
            raise UsageError(
                f"{self.spec.short}: tensor_scale has shape {self.given.shape}, it must be () or ({self.geometry.rows},)"
            )
        if self.given is not None and not (np.isfinite(self.given).all() and (self.given > 0).all()):
            raise UsageError(f"{self.spec.short}: tensor_scale must be positive and finite")

    @staticmethod
    def needs_statistic(spec: Spec) -> bool:
        """Whether scales depend on more than their own cell."""
        return spec.tensor_scale.mode in ("tensor", "row") or spec.block.kind in ("row", "tensor")

    def cast_of(self) -> ElementCast:
        """How this spec's elements are encoded."""
        dialect = dialect_of(self.spec)
        return ElementCast(
            self.spec.element, self.spec.rounding, self.spec.random_bits, dialect.policy, divides=dialect.divides
        )

    def scales(self, cell: Cell, panel: NDArray[np.float32], amax: NDArray[np.float32] | None = None) -> CellScales:
        """Stage 2 on a cell; ``amax`` may hand in its block maxima."""
        if self.spec.scale is None:
            return self._unscaled(panel)
        amax = self._block_amax(cell, panel) if amax is None else amax
        target, dialect = target_of(self.spec), dialect_of(self.spec)
        factors = self._factors(cell, amax)
        scales = dialect.block_scales(target, amax, factors, self.kernels)
        stored = factors.stored
        if target.shrink != 1.0:
            stored = np.asarray(stored * np.float32(1 / target.shrink), np.float32)
        decoded = decode(scales.codes, self.spec.scale) * stored.astype(np.float64)
        factor = np.ascontiguousarray(np.broadcast_to(scales.factor, amax.shape))
        return CellScales(scales.codes, factor, np.broadcast_to(decoded, amax.shape), amax, stored)

    def encode(
        self, cell: Cell, panel: NDArray[np.float32], scales: CellScales, *, packed: bool = False
    ) -> NDArray[np.unsignedinteger]:
        """Stage 3: codes of a panel, one an element or two a byte."""
        kernels = self.kernels_for(scales)
        run = kernels.encode_packed if packed else kernels.encode
        return run(
            panel, scales.factor, self.geometry.tile(cell), self.cast_of(), self.stream, self.geometry.place(cell)
        )

    def errors(self, cell: Cell, panel: NDArray[np.float32], scales: CellScales) -> PanelSums:
        """Stage 3: the error sums of a cell; the worst index is flat in its panel."""
        codes = self.encode(cell, panel, scales)
        return self.kernels_for(scales).error_sums(
            panel,
            codes,
            scales.factor,
            scales.decode,
            scales.amax,
            self.geometry.tile(cell),
            self.cast_of(),
            (cell.rows, cell.cols),
        )

    def kernels_for(self, scales: CellScales) -> Kernels:
        """The backend, or the reference for cells with NaN or Inf, which the compiled kernels do not take."""
        return self.kernels if bool(np.isfinite(scales.amax).all()) else ReferenceKernels

    def _unscaled(self, panel: NDArray[np.float32]) -> CellScales:
        amax = self.kernels.block_amax(panel, panel.shape)
        one = np.ones((1, 1), np.float32)
        return CellScales(np.zeros((0, 0), np.uint8), one, one.astype(np.float64), amax, np.float32(1) * one[0, 0])

    def _block_amax(self, cell: Cell, panel: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.geometry.block.kind == "tile":
            return self.kernels.block_amax(panel, self.geometry.tile(cell))
        assert self.statistic is not None
        if self.geometry.block.kind == "tensor":
            return np.full((1, 1), self.statistic.amax, np.float32)
        return self.statistic.row_amax[cell.row0 : cell.row0 + cell.rows, None]

    def _factors(self, cell: Cell, amax: NDArray[np.float32]) -> TensorFactors:
        """The tensor-scale factors of a cell's blocks, broadcastable to ``amax``."""
        target, dialect, mode = target_of(self.spec), dialect_of(self.spec), self.spec.tensor_scale.mode
        rows = slice(cell.row0, cell.row0 + cell.rows)
        if mode == "given":
            assert self.given is not None
            given = self.given if self.given.shape == () else self.given[rows, None]
            return dialect.given_factors(target, given)
        if mode == "tensor":
            assert self.statistic is not None
            return dialect.tensor_factors(target, np.asarray(self.statistic.amax))
        if mode == "row":
            assert self.statistic is not None
            return dialect.tensor_factors(target, self.statistic.row_amax[rows, None])
        if mode == "blocks":
            group = self.spec.tensor_scale.span // self.spec.block.cols
            largest = amax.reshape(amax.shape[0], -1, group).max(axis=-1)
            return dialect.tensor_factors(target, largest.repeat(group, axis=1))
        one = np.asarray(np.float32(1))
        return TensorFactors(one, one, one)


def stochastic(spec: Spec) -> bool:
    """Whether a spec draws random bits."""
    return spec.rounding is Rounding.SR

