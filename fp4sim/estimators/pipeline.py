"""A spec bound to one draw of one tensor: transform → choice of the scale → rounding → correction, a cell at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.estimators import occ
from fp4sim.estimators.base import Encoded
from fp4sim.estimators.registry import check_estimator, check_fit, choice_of, correction_of, measured_of
from fp4sim.geometry import Geometry
from fp4sim.kernels.reference.blocks import error_sums_of
from fp4sim.panels import Nonfinite, Panels
from fp4sim.parallel import run_all
from fp4sim.quantizer import Quantizer, check_available
from fp4sim.rounding import Rounding
from fp4sim.statistic import default_kernels, measure
from fp4sim.transforms import Rotation, redraws_rotation, rotation_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.dialects.dialect import Dialect
    from fp4sim.geometry import Cell, Run
    from fp4sim.kernels.interface import Kernels
    from fp4sim.quantizer import CellScales
    from fp4sim.randbits import Stream
    from fp4sim.spec import Spec
    from fp4sim.statistic import Statistic
    from fp4sim.stats.sums import PanelSums


def check_spec(spec: Spec) -> None:
    """Raise UsageError for specs that this version does not compute or that have no meaning."""
    check_available(spec)
    check_estimator(spec)


def is_random(spec: Spec) -> bool:
    """Whether draws differ: random bits of elements or scales, or random signs."""
    exact_scale = spec.scale is not None and spec.scale.name == "fp32"
    drawn_scale = spec.has("mseden") or (spec.has("eden") and not exact_scale)
    return spec.rounding is Rounding.SR or drawn_scale or redraws_rotation(spec)


@dataclass(frozen=True)
class Pipeline:
    """``panels`` are in the domain that is quantized: rotated, if ``rotation``; ``clamp`` acts on top of that."""

    quantizer: Quantizer
    panels: Panels
    rotation: Rotation | None = None
    clamp: occ.Clamp | None = None

    @property
    def spec(self) -> Spec:
        """The spec that is computed."""
        return self.quantizer.spec

    @property
    def geometry(self) -> Geometry:
        """Where the blocks lie."""
        return self.quantizer.geometry

    @property
    def is_plain(self) -> bool:
        """Whether scales and codes are the format's own, without an estimator's part."""
        return self.clamp is None and choice_of(self.spec) is None and correction_of(self.spec) is None

    def load(self, cell: Cell, *, drop_nonfinite: bool = False) -> NDArray[np.float32]:
        """A cell's panel: rotated, not clamped."""
        return self.panels.load(self.geometry, cell, drop_nonfinite=drop_nonfinite)

    def encode(self, cell: Cell, panel: NDArray[np.float32]) -> Encoded:
        """Codes and scales of a panel."""
        quantizer, spec = self.quantizer, self.spec
        clamped = panel if self.clamp is None else self.clamp.apply(cell, panel)
        choice, correction = choice_of(spec), correction_of(spec)
        if choice is None:
            scales = quantizer.scales(cell, clamped)
            encoded = Encoded(quantizer.encode(cell, clamped, scales), scales)
        else:
            encoded = choice.encode(quantizer, cell, clamped)
        if correction is not None:
            encoded = correction.correct(quantizer, cell, clamped, encoded)
        if self.clamp is not None:
            encoded = self.clamp.compensate(quantizer, cell, panel, encoded, clamped)
        return encoded

    def errors(self, run: Run, panel: NDArray[np.float32]) -> tuple[list[PanelSums], CellScales]:
        """The error sums of a run's cells, a worst index flat in its cell's rows of the panel; and the run's scales."""
        cell, quantizer = run.whole, self.quantizer
        encoded = self.encode(cell, panel)
        scales, tile, cast = encoded.scales, quantizer.geometry.tile(cell), quantizer.cast_of()
        per_block = (scales.factor, scales.decode, scales.amax)
        valid, height = (cell.rows, cell.cols), run.cell_rows
        if encoded.values is not None:
            return error_sums_of(encoded.values, panel, encoded.codes, *per_block, tile, cast, valid, height), scales
        sums = quantizer.kernels_for(scales).error_sums
        return sums(panel, encoded.codes, *per_block, tile, cast, valid, height), scales

    def values(self, cell: Cell, encoded: Encoded) -> NDArray[np.float32]:
        """What a cell's codes decode to, float32, in the domain that is quantized."""
        if encoded.values is not None:
            return encoded.values.astype(np.float32)
        scales, tile = encoded.scales, self.geometry.tile(cell)
        kernels = self.quantizer.kernels_for(scales)
        return kernels.dequantize(encoded.codes, scales.decode, tile, self.spec.element)


def prepare(
    panels: Panels,
    spec: Spec,
    geometry: Geometry,
    stream: Stream,
    *,
    given: NDArray[np.float32] | None = None,
    nonfinite: Nonfinite = "error",
    threads: int = 1,
    kernels: Kernels | None = None,
    statistic: Statistic | None = None,
    dialect: Dialect | None = None,
) -> Pipeline:
    """Stage 1 and all that is wider than a cell. ``statistic``: of the unrotated, unclamped data where it is known."""
    run = kernels or default_kernels()
    check_spec(spec)
    check_fit(spec, geometry)
    rotation, clamp, dropped = rotation_of(spec, stream), None, 0
    if (rotation is not None and nonfinite == "ignore") or spec.has("occ"):
        # What is rotated or clamped does not show what was not finite. Quantiles have no answer under "propagate".
        policy: Nonfinite = "ignore" if nonfinite == "ignore" else "error"
        dropped = measure(panels, geometry, policy, threads, run).nonfinite
        statistic = None
    if rotation is not None:
        panels, statistic = panels.rotated(rotation, geometry, run, threads, nonfinite), None
    measured_on = panels
    if spec.has("occ"):
        if dropped and rotation is None:
            panels = panels.mapped(lambda _, panel: panel, drop=True)
        clamp = occ.clamp_of(spec, panels.whole())
        measured_on = panels.mapped(clamp.apply)
    if statistic is None:
        statistic = measure(measured_on, geometry, nonfinite, threads, run)
        statistic = replace(statistic, nonfinite=max(statistic.nonfinite, dropped))
    dtype = "float32" if rotation is not None else panels.tensor.info.dtype
    quantizer = Quantizer(spec, geometry, statistic, stream, given, run, dtype=dtype, dialect=dialect)
    pass_of_its_own = measured_of(spec)
    if pass_of_its_own is not None:

        def largest(cell: Cell) -> np.float32:
            panel = panels.load(geometry, cell, drop_nonfinite=nonfinite == "ignore")
            return pass_of_its_own.measure(quantizer, cell, panel)

        found = run_all(largest, panels.pieces(geometry), threads)
        quantizer = replace(quantizer, measured=np.float32(max(found)))
    return Pipeline(quantizer, panels, rotation, clamp)
