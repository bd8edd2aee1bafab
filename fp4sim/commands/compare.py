"""What ``fp4sim compare`` does: tensors in, a :class:`CompareResult` out."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

import fp4sim
from fp4sim.errors import NothingComparedError, UsageError
from fp4sim.estimators.pipeline import Pipeline, check_spec, is_random, prepare
from fp4sim.fpmode import ieee_mode
from fp4sim.geometry import Cell, Geometry, Run
from fp4sim.gpu.backends import backends_of, whole_errors
from fp4sim.io.source import naming
from fp4sim.panels import Nonfinite, is_float
from fp4sim.parallel import map_ordered, thread_count
from fp4sim.randbits import Stream
from fp4sim.report.model import METRICS, CompareResult, FormatInfo, Metrics, Skipped, TensorResult, Total
from fp4sim.rounding import Rounding
from fp4sim.spec import Block, Spec
from fp4sim.statistic import Statistic, measure
from fp4sim.stats.metrics import ScaleCounts, WholeErrors, metrics_of
from fp4sim.stats.sums import PanelSums, SumTree
from fp4sim.transforms import rotation_size

if TYPE_CHECKING:
    from fp4sim.io.source import Source, Tensor
    from fp4sim.quantizer import Quantizer

Progress = Callable[[str, int], None]  # tensor name, elements done since the last call


@dataclass(frozen=True)
class Settings:
    """How tensors are compared; recorded in the result. ``device``: ``cuda`` to take tensors of the host to a GPU."""

    axis: int = -1
    seed: int = 0
    nonfinite: Nonfinite = "error"
    threads: int | None = None
    device: str | None = None

    def recorded(self) -> dict[str, Any]:
        """What a report repeats: threads change no digit and are left out."""
        device = {} if self.device is None else {"device": self.device}
        return {"axis": self.axis, "seed": self.seed, "nonfinite": self.nonfinite, **device}


@ieee_mode()
def compare_sources(
    sources: Sequence[tuple[Source, Sequence[Tensor]]],
    specs: Sequence[Spec],
    settings: Settings,
    progress: Progress | None = None,
) -> CompareResult:
    """Compare every float tensor of at least 2 axes.

    Raises NothingComparedError if none is left, UnreadableError for damaged data or NaN/Inf (see ``nonfinite``),
    UsageError for specs that this version does not compute.
    """
    for spec in specs:
        check_spec(spec)
    if not specs:
        raise UsageError("no format to compare")
    rows: list[TensorResult] = []
    skipped: list[Skipped] = []
    sums: list[list[WholeErrors]] = []
    for source, tensors in sources:
        for tensor in tensors:
            reason = skip_reason(tensor) or unfit(tensor, specs, settings.axis)
            if reason:
                skipped.append(Skipped(tensor.info.name, source.label, reason))
                continue
            with naming(source.label, len(sources)):
                row, measured = compare_tensor(tensor, specs, settings, source.label, progress)
            rows.append(row)
            sums.append(measured)
    if not rows:
        raise NothingComparedError(nothing_compared(sources, skipped))
    return CompareResult(
        formats=tuple(describe(spec) for spec in specs),
        tensors=tuple(rows),
        totals=tuple(_total(rows, [row[i] for row in sums], i) for i in range(len(specs))),
        skipped=tuple(skipped),
        sources=tuple(source.label for source, _ in sources),
        settings=settings.recorded(),
        version=fp4sim.__version__,
        bits_version=fp4sim.BITS_VERSION,
    )


def skip_reason(tensor: Tensor) -> str | None:
    """Why a tensor is not compared, or None."""
    info = tensor.info
    if not is_float(info.dtype):
        return f"dtype {info.dtype} is not a float"
    if len(info.shape) < 2:
        axes = "1 axis" if len(info.shape) == 1 else "no axis"
        return f"{axes}: only tensors with at least 2 are quantized in blocks"
    return "no elements" if info.size == 0 else None


def unfit(tensor: Tensor, specs: Sequence[Spec], axis: int) -> str | None:
    """Why a tensor cannot be rotated as a format asks, or None."""
    shape = tensor.info.shape
    if not -len(shape) <= axis < len(shape):
        return None
    for spec in specs:
        size = rotation_size(spec)
        if size and shape[axis] % size:
            lead = f"axis of length {shape[axis]}: the rotation of {size} in {spec.short} does not divide it"
            return f"{lead}; leave it out or choose a smaller one"
    return None


@ieee_mode()
def compare_tensor(
    tensor: Tensor, specs: Sequence[Spec], settings: Settings, source: str = "", progress: Progress | None = None
) -> tuple[TensorResult, list[WholeErrors]]:
    """One tensor under every spec. ``progress`` is told the elements of each finished cell, all specs together."""
    if settings.device == "cuda":
        from fp4sim.gpu.panels import upload

        tensor = upload(tensor)
    with tensor.place():
        statistic, ordered = _measure_tensor(tensor, specs, settings, progress)
    results = tuple(metrics_of(one.sums, one.scales, worst_at=one.worst_at) for one in ordered)
    amax = float(statistic.amax)
    narrowed = "float64 rounded once to float32" if tensor.info.dtype == "float64" else ""
    notes = tuple(note for note in (tensor.note, narrowed) if note)
    return (
        TensorResult(
            tensor.info.name,
            source,
            tensor.info.shape,
            tensor.info.dtype,
            tensor.info.size,
            statistic.nonfinite,
            amax if np.isfinite(amax) else None,
            results,
            notes,
        ),
        ordered,
    )


def _measure_tensor(
    tensor: Tensor, specs: Sequence[Spec], settings: Settings, progress: Progress | None
) -> tuple[Statistic, list[WholeErrors]]:
    """The statistic of a tensor and its errors under every spec, in order."""
    threads = thread_count(settings.threads)
    geometries = [Geometry.for_spec(tensor.info.shape, settings.axis, spec) for spec in specs]
    stream, measured = Stream.of(settings.seed, tensor.info.name), {}
    for panels, kernels, members in backends_of(tensor, geometries[0].axis, specs):
        here = threads if kernels is None else 1
        shared = _statistic_geometry([geometries[i] for i in members])
        statistic = measure(panels, shared, settings.nonfinite, here, kernels)
        prepared: dict[str, Any] = {"nonfinite": settings.nonfinite, "threads": here, "kernels": kernels}
        for alike in _by_domain(specs, members):
            pipelines = {
                i: prepare(panels, specs[i], geometries[i], stream, statistic=statistic, **prepared) for i in alike
            }
            measured.update(_measure_pipelines(pipelines, settings, here, statistic, progress))
    return statistic, [measured[i] for i in range(len(specs))]


def _measure_pipelines(
    pipelines: dict[int, Pipeline], settings: Settings, threads: int, statistic: Statistic, progress: Progress | None
) -> dict[int, WholeErrors]:
    """The errors of each, in one pass over the data where a GPU can, else cell by cell."""
    measured = {}
    for i, pipeline in pipelines.items():
        whole = whole_errors(pipeline)
        if whole is not None:
            measured[i] = whole
            if progress is not None:
                progress(pipeline.panels.tensor.info.name, pipeline.panels.tensor.info.size)
    left = {i: pipeline for i, pipeline in pipelines.items() if i not in measured}
    for runs, members in _by_grid(left).items():
        group = [left[i] for i in members]
        found = _measure_group(group, runs, settings, threads, statistic, progress)
        measured.update(zip(members, found, strict=True))
    return measured


def _statistic_geometry(geometries: Sequence[Geometry]) -> Geometry:
    """One that gives row maxima, and the block maxima of the first format that can share them."""
    for geometry in geometries:
        if geometry.block.kind == "tile" and geometry.block.rows == 1:
            return geometry
    return Geometry.of(geometries[0].shape, geometries[0].axis, Block("none"))


def _by_domain(specs: Sequence[Spec], members: Sequence[int]) -> list[list[int]]:
    """Formats that can share what is read; one that rotates or clamps works on a copy of its own, one at a time."""
    own = [i for i in members if rotation_size(specs[i]) or specs[i].has("occ")]
    shared = [i for i in members if i not in own]
    return ([shared] if shared else []) + [[i] for i in own]


def _by_grid(pipelines: Mapping[int, Pipeline]) -> dict[tuple[Run, ...], list[int]]:
    """Formats whose grids agree share each read of the data."""
    groups: dict[tuple[Run, ...], list[int]] = {}
    for i, pipeline in pipelines.items():
        groups.setdefault(pipeline.panels.runs(pipeline.geometry), []).append(i)
    return groups


def _measure_group(
    group: Sequence[Pipeline],
    runs: tuple[Run, ...],
    settings: Settings,
    threads: int,
    statistic: Statistic,
    progress: Progress | None,
) -> list[WholeErrors]:
    drop = settings.nonfinite == "ignore" and statistic.nonfinite > 0

    def work(run: Run) -> tuple[Run, list[tuple[list[PanelSums], ScaleCounts]]]:
        loaded: dict[tuple[int, int], Any] = {}
        found = []
        for pipeline in group:
            shape = pipeline.geometry.padded(run.whole)
            if shape not in loaded:
                loaded[shape] = pipeline.load(run.whole, drop_nonfinite=drop)
            found.append(_measure_run(pipeline, run, loaded[shape]))
        return run, found

    trees = [SumTree() for _ in group]
    counts: list[ScaleCounts | None] = [None] * len(group)
    worst: list[tuple[float, tuple[int, ...] | None]] = [(-1.0, None)] * len(group)
    for run, found in map_ordered(work, runs, threads):
        for i, (parts, scales) in enumerate(found):
            before = counts[i]
            counts[i] = scales if before is None else before + scales
            for k, sums in enumerate(parts):
                trees[i].add(sums)
                if sums.worst > worst[i][0]:
                    cell = Cell(run.whole.row0 + k * run.cell_rows, run.cell_rows, run.whole.col0, run.whole.cols)
                    worst[i] = (sums.worst, group[i].geometry.index_of(cell, sums.worst_index))
        if progress is not None:
            progress(group[0].panels.tensor.info.name, run.whole.rows * run.whole.cols * len(group))
    result = []
    for i, tree in enumerate(trees):
        total, counted = tree.total(), counts[i]
        assert total is not None
        assert counted is not None
        if drop and group[i].rotation is None:  # a rotation makes numbers of them like any other
            total = _without_dropped(total, statistic.nonfinite)
        result.append(WholeErrors(total, _whole_tensor_scale(group[i].quantizer, counted), worst[i][1]))
    return result


def _without_dropped(total: PanelSums, dropped: int) -> PanelSums:
    """Dropped elements were passed as +0: take them out of the counts."""
    occupancy = total.occupancy.copy()
    if occupancy.size:
        occupancy[0] -= dropped
    return replace(total, nonfinite=dropped, occupancy=occupancy)


def _measure_run(pipeline: Pipeline, run: Run, panel: Any) -> tuple[list[PanelSums], ScaleCounts]:
    cell, quantizer = run.whole, pipeline.quantizer
    sums, scales = pipeline.errors(run, panel)
    block, codes, amax = pipeline.geometry.block, scales.codes, scales.amax
    if quantizer.spec.has("if4"):
        codes = codes & np.uint8(0x7F)  # the choice of format is in the sign bit
    if block.kind == "tile":  # leave out blocks that only pad
        rows, cols = -(-cell.rows // block.rows), -(-cell.cols // block.cols)
        codes, amax = codes[:rows, :cols], amax[:rows, :cols]
    return sums, ScaleCounts.of(codes, amax, quantizer.spec.scale, quantizer.kernels.histogram)


def _whole_tensor_scale(quantizer: Quantizer, scales: ScaleCounts) -> ScaleCounts:
    """A scale over more than a cell was counted once a cell: count it once a block."""
    geometry = quantizer.geometry
    blocks = {"tensor": 1, "row": geometry.rows}.get(geometry.block.kind, scales.blocks)
    return scales.divided(scales.blocks // blocks) if scales.blocks > blocks else scales


def _total(rows: Sequence[TensorResult], measured: Sequence[WholeErrors], index: int) -> Total:
    sums, scales = measured[0].sums, measured[0].scales
    worst = 0
    for i, one in enumerate(measured[1:], start=1):
        worst = i if one.sums.worst > sums.worst else worst
        sums, scales = sums + one.sums, scales + one.scales
    metrics = metrics_of(sums, scales, worst_at=measured[worst].worst_at, worst_in=rows[worst].name)
    per_tensor = [row.results[index] for row in rows]
    return Total(metrics, {name: _median(per_tensor, name) for name in METRICS})


def _median(rows: Sequence[Metrics], name: str) -> float | None:
    """Over tensors with a value; one without any error counts as infinitely good, and so may the median."""
    values = [row.value(name) for row in rows]
    known = [value for value in values if value is not None]
    median = statistics.median(known) if known else None
    return None if median is None or math.isinf(median) else median


def describe(spec: Spec, *, drawn: bool = False) -> FormatInfo:
    """A format as reports name it, with what a reader should know; ``drawn``: the report is of many draws, not of codes."""
    notes = []
    if is_random(spec):
        notes.append("stochastic" if drawn else "stochastic: one draw")
    if spec.rounding is Rounding.SR:
        notes[-1] += f", {spec.random_bits} random bits an element"
    if rotation_size(spec):
        notes.append(f"rotated by {rotation_size(spec)}")
        notes[-1] += "" if drawn else ": codes, causes and positions are the rotated tensor's"
    if spec.has("dge"):
        notes.append("+dge changes the backward pass alone: it has no forward effect")
    if spec.dialect != "te":
        notes.append(f"arithmetic of {spec.dialect}")
    return FormatInfo(str(spec), spec.short, spec.bits_per_element, tuple(notes))


def nothing_compared(sources: Sequence[tuple[Source, Sequence[Tensor]]], skipped: Sequence[Skipped]) -> str:
    """Why nothing was left, in one line."""
    from fp4sim.io.files import shown

    labels = ", ".join(source.label for source, _ in sources)
    if any(one.name.endswith(".block_scale") for one in skipped):
        return f"nothing to compare in {shown(labels)}: it holds packed tensors; fp4sim dequantize unpacks them"
    if not skipped:
        return f"nothing to compare in {shown(labels)}: no tensor is there or matches --include/--exclude"
    first, count = skipped[0], len(skipped)
    which = "its tensor was skipped (" if count == 1 else f"all {count} tensors were skipped (the first, "
    return f"nothing to compare in {shown(labels)}: {which}'{shown(first.name)}': {first.reason})"
