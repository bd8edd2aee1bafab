"""``fp4sim inspect``: what kind of quantized checkpoint is this."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fp4sim.cli.options import Json

if TYPE_CHECKING:
    from rich.console import Console


def inspect(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A .safetensors or .gguf file, an index, or a folder.")],
    verbose: Annotated[bool, typer.Option("--verbose", help="Also list every quantized weight.")] = False,
    json: Json = False,
) -> None:
    """Name the layout, format and conventions of a quantized checkpoint, and the evidence.

    Known are compressed-tensors, ModelOpt, gpt-oss, typed F4 tensors and GGUF, each with NVFP4 or MXFP4. Only headers and
    config.json are read. The command lint looks at the data.
    """
    from fp4sim.cli.console import emit, emit_rich
    from fp4sim.commands.inspect_checkpoint import inspect_checkpoint
    from fp4sim.report.checkpoint_text import print_inspection
    from fp4sim.report.json_text import strict_json

    seen = inspect_checkpoint(path)
    if json:
        emit(strict_json(seen.to_dict()))
        return

    def draw(console: Console) -> None:
        print_inspection(console, seen, verbose=verbose)

    emit_rich(draw)
