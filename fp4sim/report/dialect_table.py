"""Dialects in the terminal: one a line, or one in full."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from fp4sim.report.fit import Column, fitted_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from fp4sim.commands.describe_dialect import DialectRow

_FACTS = {
    "clamps": "clamps",
    "zero block": "zero_block",
    "ties": "ties",
    "−0 and NaN": "special",
    "E8M0": "power",
    "packing": "packing",
    "scale layout": "layout",
    "tensor scale": "tensor_scale",
    "source": "source",
    "checked": "checked",
}


def print_dialects(console: Console, rows: Sequence[DialectRow]) -> None:
    """Print every dialect on a line."""
    columns = [
        Column("dialect", [Text(row.name, style="bold") for row in rows], numeric=False),
        Column("variants", [Text(" ".join(f":{flag}" for flag in row.flags)) for row in rows], numeric=False, drop=2),
        Column("computes", [Text(", ".join(row.computes)) for row in rows], numeric=False, drop=1),
        Column("what it is", [Text(row.convention.title, style="dim") for row in rows], numeric=False, least=20),
    ]
    console.print(fitted_table(columns, console.width)[0])
    console.print()
    console.print(
        Text("Use one in a spec, e.g. nvfp4@torchao; fp4sim dialects show NAME says what it does.", style="dim")
    )


def print_dialect(console: Console, row: DialectRow) -> None:
    """Print one dialect in full."""
    convention = row.convention
    console.print(Text.assemble((row.name, "bold"), f": {convention.title}"))
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    facts = [("computes", ", ".join(row.computes))]
    facts += [("expression" if not i else "", line) for i, line in enumerate(convention.expression)]
    facts += [(name, getattr(convention, key)) for name, key in _FACTS.items()]
    facts += [("note" if not i else "", line) for i, line in enumerate(convention.notes)]
    if row.flags:
        facts.insert(1, ("variants", " ".join(f":{flag}" for flag in row.flags)))
    for name, fact in facts:
        table.add_row(Text(f"  {name}", style="dim"), Text(fact))
    console.print(table)
    legend = (
        "A, a: amax of tensor, block; v: element max; F: bound of scales; c = 1/v; Q: cast of scales; r: rcp.approx.ftz"
    )
    console.print(Text(legend, style="dim"))
