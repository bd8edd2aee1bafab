"""Errors by block of tensors under formats: one pass a format, a cell at a time, whatever a tensor's size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fp4sim.commands.block_sums import BlockTotals, CellBlocks, cell_blocks
from fp4sim.commands.compare import Settings, describe, nothing_compared, skip_reason, unfit
from fp4sim.errors import NothingComparedError, UsageError
from fp4sim.estimators.pipeline import check_spec, prepare
from fp4sim.fpmode import ieee_mode
from fp4sim.geometry import Geometry
from fp4sim.panels import Panels
from fp4sim.parallel import map_ordered, thread_count
from fp4sim.randbits import Stream
from fp4sim.report.block_records import BlockErrors, TensorBlocks
from fp4sim.report.blocks_model import BlocksResult
from fp4sim.report.model import Skipped

if TYPE_CHECKING:
    from fp4sim.geometry import Cell
    from fp4sim.io.source import Source, Tensor
    from fp4sim.spec import Spec

Progress = Callable[[str, int], None]


@ieee_mode()
def block_errors(
    sources: Sequence[tuple[Source, Sequence[Tensor]]],
    specs: Sequence[Spec],
    settings: Settings,
    *,
    most: int = 0,
    progress: Progress | None = None,
) -> BlocksResult:
    """Errors by block of every float tensor of at least 2 axes, or of the first ``most`` of them (0: all).

    Raises as :func:`fp4sim.commands.compare.compare_sources`.
    """
    for spec in specs:
        check_spec(spec)
    if not specs:
        raise UsageError("no format to measure")
    found: list[TensorBlocks] = []
    skipped: list[Skipped] = []
    left_out = 0
    for source, tensors in sources:
        for tensor in tensors:
            reason = skip_reason(tensor) or unfit(tensor, specs, settings.axis)
            if reason:
                skipped.append(Skipped(tensor.info.name, source.label, reason))
            elif most and len(found) == most:
                left_out += 1
            else:
                rows = tuple(_measure(tensor, spec, settings, progress) for spec in specs)
                found.append(TensorBlocks(tensor.info.name, source.label, tensor.info.shape, rows))
    if not found:
        raise NothingComparedError(nothing_compared(sources, skipped))
    return BlocksResult(
        tuple(describe(spec) for spec in specs),
        tuple(found),
        tuple(skipped),
        tuple(source.label for source, _ in sources),
        settings.recorded(),
        left_out,
    )


def _measure(tensor: Tensor, spec: Spec, settings: Settings, progress: Progress | None) -> BlockErrors:
    geometry = Geometry.for_spec(tensor.info.shape, settings.axis, spec)
    pipeline = prepare(
        Panels(tensor, geometry.axis),
        spec,
        geometry,
        Stream.of(settings.seed, tensor.info.name),
        nonfinite=settings.nonfinite,
        threads=thread_count(settings.threads),
    )
    drop = settings.nonfinite == "ignore"

    def work(cell: Cell) -> CellBlocks:
        return cell_blocks(pipeline, cell, drop_nonfinite=drop)

    totals = BlockTotals(pipeline)
    for part in map_ordered(work, geometry.cells, thread_count(settings.threads)):
        totals.add(part)
        if progress is not None:
            progress(tensor.info.name, part.cell.rows * part.cell.cols)
    return totals.result()
