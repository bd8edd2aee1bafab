"""Turns the format part of a spec into work on cells: block statistic, scales, codes.

Stage 1 (a pass over the data) gives what is wider than a cell: the amax of the tensor or of its rows. Stage 2, the
dialect's, turns block maxima into scale codes and one factor a block. Stage 3 encodes. What an estimator does besides
is in :mod:`fp4sim.estimators`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects.base import TensorFactors
from fp4sim.dialects.registry import dialect_of
from fp4sim.dialects.target import target_of
from fp4sim.errors import UsageError
from fp4sim.kernels.interface import ElementCast
from fp4sim.kernels.reference.encode import decode
from fp4sim.kernels.reference.kernels import ReferenceKernels
from fp4sim.randbits import Stream
from fp4sim.rounding import Rounding
from fp4sim.spec_names import STEP_ROWS
from fp4sim.statistic import Statistic, default_kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.dialects.dialect import Dialect
    from fp4sim.floats import FloatFormat
    from fp4sim.geometry import Cell, Geometry
    from fp4sim.kernels.interface import Kernels
    from fp4sim.spec import Spec


@dataclass(frozen=True)
class CellScales:
    """Stage 2 on one cell: scale codes, factor, amax and stored tensor scale (broadcastable), one a block.

    ``steps``: where x is scaled in two operations, what it is multiplied (or divided) by first and then; ``factor`` is their
    product.
    """

    codes: NDArray[np.unsignedinteger]
    factor: NDArray[np.float32]
    amax: NDArray[np.float32]
    stored: NDArray[np.float32]
    fmt: FloatFormat | None
    steps: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None

    @cached_property
    def decode(self) -> NDArray[np.float64]:
        """Decode multiplier of each block."""
        if self.fmt is None:
            return np.ones(self.amax.shape)
        with np.errstate(invalid="ignore"):
            magnitude = self.codes & self.codes.dtype.type((1 << self.fmt.magnitude_bits) - 1)  # IF4 uses the sign bit
            values = decode(magnitude, self.fmt) * self.stored.astype(np.float64)
        return np.ascontiguousarray(np.broadcast_to(values, self.amax.shape))

    @cached_property
    def finite(self) -> bool:
        """Whether every element of the cell is finite."""
        return bool(np.isfinite(self.amax.max()))


def check_available(spec: Spec) -> None:
    """Raise UsageError for parts of a spec that parse but are not built in this version."""
    dialect_of(spec)
    for step in spec.steps:
        if not STEP_ROWS[step.name].available:
            known = " ".join(row.name for row in STEP_ROWS.values() if row.available)
            raise UsageError(f"{spec.short}: step '+{step.name}' is not in this version; there is: {known}")


def first_step(
    panel: NDArray[np.float32], scales: CellScales, tile: tuple[int, int], kernels: Kernels, *, divides: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A panel and what its elements are scaled by, after the first of two steps where there are two."""
    if scales.steps is None:
        return panel, scales.factor
    return kernels.scale(panel, scales.steps[0], tile, divides=divides), scales.steps[1]


