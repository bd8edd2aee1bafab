"""``fp4sim dialects``: the arithmetics of libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fp4sim.cli.options import Json
from fp4sim.cli.output import ListOutput

if TYPE_CHECKING:
    from rich.console import Console


def dialects(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[show NAME]", help="show te, show torchao ...: one in full.")
    ] = None,
    json: Json = False,
    output: ListOutput = None,
) -> None:
    """List the arithmetics of libraries, or say all about one: expression, clamps, ties, packing, layout, source."""
    from fp4sim.cli.output import show_list
    from fp4sim.commands.describe_dialect import SCHEMA, describe_dialect, list_dialects
    from fp4sim.errors import UsageError
    from fp4sim.report.dialect_table import print_dialect, print_dialects

    if words and (len(words) != 2 or words[0] != "show"):
        raise UsageError(f"dialects {' '.join(words)}: fp4sim dialects, or fp4sim dialects show NAME")
    rows = (describe_dialect(words[1]),) if words else list_dialects()

    def draw(console: Console) -> None:
        if words:
            print_dialect(console, rows[0])
        else:
            print_dialects(console, rows)

    show_list({"schema": SCHEMA, "dialects": [row.to_dict() for row in rows]}, draw, output or (), as_json=json)
