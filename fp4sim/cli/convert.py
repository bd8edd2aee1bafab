"""``fp4sim convert``: write a checkpoint in the layout of compressed-tensors or ModelOpt."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from fp4sim.cli.options import Exclude, Include, Seed, Threads


class Layout(StrEnum):
    """Layouts that can be written."""

    compressed_tensors = "compressed-tensors"
    modelopt = "modelopt"


def convert(
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="A float checkpoint, a file of quantize, or a quantized checkpoint.")
    ],
    out: Annotated[str, typer.Argument(metavar="DST", help="The folder to write; it must not exist or be empty.")],
    to: Annotated[Layout, typer.Option("--to", help="The layout to write.")],
    spec: Annotated[
        str | None, typer.Option("--spec", metavar="SPEC", help="What to quantize floats to, e.g. nvfp4 or mxfp4@even.")
    ] = None,
    include: Include = None,
    exclude: Exclude = None,
    seed: Seed = 0,
    threads: Threads = None,
) -> None:
    """Write weights as compressed-tensors or ModelOpt store them, with the configuration that says so.

    Floats are quantized: without --include all matrices but embeddings, heads, norms and routers. Weights that runtimes
    fuse (q, k, v; gate, up) share the tensor scale of their largest amax. Of packed and quantized checkpoints codes and block
    scales are kept bit for bit; a multiplier that becomes a divisor is rounded once. Other files, such as the tokenizer,
    are yours to copy, and no scales of activations are written.
    """
    from fp4sim.cli.console import emit
    from fp4sim.commands.convert_checkpoint import Selection, convert_checkpoint
    from fp4sim.grammar import parse
    from fp4sim.io.files import shown
    from fp4sim.report.cells import count_of

    selection = Selection(None if spec is None else parse(spec), include or (), exclude or (), seed, threads)
    done = convert_checkpoint(source, out, to.value, selection)
    emit(
        f"{count_of(done.quantized, 'weight')} in {done.format} as {to.value}, {done.copied:,} tensors copied\n"
        f"{', '.join(done.files)} in {shown(out)}, {done.bytes_out:,} bytes of tensors\n"
    )
