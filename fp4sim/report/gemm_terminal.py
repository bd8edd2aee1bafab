"""The error of a product in the terminal: the parts by format, what they say, and how they add up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from fp4sim.report.cells import settings_text
from fp4sim.report.fit import Column, fitted_table
from fp4sim.report.gemm_cells import (
    CAPTION,
    HEADS,
    numbers_of,
    operand_lines,
    split_text,
    statement,
    title,
    worst_text,
)

if TYPE_CHECKING:
    from rich.console import Console

    from fp4sim.report.gemm_model import GemmErrors, GemmRow

_DROPS = (0, 0, 0, 0, 3, 2, 0, 1)


def print_gemm(console: Console, result: GemmErrors, *, verbose: bool = False) -> None:
    """Print a report, formats in the order of ``result``."""
    console.print(Text(title(result), style="bold"))
    for line in operand_lines(result):
        console.print(Text(line))
    console.print()
    texts = [numbers_of(row) for row in result.formats]
    columns = [Column("formats", [Text(row.short) for row in result.formats], numeric=False, least=14)]
    columns += [Column(head, [Text(text[i]) for text in texts], drop=_DROPS[i]) for i, head in enumerate(HEADS)]
    table, dropped = fitted_table(columns, console.width)
    console.print(table)
    if dropped:
        console.print(Text(f"No room for: {', '.join(dropped)} (a wider terminal or -o shows all)", style="dim"))
    console.print(Text(CAPTION, style="dim"))
    console.print()
    for row in result.formats:
        _print_row(console, row, verbose=verbose)
    _print_legend(console, result)


def _print_row(console: Console, row: GemmRow, *, verbose: bool) -> None:
    console.print(Text.assemble((row.short, "bold"), f": {statement(row)}"))
    for line in (worst_text(row), f"relMSE {split_text(row)}" if split_text(row) else "") if verbose else ():
        if line:
            console.print(Text(f"  {line}"))


def _print_legend(console: Console, result: GemmErrors) -> None:
    console.print()
    for note in result.notes:
        console.print(Text(f"Note: {note}"))
    infos = {info.spec: info for row in result.formats for info in (row.a, row.b)}
    for info in infos.values():
        notes = "".join(f"; {note}" for note in info.notes)
        console.print(Text(f"{info.short} = {info.spec}{notes}", style="dim"))
    made = f"fp4sim {result.version}, bits version {result.bits_version}, {settings_text(result.settings)}"
    console.print(Text(made, style="dim"))