@dataclass(frozen=True)
class Quantizer:
    """One spec bound to one tensor's geometry; its methods work cell by cell and are safe from several threads.

    ``statistic`` may be None where no scale reaches beyond its cell (no ``ts:tensor``, ``ts:row``, ``/row``, ``/tensor``).
    ``given``: decode multipliers for ``ts:given``, shape () or (rows,). ``measured``: what an estimator found in a pass of
    its own. ``dtype``: the tensor's, for libraries that compute in it. ``dialect``: another arithmetic than the spec names.
    """

    spec: Spec
    geometry: Geometry
    statistic: Statistic | None = None
    stream: Stream = field(default_factory=Stream)
    given: NDArray[np.float32] | None = None
    kernels: Kernels = field(default_factory=default_kernels)
    measured: np.float32 | None = None
    dtype: str = "float32"
    dialect: Dialect | None = None

    def __post_init__(self) -> None:
        check_available(self.spec)
        geometry = self.geometry
        if (self.spec.tensor_scale.mode == "given") != (self.given is not None):
            raise UsageError(
                f"{self.spec.short}: ts:given and the argument tensor_scale need each other (quantize in Python, or the"
                " tensor_scale of a dump for fp4sim verify)"
            )
        if self.given is not None and self.given.shape not in ((), (self.geometry.rows,)):
            raise UsageError(
                f"{self.spec.short}: tensor_scale has shape {self.given.shape}, it must be () or ({self.geometry.rows},)"
            )
        if self.given is not None and self.given.shape and (geometry.block.kind == "tensor" or geometry.block.rows > 1):
            raise UsageError(f"{self.spec.short}: blocks span rows, so tensor_scale must have shape ()")
        if self.given is not None and not (np.isfinite(self.given).all() and (self.given > 0).all()):
            raise UsageError(f"{self.spec.short}: tensor_scale must be positive and finite")

    def cast_of(self) -> ElementCast:
        """How this spec's elements are encoded."""
        spec, rounding = self.spec, self.spec.rounding
        rule = self.arithmetic.element_rule(spec.element, spec.scale)
        return ElementCast(
            spec.element,
            rule.nearest if rounding is Rounding.RN else rounding,
            spec.random_bits,
            rule.policy,
            divides=self.arithmetic.divides_under(spec.scale),
            flush=rule.flush,
        )

    @cached_property
    def arithmetic(self) -> Dialect:
        """The dialect that computes."""
        return self.dialect or dialect_of(self.spec)

    def scales(self, cell: Cell, panel: NDArray[np.float32]) -> CellScales:
        """Stage 2 on a cell."""
        if self.spec.scale is None:
            return self._unscaled(panel)
        amax = self.block_amax(cell, panel)
        factors = self.factors(cell, amax)
        target = target_of(self.spec)
        target = target if self.dtype == target.dtype else replace(target, dtype=self.dtype)
        scales = self.arithmetic.block_scales(target, amax, factors, self.kernels)
        if scales.before is None:
            return self.scales_of(scales.codes, scales.factor, amax, factors)
        with np.errstate(all="ignore"):
            whole = np.asarray(scales.before * scales.factor)
        factors = factors if scales.stored is None else replace(factors, stored=scales.stored)
        found = self.scales_of(scales.codes, whole, amax, factors)
        return replace(found, steps=(np.ascontiguousarray(scales.before), np.ascontiguousarray(scales.factor)))

    def scales_of(
        self,
        codes: NDArray[np.unsignedinteger],
        factor: NDArray[np.float32],
        amax: NDArray[np.float32],
        factors: TensorFactors,
    ) -> CellScales:
        """Scale codes and factors as stage 2's result: what shrank x is undone by the stored tensor scale."""
        stored, shrink = factors.stored, target_of(self.spec).shrink
        if self.spec.scale is not None and not self.spec.scale.has_zero:
            shrink *= self.arithmetic.power.gain
        if shrink != 1.0:
            stored = np.asarray(stored * np.float32(1 / shrink), np.float32)
        whole = np.ascontiguousarray(np.broadcast_to(factor, amax.shape))
        return CellScales(codes, whole, amax, stored, self.spec.scale)

    def encode(self, cell: Cell, panel: NDArray[np.float32], scales: CellScales) -> NDArray[np.unsignedinteger]:
        """Stage 3: codes of a panel, one an element."""
        tile, place = self.geometry.tile(cell), self.geometry.place(cell)
        cast = self.cast_of()
        panel, factor = first_step(panel, scales, tile, self.kernels, divides=cast.divides)
        return self.kernels_for(scales).encode(panel, factor, tile, cast, self.stream, place)

    def encode_packed(self, cell: Cell, panel: NDArray[np.float32], scales: CellScales, out: NDArray[np.uint8]) -> None:
        """Stage 3: 4-bit codes of a panel, two a byte, into ``out``."""
        tile, place = self.geometry.tile(cell), self.geometry.place(cell)
        cast = self.cast_of()
        panel, factor = first_step(panel, scales, tile, self.kernels, divides=cast.divides)
        self.kernels_for(scales).encode_packed(panel, factor, tile, cast, self.stream, place, out)

    def kernels_for(self, scales: CellScales) -> Kernels:
        """The backend, or the reference for what has NaN or Inf (a first factor of Inf makes NaN of zeros) it does not take."""
        finite = scales.finite and (scales.steps is None or bool(np.isfinite(scales.steps[0].max())))
        return self.kernels if finite or self.kernels.takes_nonfinite else ReferenceKernels

    def _unscaled(self, panel: NDArray[np.float32]) -> CellScales:
        """A cast alone: factor 1; errors are taken relative to the tensor's amax, the cell's own where none is known."""
        one = np.ones((1, 1), np.float32)
        own = self.kernels.block_amax(panel, panel.shape)
        amax = own if self.statistic is None or not np.isfinite(own).all() else one * self.statistic.amax
        return CellScales(np.zeros((0, 0), np.uint8), one, amax, one[0], None)

    def block_amax(self, cell: Cell, panel: NDArray[np.float32]) -> NDArray[np.float32]:
        """Largest magnitude of each block of a cell, from stage 1 where that kept it."""
        if self.geometry.block.kind == "tile":
            known = self.statistic.block_amax(self.geometry, cell) if self.statistic else None
            return self.kernels.block_amax(panel, self.geometry.tile(cell)) if known is None else known
        assert self.statistic is not None
        if self.geometry.block.kind == "tensor":
            return np.full((1, 1), self.statistic.amax, np.float32)
        return self.statistic.row_amax[cell.row0 : cell.row0 + cell.rows, None]

    def factors(self, cell: Cell, amax: NDArray[np.float32]) -> TensorFactors:
        """The tensor-scale factors of a cell's blocks, broadcastable to ``amax``."""
        target, dialect = target_of(self.spec), self.arithmetic
        mode = "none" if dialect.one_level else self.spec.tensor_scale.mode
        if mode == "given":
            assert self.given is not None
            rows = slice(cell.row0, cell.row0 + cell.rows)
            return dialect.given_factors(target, self.given if self.given.shape == () else self.given[rows, None])
        if mode == "none":
            one = np.asarray(np.float32(1))
            return TensorFactors(one, one, one)
        return dialect.tensor_factors(target, self.group_amax(cell, amax))

    def group_amax(self, cell: Cell, amax: NDArray[np.float32]) -> NDArray[np.float32]:
        """The amax that each block's tensor scale is taken from (modes tensor, row, blocks), broadcastable to ``amax``."""
        mode = self.spec.tensor_scale.mode
        if mode == "blocks":
            group = self.spec.tensor_scale.span // self.spec.block.cols
            return np.asarray(amax.reshape(amax.shape[0], -1, group).max(axis=-1).repeat(group, axis=1))
        assert self.statistic is not None
        if mode == "row":
            return self.statistic.row_amax[cell.row0 : cell.row0 + cell.rows, None]
        return np.asarray(self.statistic.amax)
