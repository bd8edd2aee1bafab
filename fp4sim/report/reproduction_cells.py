"""What the renderers of a reproduction share: how its numbers are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.cells import UNDEFINED
from fp4sim.report.reproduction_model import AGREES, DIFFERS, MEASURED, MISSING, OUTCOMES, SHAPE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fp4sim.report.reproduction_model import ReproducedRow, ReproducedSection, ReproducedTable, Reproduction

RULE = "agrees: within 3 standard errors and one unit of the last printed digit"
STYLES = {AGREES: "green", DIFFERS: "bold red", SHAPE: "yellow", MEASURED: "", MISSING: "dim"}
_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def error_text(row: ReproducedRow) -> str:
    """A standard error with two digits; a dash where there is none."""
    return UNDEFINED if row.standard_error is None else f"{row.standard_error:.1e}"


def runs_text(row: ReproducedRow) -> str:
    """Draws times elements, as 12×4.2M."""
    if not row.elements:
        return UNDEFINED
    return f"{_short(row.draws)}×{_short(row.elements)}" if row.draws else _short(row.elements)


def _short(number: int) -> str:
    for unit, letter in _UNITS:
        if number >= 10 * unit or (number >= unit and unit > 1e3):
            return f"{number / unit:.2g}{letter}" if number < 100 * unit else f"{number / unit:.0f}{letter}"
    return str(number)


def counts_text(rows: Sequence[ReproducedRow]) -> str:
    """How many rows have which outcome."""
    counts = ((outcome, sum(row.outcome == outcome for row in rows)) for outcome in OUTCOMES)
    return ", ".join(f"{count} {outcome}" for outcome, count in counts if count)


def remark_lines(section: ReproducedSection) -> list[tuple[str, str]]:
    """Reasons and notes, each once, with the labels of the rows that they concern."""
    labels: dict[str, list[str]] = {}
    for row in section.rows:
        for text in (row.reason, *row.notes):
            if text and row.outcome != MISSING:
                labels.setdefault(text, []).append(row.label)
    return [(_joined(found), text) for text, found in labels.items()]


def _joined(labels: Sequence[str]) -> str:
    return ", ".join(labels) if len(labels) <= 2 else f"{labels[0]} … {labels[-1]}"


def definition_lines(section: ReproducedSection) -> list[str]:
    """What is measured: the section's quantity, and those of rows that have another."""
    others = dict.fromkeys(row.definition for row in section.rows if row.definition)
    return [*others] or ([section.definition] if section.definition else [])


def settings_text(result: Reproduction) -> str:
    """How it was run."""
    how = "quick: fewer repeats, wider margins; " if result.settings.get("quick") else ""
    return f"{how}seed {result.settings.get('seed')}, fp4sim {result.version}, bits version {result.bits_version}"


def title_of(table: ReproducedTable) -> str:
    """A table's heading."""
    return f"{table.name}: {table.title}"
