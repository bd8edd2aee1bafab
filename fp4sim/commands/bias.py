"""What ``fp4sim bias`` does: draws of estimators on tensors, and what their mean and scatter say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np

import fp4sim
from fp4sim.commands.bias_rows import as_one, bias_of
from fp4sim.commands.compare import describe, nothing_compared, skip_reason, unfit
from fp4sim.commands.rounding_check import RoundingCounter, is_checkable
from fp4sim.drawing import Drawer
from fp4sim.errors import NothingComparedError, UsageError
from fp4sim.estimators.pipeline import check_spec, is_random
from fp4sim.fpmode import ieee_mode
from fp4sim.geometry import Cell, Geometry
from fp4sim.gpu.backends import draw_kernels_of, flat_beside, panels_of, tensor_of
from fp4sim.io.source import naming
from fp4sim.parallel import thread_count
from fp4sim.report.bias_model import Bias, BiasResult, TensorBias
from fp4sim.report.model import Skipped
from fp4sim.spec import Block
from fp4sim.stats.bias import MARGIN
from fp4sim.stats.draw_statistics import MIN_BATCHES
from fp4sim.stats.draws import DrawSums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.estimators.base import Encoded
    from fp4sim.io.source import Source, Tensor
    from fp4sim.kernels.interface import Kernels
    from fp4sim.spec import Spec
    from fp4sim.stats.draw_statistics import DrawStatistics

Progress = Callable[[str, int], None]  # tensor name, elements drawn since the last call

DEFAULT_ELEMENTS = 1 << 20
MOST_DRAWS = 1 << 24
_BAND = 16  # rows sampled together, so that 16 x 16 tiles stay whole
_WHOLE = 768  # columns in which the usual blocks and every rotation are whole


@dataclass(frozen=True)
class BiasSettings:
    """How bias is measured. ``elements``: larger tensors are sampled by bands of rows; ``margin``: of the verdict.

    ``device``: ``cuda`` to take tensors of the host to a GPU.
    """

    draws: int = 256
    axis: int = -1
    seed: int = 0
    elements: int = DEFAULT_ELEMENTS
    margin: float = MARGIN
    threads: int | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        if self.draws < 2:
            raise UsageError(f"{self.draws} draws: at least 2 are needed to tell bias from variance (16 for a verdict)")
        if self.draws > MOST_DRAWS:
            raise UsageError(f"{self.draws} draws: at most {MOST_DRAWS:,} are kept apart")
        if not 0 < self.margin < 1:
            raise UsageError(f"margin {self.margin}: it is relative to |x|, between 0 and 1")
        if self.elements < 1:
            raise UsageError(f"elements {self.elements}: at least 1")

    def recorded(self) -> dict[str, Any]:
        """What a report repeats: threads change no digit and are left out."""
        return {
            "draws": self.draws,
            "axis": self.axis,
            "seed": self.seed,
            "elements": self.elements,
            "margin": self.margin,
            **({} if self.device is None else {"device": self.device}),
        }


@ieee_mode()
def bias_sources(
    sources: Sequence[tuple[Source, Sequence[Tensor]]],
    specs: Sequence[Spec],
    settings: BiasSettings,
    progress: Progress | None = None,
) -> BiasResult:
    """Measure the bias of estimators on every float tensor of at least 2 axes.

    Raises NothingComparedError if none is left, UnreadableError for damaged data, NaN or Inf, UsageError for specs that
    this version does not compute.
    """
    for spec in specs:
        check_spec(spec)
    if not specs:
        raise UsageError("no estimator to measure")
    rows: list[TensorBias] = []
    skipped: list[Skipped] = []
    for source, tensors in sources:
        for tensor in tensors:
            reason = skip_reason(tensor) or unfit(tensor, specs, settings.axis)
            if reason:
                skipped.append(Skipped(tensor.info.name, source.label, reason))
                continue
            with naming(source.label, len(sources)):
                rows.append(bias_tensor(tensor, specs, settings, source.label, progress))
    if not rows:
        raise NothingComparedError(nothing_compared(sources, skipped))
    return BiasResult(
        estimators=tuple(describe(spec, drawn=True) for spec in specs),
        tensors=tuple(rows),
        skipped=tuple(skipped),
        sources=tuple(source.label for source, _ in sources),
        settings=settings.recorded(),
        version=fp4sim.__version__,
        bits_version=fp4sim.BITS_VERSION,
    )


def bias_tensor(
    tensor: Tensor, specs: Sequence[Spec], settings: BiasSettings, source: str = "", progress: Progress | None = None
) -> TensorBias:
    """One tensor under every estimator."""
    with tensor.place():
        sample, note = sampled(tensor, settings)
    axis = settings.axis if sample is tensor else -1
    if settings.device == "cuda":
        from fp4sim.gpu.panels import upload

        sample = upload(sample)
    with sample.place():
        results = _bias_of_specs(sample, specs, settings, axis, progress)
    info, notes = tensor.info, (note,) if note else ()
    return TensorBias(info.name, source, info.shape, info.dtype, info.size, sample.info.size, tuple(results), notes)


def _bias_of_specs(
    sample: Tensor, specs: Sequence[Spec], settings: BiasSettings, axis: int, progress: Progress | None
) -> list[Bias]:
    results = []
    for spec in specs:
        if not is_random(spec):
            results.append(_same_each_time(sample, spec, settings, axis))
            if progress is not None:
                progress(sample.info.name, sample.info.size * settings.draws)
            continue
        counter = RoundingCounter() if is_checkable(spec) else None
        statistics = draw_statistics(sample, spec, settings, axis, progress=progress, counter=counter)
        bias = bias_of(statistics, settings.margin)
        results.append(bias if counter is None else replace(bias, rounding=counter.result()))
    return results


def _same_each_time(tensor: Tensor, spec: Spec, settings: BiasSettings, axis: int) -> Bias:
    """An estimator without randomness: as many equal draws as a verdict needs, reported as one."""
    statistics = draw_statistics(tensor, spec, replace(settings, draws=MIN_BATCHES), axis)
    return as_one(bias_of(statistics, settings.margin), settings.draws)


def draw_statistics(
    tensor: Tensor,
    spec: Spec,
    settings: BiasSettings,
    axis: int = -1,
    *,
    progress: Progress | None = None,
    kernels: Kernels | None = None,
    counter: RoundingCounter | None = None,
) -> DrawStatistics:
    """All draws of one estimator: cells keep their own sums and are merged in the order of the grid."""
    drawer = Drawer(tensor, spec, axis, seed=settings.seed, threads=thread_count(settings.threads), kernels=kernels)
    group = misalignment_group(drawer.geometry)
    sums: dict[Cell, DrawSums] = {}
    for cell in drawer.cells:
        exact, zones = (flat_beside(tensor, array) for array in (drawer.exact(cell), drawer.zones(cell)))
        sums[cell] = DrawSums(exact, settings.draws, zones=zones, group=group, kernels=draw_kernels_of(tensor))

    def add_values(cell: Cell, values: NDArray[np.float32], encoded: Encoded) -> None:
        sums[cell].add(flat_beside(tensor, values))
        if counter is not None:
            counter.count(drawer, cell, encoded)

    for draw in range(settings.draws):
        drawer.each(draw, add_values)
        if progress is not None:
            progress(tensor.info.name, tensor.info.size)
    return reduce(add, (sums[cell].result() for cell in drawer.cells))


def misalignment_group(geometry: Geometry) -> int:
    """Elements over which a magnitude is compared: the rotation, else 128 where rows hold whole ones, else a row."""
    if geometry.rotation:
        return geometry.rotation
    return 128 if geometry.length % 128 == 0 else geometry.length


def sampled(tensor: Tensor, settings: BiasSettings) -> tuple[Tensor, str]:
    """A tensor of more than ``settings.elements`` as evenly spaced bands of 16 rows, and what was done.

    Where a band of whole rows is too much already, its rows are cut to a multiple of 768 columns (whole blocks of 16, 32,
    48, 64, 96 and 128 and whole rotations of any size), at least one.
    """
    geometry = Geometry.of(tensor.info.shape, settings.axis, Block("none"))
    if tensor.info.size <= settings.elements:
        return tensor, ""
    panels, height = panels_of(tensor, geometry.axis), min(_BAND, geometry.rows)
    width = min(geometry.length, max(1, settings.elements // (height * _WHOLE)) * _WHOLE)
    bands = max(1, settings.elements // (width * height))
    starts = np.unique(np.linspace(0, max(0, geometry.rows - height), bands).astype(int) // height * height)
    if len(starts) * height >= geometry.rows and width == geometry.length:
        return tensor, ""
    cells = [Cell(int(start), min(height, geometry.rows - int(start)), 0, width) for start in starts]
    matrix = np.concatenate([panels.load(geometry, cell)[: cell.rows, :width] for cell in cells])
    columns = f", {width:,} of {geometry.length:,} columns" if width < geometry.length else ""
    note = f"{matrix.shape[0]:,} of {geometry.rows:,} rows{columns}, in {len(starts)} bands; the tensor scale is the sample's"
    return tensor_of(tensor.info.name, matrix), note
