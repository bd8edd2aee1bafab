"""Runs tables: each section by its plan, each row against what is published."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import fp4sim
from fp4sim.fpmode import ieee_mode
from fp4sim.report.reproduction_model import (
    AGREES,
    DIFFERS,
    MEASURED,
    MISSING,
    SHAPE,
    ReproducedRow,
    ReproducedSection,
    ReproducedTable,
    Reproduction,
)
from fp4sim.reproduce.data import describe
from fp4sim.reproduce.facts import fact
from fp4sim.reproduce.judge import Printed, agrees, is_number, tolerance
from fp4sim.reproduce.measure_bias import measure_bias, work_of_bias
from fp4sim.reproduce.measure_errors import measure_errors, work_of_errors
from fp4sim.reproduce.measure_gemm import measure_gemm, work_of_gemm
from fp4sim.reproduce.model import BiasPlan, ErrorPlan, FactPlan, GemmPlan, Measurement
from fp4sim.reproduce.quantities import quantity

if TYPE_CHECKING:
    from fp4sim.reproduce.model import ReproduceSettings, Row, Section, Table

Progress = Callable[[str, int], None]
_UNEXPLAINED = "not explained"


@ieee_mode()
def reproduce(tables: Sequence[Table], settings: ReproduceSettings, progress: Progress | None = None) -> Reproduction:
    """Measure tables. ``progress`` is told elements as they are quantized, :func:`work_of` in all."""
    done = tuple(_table(table, settings, progress) for table in tables)
    return Reproduction(done, settings.recorded(), version=fp4sim.__version__, bits_version=fp4sim.BITS_VERSION)


def work_of(tables: Sequence[Table], settings: ReproduceSettings) -> int:
    """Elements that will be quantized."""
    return sum(_work(section, settings) for table in tables for section in table.sections)


def _work(section: Section, settings: ReproduceSettings) -> int:
    plan, rows = section.plan, section.rows
    if isinstance(plan, ErrorPlan):
        return work_of_errors(plan, rows, settings)
    if isinstance(plan, GemmPlan):
        return work_of_gemm(plan, rows, settings)
    return work_of_bias(plan, rows, settings) if isinstance(plan, BiasPlan) else 0


def _table(table: Table, settings: ReproduceSettings, progress: Progress | None) -> ReproducedTable:
    start = time.perf_counter()
    sections = tuple(_section(section, settings, progress) for section in table.sections)
    return ReproducedTable(table.name, table.title, table.notes, sections, round(time.perf_counter() - start, 1))


def _section(section: Section, settings: ReproduceSettings, progress: Progress | None) -> ReproducedSection:
    found = _measure(section, settings, progress)
    rows = tuple(judged(section, row, one) for row, one in zip(section.rows, found, strict=True))
    return ReproducedSection(section.title, section.source, definition(section), data_of(section), rows)


def _measure(section: Section, settings: ReproduceSettings, progress: Progress | None) -> list[Measurement]:
    plan, rows = section.plan, section.rows
    if isinstance(plan, ErrorPlan):
        return measure_errors(plan, rows, settings, progress)
    if isinstance(plan, GemmPlan):
        return measure_gemm(plan, rows, settings, progress)
    if isinstance(plan, BiasPlan):
        return measure_bias(plan, rows, settings, progress)
    if isinstance(plan, FactPlan):
        return [fact(row.quantity).measure(settings.seed, *row.arguments) for row in rows]
    return [Measurement(None) for _ in rows]


def definition(section: Section, row: Row | None = None) -> str:
    """What is measured, in words."""
    plan = section.plan
    if row is not None and row.quantity:
        return fact(row.quantity).definition if isinstance(plan, FactPlan) else quantity(row.quantity).definition
    if section.text:
        return section.text
    if isinstance(plan, ErrorPlan):
        return quantity(plan.quantity).definition
    if isinstance(plan, GemmPlan):
        error = "‖mean of B products − A Bᵀ‖² / ‖A Bᵀ‖²"
        return f"−log2({error})/2" if plan.bits else f"{error} × 1e3"
    return "verdict on ‖E x̂ − x‖/‖x‖" if isinstance(plan, BiasPlan) else ""


def data_of(section: Section) -> str:
    """What is quantized, in words."""
    plan = section.plan
    if isinstance(plan, GemmPlan):
        m, k, n = plan.shape
        zeros = f"; A with {100 * plan.sparsity:g} % zeros" if plan.sparsity else ""
        return f"A ({m}×{k}), B ({n}×{k}) of N(0, 1){zeros}"
    return describe(plan.data) if isinstance(plan, ErrorPlan | BiasPlan) else ""


def judged(section: Section, row: Row, found: Measurement) -> ReproducedRow:
    """A row with its outcome."""
    printed = Printed.parse(row.published) if is_number(row.published) else None
    allowed, outcome = None, found.outcome or MEASURED
    if found.value is None and not found.outcome:
        outcome = MEASURED if found.notes else MISSING
    elif printed is not None and found.value is not None and not found.outcome:
        allowed = 0.0 if row.exact else tolerance(printed, found.error, _published_error(section, found))
        outcome = AGREES if agrees(printed, found.value, allowed) else DIFFERS
        outcome = SHAPE if row.shape else outcome
    notes = tuple(note for note in (row.note, *found.notes) if note)
    reason = row.reason if outcome in (DIFFERS, MISSING, SHAPE) else ""
    return ReproducedRow(
        label=row.label,
        definition=definition(section, row),
        spec=row.spec,
        published=row.published,
        measured=_text(printed, found),
        value=found.value,
        standard_error=found.error,
        tolerance=allowed,
        draws=found.draws,
        elements=found.elements,
        outcome=outcome,
        reason=reason or (_UNEXPLAINED if outcome == DIFFERS else ""),
        notes=notes,
    )


def _published_error(section: Section, found: Measurement) -> float:
    plan = section.plan
    draws = plan.published_draws if isinstance(plan, ErrorPlan | GemmPlan) else 0
    return (found.scatter or 0.0) / draws**0.5 if draws else 0.0


def _text(printed: Printed | None, found: Measurement) -> str:
    if found.text or found.value is None:
        return found.text
    return printed.show(found.value) if printed else f"{found.value:.4g}"
