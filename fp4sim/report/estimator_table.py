"""Estimators in the terminal: a line each, or one in full."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fp4sim.report.fit import Column, fitted_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from fp4sim.commands.describe_estimator import EstimatorRow, ParameterRow

_CLAIM_STYLE = {"unbiased": "green", "unbiased in the limit": "green", "biased": "yellow"}


def print_estimators(console: Console, rows: Sequence[EstimatorRow], training: Sequence[str] = ()) -> None:
    """Print every estimator on a line: steps, then formats, then recipes; and the names of ``training`` recipes."""
    columns = [
        Column("estimator", [Text(row.name, style="bold") for row in rows], numeric=False),
        Column("claim", [_claim(row) for row in rows], numeric=False, least=12),
        Column("example", [Text(row.example) for row in rows], numeric=False, least=20),
        Column("what", [Text(row.title) for row in rows], numeric=False, least=20),
    ]
    ends = [i - 1 for i in range(1, len(rows)) if rows[i].kind != rows[i - 1].kind]
    console.print(fitted_table(columns, console.width, ends)[0])
    console.print()
    note = (
        "claim: about the mean of the dequantized values over draws. Steps, then formats, then recipes."
        " fp4sim estimators show NAME says more."
    )
    console.print(Text(note, style="dim"))
    if training:
        console.print(Text("Training recipes, for fp4sim bias --recipe:", style="dim"))
        console.print(Padding(Text(" ".join(training), style="dim"), (0, 0, 0, 2)))


def print_estimator(console: Console, row: EstimatorRow) -> None:
    """Print one estimator: claim, definition, parameters, source and example."""
    console.print(Text(f"{row.name}: {row.title}", style="bold"))
    console.print()
    facts = [("claim", Text.assemble(_claim(row), f": {row.claim_words}")), ("definition", Text(row.definition))]
    if len(row.spellings) > 1:
        facts.append(("written", Text(" ".join(f"+{name}" for name in row.spellings))))
    facts += [("source", Text(row.source)), ("example", Text(row.example))]
    if row.spec != row.example:
        facts.append(("canonical", Text(row.spec)))
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in facts:
        table.add_row(Text(f"  {name}", style="dim"), fact)
    console.print(table)
    if row.parameters:
        console.print()
        console.print(_parameter_table(row.parameters, console.width))


def _claim(row: EstimatorRow) -> Text:
    return Text(row.claim, style=_CLAIM_STYLE.get(row.claim, ""))


def _parameter_table(rows: Sequence[ParameterRow], width: int) -> Table:
    columns = [
        Column("parameter", [Text(f"+{row.step}{row.written}", style="bold") for row in rows], numeric=False),
        Column("meaning", [Text(row.meaning) for row in rows], numeric=False, least=20),
        Column("default", [Text(_shown(row.default)) for row in rows]),
        Column("in the example", [Text(_shown(row.value)) for row in rows]),
        Column("range", [Text(_range(row)) for row in rows], numeric=False),
    ]
    return fitted_table(columns, width)[0]


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _range(row: ParameterRow) -> str:
    if row.default is False:
        return ""
    if row.low is None or row.high is None:
        return "" if row.low is None else f">= {row.low:g}"
    return f"{row.low:g}..{row.high:g}"
