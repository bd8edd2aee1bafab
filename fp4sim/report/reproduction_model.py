"""The result of ``fp4sim reproduce``: published figures beside measured ones. It stands on nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from fp4sim.report.result import Result

REPRODUCE_SCHEMA = "fp4sim.reproduce/1"
LIST_SCHEMA = "fp4sim.reproduce-tables/1"

AGREES, DIFFERS = "agrees", "differs"
MEASURED = "measured"  # there is no published figure to hold it against
SHAPE = "shape only"  # measured on other data than the published figure: an order can agree, a number need not
MISSING = "not reproduced"
OUTCOMES = (AGREES, DIFFERS, SHAPE, MEASURED, MISSING)


@dataclass(frozen=True)
class ReproducedRow:
    """One figure. ``published`` and ``measured`` are texts in the same unit; ``value`` is the number behind the latter.

    ``standard_error``: of ``value``. ``tolerance``: how far the two may lie apart and still agree: 3 standard errors and one
    unit of the last printed digit. ``draws``: independent repeats (of data, or of random bits); ``elements``: of each.
    ``reason``: why they differ, or why nothing was measured. ``notes``: what else was found.
    """

    label: str
    definition: str
    spec: str
    published: str
    measured: str
    value: float | None
    standard_error: float | None
    tolerance: float | None
    draws: int
    elements: int
    outcome: str
    reason: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReproducedSection:
    """Rows of one definition. ``source``: where the published figures are printed; ``data``: what was quantized."""

    title: str
    source: str
    definition: str
    data: str
    rows: tuple[ReproducedRow, ...]


@dataclass(frozen=True)
class ReproducedTable:
    """A table of a paper."""

    name: str
    title: str
    notes: tuple[str, ...]
    sections: tuple[ReproducedSection, ...]
    seconds: float

    @property
    def rows(self) -> tuple[ReproducedRow, ...]:
        """The rows of all sections."""
        return tuple(row for section in self.sections for row in section.rows)

    def count(self, outcome: str) -> int:
        """How many rows have an outcome."""
        return sum(row.outcome == outcome for row in self.rows)


@dataclass(frozen=True)
class Reproduction(Result):
    """What ``reproduce`` found. ``to_dict`` is its JSON."""

    tables: tuple[ReproducedTable, ...]
    settings: dict[str, Any]
    schema: ClassVar[str] = REPRODUCE_SCHEMA

    @property
    def differing(self) -> int:
        """How many rows differ from what is published."""
        return sum(table.count(DIFFERS) for table in self.tables)
