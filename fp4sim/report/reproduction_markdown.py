"""A reproduction as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.cells import safe_name
from fp4sim.report.markdown import code
from fp4sim.report.reproduction_cells import (
    RULE,
    counts_text,
    definition_lines,
    error_text,
    remark_lines,
    runs_text,
    settings_text,
    title_of,
)
from fp4sim.report.reproduction_model import AGREES, DIFFERS, MISSING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fp4sim.report.reproduction_model import ReproducedRow, ReproducedSection, ReproducedTable, Reproduction


def reproduction_markdown(result: Reproduction) -> str:
    """The whole result: a summary, then every table."""
    rows = [row for table in result.tables for row in table.rows]
    parts = [
        "# Published figures beside measured ones",
        f"{counts_text(rows)}. {RULE[0].upper()}{RULE[1:]}.",
        _summary(result),
        *(_table_text(table) for table in result.tables),
        settings_text(result),
    ]
    return "\n\n".join(parts) + "\n"


def _summary(result: Reproduction) -> str:
    rows = [
        [
            _escaped(table.name),
            _escaped(table.title),
            str(table.count(AGREES)),
            str(table.count(DIFFERS)),
            str(len(table.rows)),
        ]
        for table in result.tables
    ]
    return _grid(["table", "what it holds", "agree", "differ", "rows"], 2, rows)


def _table_text(table: ReproducedTable) -> str:
    parts = [f"## {_escaped(title_of(table))}", *(_escaped(note) for note in table.notes)]
    return "\n\n".join([*parts, *(_section(section) for section in table.sections)])


def _section(section: ReproducedSection) -> str:
    facts = [f"- published: {_escaped(section.source)}"]
    facts += [f"- data: {_escaped(section.data)}"] if section.data else []
    facts += [f"- measured: {_escaped(line)}" for line in definition_lines(section)]
    parts = [f"### {_escaped(section.title)}", "\n".join(facts), _rows(section.rows)]
    remarks = [f"- **{_escaped(label)}**: {_escaped(text)}" for label, text in remark_lines(section)]
    return "\n\n".join([*parts, *(["\n".join(remarks)] if remarks else [])])


def _rows(rows: Sequence[ReproducedRow]) -> str:
    if all(row.outcome == MISSING for row in rows):
        reasons = [[_escaped(row.label), _escaped(row.reason)] for row in rows]
        return _grid(["published", "why it is not reproduced"], 2, reasons)
    head = ["figure", "spec", "published", "measured", "std err", "draws × elements", "outcome"]
    return _grid(head, 2, [_cells(row) for row in rows])


def _cells(row: ReproducedRow) -> list[str]:
    spec = code(row.spec) if row.spec else ""
    outcome = f"**{row.outcome}**" if row.outcome == DIFFERS else row.outcome
    numbers = [_escaped(row.published), _escaped(row.measured), error_text(row), runs_text(row)]
    return [_escaped(row.label), spec, *numbers, outcome]


def _grid(head: Sequence[str], left: int, rows: Sequence[Sequence[str]]) -> str:
    rule = [":---"] * left + ["---:"] * (len(head) - left)
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))


def _escaped(text: str) -> str:
    """Text of the tables in a cell or a paragraph: what Markdown would take for markup or a column is escaped."""
    return "".join(f"\\{c}" if c in "\\|*_`<[" else c for c in safe_name(text))
