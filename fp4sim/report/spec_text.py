"""Explained specs in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from fp4sim.commands.explain_spec import SpecRow


def print_specs(console: Console, rows: Sequence[SpecRow]) -> None:
    """Print each spec: its names, then its parts one a line."""
    for i, row in enumerate(rows):
        if i:
            console.print()
        console.print(Text(row.short, style="bold"))
        facts = {"canonical": row.spec, "slug": row.slug, "size": f"{row.bits_per_element:g} bits per element"}
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for name, fact in facts.items():
            table.add_row(Text(f"  {name}", style="dim"), Text(fact))
        table.add_row()
        for part, meaning in row.parts:
            table.add_row(Text(f"  {part}"), Text(meaning))
        console.print(table)
        if row.unavailable:
            console.print(Text(f"  Not computed: {row.unavailable}", style="bold yellow"))
