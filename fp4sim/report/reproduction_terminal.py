"""A reproduction in the terminal: a table a section, reasons and notes below it, and the count at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from fp4sim.report.fit import Column, fitted_table
from fp4sim.report.reproduction_cells import (
    RULE,
    STYLES,
    counts_text,
    definition_lines,
    error_text,
    remark_lines,
    runs_text,
    settings_text,
    title_of,
)
from fp4sim.report.reproduction_model import MISSING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from fp4sim.report.reproduction_model import ReproducedRow, ReproducedSection, ReproducedTable, Reproduction


def print_reproduction(console: Console, result: Reproduction) -> None:
    """Print every table."""
    for table in result.tables:
        _print_table(console, table)
    rows = [row for table in result.tables for row in table.rows]
    console.print(Text(counts_text(rows), style="bold"))
    console.print(Text(f"{RULE}. {settings_text(result)}", style="dim"))


def print_tables(console: Console, listed: Sequence[tuple[str, str]]) -> None:
    """Print the names of tables with a line each."""
    columns = [
        Column("table", [Text(name, style="bold") for name, _ in listed], numeric=False),
        Column("what it holds", [Text(summary) for _, summary in listed], numeric=False, least=30),
    ]
    console.print(fitted_table(columns, console.width)[0])
    console.print()
    console.print(Text("fp4sim reproduce TABLE measures one, fp4sim reproduce all every one.", style="dim"))


def _print_table(console: Console, table: ReproducedTable) -> None:
    console.print(Text(title_of(table), style="bold"))
    for note in table.notes:
        console.print(Text(note))
    console.print()
    for section in table.sections:
        _print_section(console, section)


def _print_section(console: Console, section: ReproducedSection) -> None:
    console.print(Text(section.title, style="bold cyan"))
    console.print(Text(f"published: {section.source}", style="dim"))
    if section.data:
        console.print(Text(f"data: {section.data}", style="dim"))
    for line in definition_lines(section):
        console.print(Text(f"measured: {line}", style="dim"))
    missing = all(row.outcome == MISSING for row in section.rows)
    columns = _reasons(section.rows) if missing else _columns(section.rows)
    console.print(fitted_table(columns, console.width)[0])
    for label, remark in remark_lines(section):
        console.print(Padding(Text.assemble((f"{label}: ", "bold"), remark), (0, 0, 0, 2)))
    console.print()


def _columns(rows: Sequence[ReproducedRow]) -> list[Column]:
    columns = [
        Column("figure", [Text(row.label) for row in rows], numeric=False, least=22),
        Column("spec", [Text(row.spec, style="dim") for row in rows], numeric=False, least=16),
        Column("published", [Text(row.published) for row in rows]),
        Column("measured", [Text(row.measured, style="bold") for row in rows]),
        Column("std err", [Text(error_text(row)) for row in rows], drop=1),
        Column("draws×elem", [Text(runs_text(row)) for row in rows], drop=2),
        Column("outcome", [Text(row.outcome, style=STYLES[row.outcome]) for row in rows], numeric=False),
    ]
    empty = {"spec": not any(row.spec for row in rows), "std err": all(row.standard_error is None for row in rows)}
    empty["draws×elem"] = not any(row.elements for row in rows)
    return [column for column in columns if not empty.get(column.head, False)]


def _reasons(rows: Sequence[ReproducedRow]) -> list[Column]:
    return [
        Column("published", [Text(row.label) for row in rows], numeric=False, least=30),
        Column("why it is not reproduced", [Text(row.reason, style="dim") for row in rows], numeric=False, least=30),
    ]
