"""``fp4sim sources``: what can be compared and quantized."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.cli.options import Json

if TYPE_CHECKING:
    from rich.console import Console


def sources(json: Json = False) -> None:
    """List synthetic tensors and the files that are read."""
    from fp4sim.cli.console import emit, emit_rich
    from fp4sim.commands.list_sources import list_sources
    from fp4sim.report.json_text import strict_json
    from fp4sim.report.source_table import print_sources

    found = list_sources()
    if json:
        emit(strict_json(found.to_dict()))
        return

    def draw(console: Console) -> None:
        print_sources(console, found)

    emit_rich(draw)
