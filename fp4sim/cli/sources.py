"""``fp4sim sources``: what can be compared and quantized."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.cli.options import Json
from fp4sim.cli.output import ListOutput

if TYPE_CHECKING:
    from rich.console import Console


def sources(json: Json = False, output: ListOutput = None) -> None:
    """List synthetic tensors and the files that are read."""
    from fp4sim.cli.output import show_list
    from fp4sim.commands.list_sources import list_sources
    from fp4sim.report.source_table import print_sources

    found = list_sources()

    def draw(console: Console) -> None:
        print_sources(console, found)

    show_list(found.to_dict(), draw, output or (), as_json=json)
