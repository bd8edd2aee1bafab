"""Published figures beside measured ones, as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.html.document import Cell, Column, Document, Row, Table
from fp4sim.report.reproduction_cells import RULE, definition_lines, error_text, runs_text, title_of
from fp4sim.report.reproduction_model import AGREES, DIFFERS, OUTCOMES
from fp4sim.report.summary import sentences_of
from fp4sim.report.summary.sentence import row_name

if TYPE_CHECKING:
    from fp4sim.report.reproduction_model import ReproducedRow, ReproducedTable, Reproduction

_MARKS = {AGREES: "good", DIFFERS: "bad"}


def reproduction_document(result: Reproduction) -> Document:
    """A table a section; reasons and notes beside the rows that they concern."""
    rows = [row for table in result.tables for row in table.rows]
    counts = ((sum(row.outcome == outcome for row in rows), outcome) for outcome in OUTCOMES)
    return Document(
        title="Published figures beside measured ones",
        kind="Reproduction",
        result=result,
        sentences=sentences_of(result),
        tiles=tuple((f"{count:,}", outcome) for count, outcome in counts if count),
        tables=tuple(part for i, table in enumerate(result.tables) for part in _tables(table, i)),
        notes=(RULE,),
        settings=result.settings,
    )


def _tables(table: ReproducedTable, index: int) -> list[Table]:
    heads = (Column("Figure", False), Column("Spec", False), Column("Published"), Column("Measured"), Column("std err"))
    columns = (
        *heads,
        Column("draws × elements"),
        Column("Outcome", False, choice=True),
        Column("Why, and notes", False),
    )
    made, first = [], 0
    for k, section in enumerate(table.sections):
        rows = tuple(Row(row_name(first + i, index), _cells(row)) for i, row in enumerate(section.rows))
        first += len(rows)
        facts = [f"Published: {section.source}", f"Data: {section.data}" if section.data else ""]
        facts += [f"Measured: {line}" for line in definition_lines(section)]
        facts += table.notes if k == 0 else ()
        title = f"{title_of(table)}: {section.title}"
        note = ". ".join(text.rstrip(".") for text in facts if text) + "."
        made.append(Table(f"table-{index}-{k}", title, columns, rows, note))
    return made


def _cells(row: ReproducedRow) -> tuple[Cell, ...]:
    outcome = Cell(row.outcome, _MARKS.get(row.outcome, "dim"))
    why = " ".join(text for text in (row.reason, *row.notes) if text)
    numbers = (Cell(row.published), Cell(row.measured), Cell(error_text(row)), Cell(runs_text(row)))
    return (Cell(row.label), Cell(row.spec), *numbers, outcome, Cell(why))
