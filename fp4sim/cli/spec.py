"""``fp4sim spec``: what a spec string means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fp4sim.cli.options import Json
from fp4sim.cli.output import ListOutput

if TYPE_CHECKING:
    from rich.console import Console


def spec(
    specs: Annotated[list[str], typer.Argument(metavar="SPEC", help="Specs such as nvfp4 or mxfp4@rceil+sr.")],
    json: Json = False,
    output: ListOutput = None,
) -> None:
    """Explain spec strings.

    Says the canonical and the short form, the size in bits, and what each part means.
    """
    from fp4sim.cli.output import show_list
    from fp4sim.commands.explain_spec import SCHEMA, explain_spec
    from fp4sim.grammar import parse_list
    from fp4sim.report.spec_text import print_specs

    rows = [explain_spec(one) for one in parse_list(specs)]

    def draw(console: Console) -> None:
        print_specs(console, rows)

    show_list({"schema": SCHEMA, "specs": [row.to_dict() for row in rows]}, draw, output or (), as_json=json)
