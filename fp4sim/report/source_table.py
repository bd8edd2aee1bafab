"""The list of sources in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from fp4sim.report.cells import shape_text
from fp4sim.report.fit import Column, fitted_table

if TYPE_CHECKING:
    from rich.console import Console

    from fp4sim.commands.list_sources import SourceList

_GRAMMAR = "synthetic[:NAME][:param=value]...[:ROWSxCOLS][:seed=N][:dtype=fp32|bf16|fp16]"


def print_sources(console: Console, sources: SourceList) -> None:
    """Print the synthetic tensors, how to ask for them, and the suffixes."""
    rows = sources.synthetic
    parameters = [", ".join(f"{name}={default:g}" for name, default, _, _ in row.parameters) for row in rows]
    table, _ = fitted_table(
        [
            Column("synthetic", [Text(row.name, style="bold") for row in rows], numeric=False),
            Column("suite", [Text("yes" if row.in_suite else "") for row in rows], numeric=False),
            Column("shape", [Text(shape_text(row.shape)) for row in rows], numeric=False),
            Column("parameters", [Text(text) for text in parameters], numeric=False),
            Column("what", [Text(row.description) for row in rows], numeric=False, least=20),
        ],
        console.width,
    )
    console.print(table)
    console.print()
    console.print(Text(_GRAMMAR))
    console.print(
        Text("Without NAME it is the suite, which is the default too; the others only come by name", style="dim")
    )
    console.print()
    files, _ = fitted_table(
        [
            Column("files", [Text(suffix, style="bold") for suffix in sources.files], numeric=False),
            Column("what", [Text(text) for text in sources.files.values()], numeric=False, least=20),
        ],
        console.width,
    )
    console.print(files)
