"""``fp4sim inspect``: what kind of quantized checkpoint is this."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fp4sim.cli.options import Json
from fp4sim.cli.output import ListOutput

if TYPE_CHECKING:
    from rich.console import Console


def inspect(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A .safetensors or .gguf file, an index, or a folder.")],
    verbose: Annotated[bool, typer.Option("--verbose", help="Also list every quantized weight.")] = False,
    json: Json = False,
    output: ListOutput = None,
) -> None:
    """Name the layout, format and conventions of a quantized checkpoint, and the evidence.

    Known are compressed-tensors, ModelOpt, gpt-oss, typed F4 tensors and GGUF, each with NVFP4 or MXFP4. Only headers and
    config.json are read. The command lint looks at the data.
    """
    from fp4sim.cli.output import show_list
    from fp4sim.commands.inspect_checkpoint import inspect_checkpoint
    from fp4sim.report.checkpoint_text import print_inspection

    seen = inspect_checkpoint(path)

    def draw(console: Console) -> None:
        print_inspection(console, seen, verbose=verbose)

    show_list(seen.to_dict(), draw, output or (), as_json=json)
