"""What ``fp4sim diff`` does: the same tensors under two specs, and which operation makes their bits differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

import fp4sim
from fp4sim.commands.compare import nothing_compared, skip_reason, unfit
from fp4sim.commands.diff_causes import Run, cause_of, moves_between
from fp4sim.commands.diff_cells import CellBits, bits_of, differing_counts, examples_of
from fp4sim.errors import NothingComparedError, UsageError
from fp4sim.estimators.pipeline import Pipeline, check_spec, prepare
from fp4sim.fpmode import ieee_mode
from fp4sim.geometry import Cell, Geometry
from fp4sim.panels import Nonfinite, Panels
from fp4sim.parallel import map_ordered, thread_count
from fp4sim.randbits import Stream
from fp4sim.report.diff_model import Count, DiffResult, Example, TensorDiff
from fp4sim.report.model import Skipped
from fp4sim.transforms import rotation_size

if TYPE_CHECKING:
    from fp4sim.dialects.dialect import Dialect
    from fp4sim.io.source import Source, Tensor
    from fp4sim.spec import Spec

CAUSE_ELEMENTS = 1 << 20  # differing cells are tried until they hold so many elements


@dataclass(frozen=True)
class DiffSettings:
    """How two specs are compared. ``examples``: elements that are listed for each tensor."""

    axis: int = -1
    seed: int = 0
    nonfinite: Nonfinite = "error"
    examples: int = 5
    threads: int | None = None


@ieee_mode()
def diff_sources(
    sources: Sequence[tuple[Source, Sequence[Tensor]]], a: Spec, b: Spec, settings: DiffSettings | None = None
) -> DiffResult:
    """Compare every float tensor of at least 2 axes under ``a`` and ``b``.

    Raises UsageError for specs that have no common blocks or are not computed, NothingComparedError if no tensor is left,
    UnreadableError for damaged data, NaN or Inf.
    """
    settings = settings or DiffSettings()
    check_pair(a, b)
    rows: list[TensorDiff] = []
    skipped: list[Skipped] = []
    runs: list[Run] = []
    left = CAUSE_ELEMENTS
    for source, tensors in sources:
        for tensor in tensors:
            reason = skip_reason(tensor) or unfit(tensor, (a, b), settings.axis)
            if reason:
                skipped.append(Skipped(tensor.info.name, source.label, reason))
                continue
            row, cells = _diff_tensor(tensor, a, b, settings, source.label)
            rows.append(row)
            kept: list[Cell] = []
            for cell in cells:
                if left > 0:
                    kept.append(cell)
                    left -= cell.rows * cell.cols
            if kept:
                runs.append(_run(tensor, b, settings, kept))
    if not rows:
        raise NothingComparedError(nothing_compared(sources, skipped))
    scales, codes, values = (reduce(add, (getattr(row, key) for row in rows)) for key in ("scales", "codes", "values"))
    touched = Count(sum(bool(row.scales.differing or row.codes.differing) for row in rows), len(rows))
    cause = cause_of(a, b, runs, moves_between(a, b))
    return DiffResult(
        a=a.short,
        b=b.short,
        tensors=tuple(rows),
        scales=scales,
        codes=codes,
        values=values,
        touched=touched,
        causes=cause.names,
        sentence=cause.sentence,
        tried=cause.tried,
        tried_on=cause.elements,
        skipped=tuple(skipped),
        sources=tuple(source.label for source, _ in sources),
        version=fp4sim.__version__,
        bits_version=fp4sim.BITS_VERSION,
    )


def check_pair(a: Spec, b: Spec) -> None:
    """Raise UsageError for specs whose codes cannot be laid beside each other."""
    for spec in (a, b):
        check_spec(spec)
    if (a.element, a.block) != (b.element, b.block):
        raise UsageError(f"{a.short} and {b.short} differ in element or block: their codes do not correspond")
    if (a.scale is None) != (b.scale is None) or rotation_size(a) != rotation_size(b):
        raise UsageError(f"{a.short} and {b.short} differ in scales or rotation: their codes do not correspond")


def _pipeline(tensor: Tensor, spec: Spec, settings: DiffSettings, dialect: Dialect | None = None) -> Pipeline:
    geometry = Geometry.for_spec(tensor.info.shape, settings.axis, spec)
    return prepare(
        Panels(tensor, geometry.axis),
        spec,
        geometry,
        Stream.of(settings.seed, tensor.info.name, 0),
        nonfinite=settings.nonfinite,
        threads=thread_count(settings.threads),
        dialect=dialect,
    )


def _diff_tensor(
    tensor: Tensor, a: Spec, b: Spec, settings: DiffSettings, source: str
) -> tuple[TensorDiff, list[Cell]]:
    """One tensor under both, and the cells that differ in codes or scales."""
    pair = _pipeline(tensor, a, settings), _pipeline(tensor, b, settings)
    drop = settings.nonfinite == "ignore"

    def compare(cell: Cell) -> tuple[Cell, CellBits, CellBits]:
        first, second = (bits_of(pipeline, cell, drop_nonfinite=drop) for pipeline in pair)
        return cell, first, second

    scales = codes = values = Count(0, 0)
    examples: list[Example] = []
    cells: list[Cell] = []
    for cell, first, second in map_ordered(compare, pair[0].geometry.cells, thread_count(settings.threads)):
        found = differing_counts(first, second)
        scales, codes, values = scales + found[0], codes + found[1], values + found[2]
        if found[0].differing or found[1].differing:
            cells.append(cell)
            wanted = settings.examples - len(examples)
            examples += examples_of(pair[0], cell, first, second, wanted) if wanted > 0 else []
    info = tensor.info
    return TensorDiff(info.name, source, info.shape, info.dtype, scales, codes, values, tuple(examples)), cells


def _run(tensor: Tensor, b: Spec, settings: DiffSettings, cells: list[Cell]) -> Run:
    """How much of a tensor's differing cells another arithmetic leaves different from ``b``."""
    drop = settings.nonfinite == "ignore"
    target = _pipeline(tensor, b, settings)
    wanted = [bits_of(target, cell, drop_nonfinite=drop) for cell in cells]

    def left(spec: Spec, dialect: Dialect) -> Count:
        pipeline = _pipeline(tensor, spec, settings, dialect)
        total = Count(0, 0)
        for cell, bits in zip(cells, wanted, strict=True):
            scales, codes, _ = differing_counts(bits_of(pipeline, cell, drop_nonfinite=drop), bits)
            total += scales + codes
        return total

    return Run(left, sum(cell.rows * cell.cols for cell in cells))
