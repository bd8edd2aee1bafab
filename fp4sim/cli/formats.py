"""``fp4sim formats``: the small floats and their codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fp4sim.cli.options import Json
from fp4sim.cli.output import ListOutput

if TYPE_CHECKING:
    from rich.console import Console


def formats(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="e2m1, e8m0, ue4m3, ue5m3:max=61440, e3m2 ...: list its codes, values and ties."
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also list negative codes of formats wider than 5 bits.")
    ] = False,
    json: Json = False,
    output: ListOutput = None,
) -> None:
    """List element and scale formats, or the codes of one."""
    from fp4sim.cli.output import show_list
    from fp4sim.commands.describe_format import SCHEMA, describe_format, list_formats
    from fp4sim.report.format_table import print_format, print_formats

    rows = list_formats() if name is None else (describe_format(name),)

    def draw(console: Console) -> None:
        if name is None:
            print_formats(console, rows)
        else:
            print_format(console, rows[0], negative=everything)

    show_list({"schema": SCHEMA, "formats": [row.to_dict() for row in rows]}, draw, output or (), as_json=json)
