"""``fp4sim diff``: where two specs' bits differ, and by which operation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fp4sim.cli.options import Axis, Exclude, Include, InputDtype, Json, NoHash, Nonfinite, OnNonfinite, Seed, Threads
from fp4sim.cli.output import Output

if TYPE_CHECKING:
    from rich.console import Console


def diff(
    context: typer.Context,
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE", help="Files, folders of .safetensors, or synthetic[:NAME...].")
    ],
    a: Annotated[str, typer.Option("--a", metavar="SPEC", help="One spec, e.g. nvfp4@te.")] = "nvfp4",
    b: Annotated[str, typer.Option("--b", metavar="SPEC", help="The other, e.g. nvfp4@torchao.")] = "nvfp4@torchao",
    include: Include = None,
    exclude: Exclude = None,
    dtype: InputDtype = None,
    axis: Axis = -1,
    seed: Seed = 0,
    nonfinite: Nonfinite = OnNonfinite.error,
    threads: Threads = None,
    examples: Annotated[int, typer.Option(min=0, metavar="N", help="List this many differences a tensor.")] = 5,
    json: Json = False,
    output: Output = None,
    no_hash: NoHash = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 1 if a scale or code differs.")] = False,
) -> None:
    """Show where the bits of two specs differ on the same tensors, and find the operation that causes it.

    The cause is found by giving a one of b's operations after the other: formula, clamp, reciprocal or division, ties,
    zeros. Differences between libraries show on bfloat16 data with many block maxima, hardly on random float32.
    """
    from contextlib import ExitStack

    from fp4sim.checkpoints.checkpoint import open_tensors
    from fp4sim.cli.console import emit_rich
    from fp4sim.cli.output import check_outputs, print_json, write_outputs
    from fp4sim.cli.stamp import stamped
    from fp4sim.commands.diff import DiffSettings, diff_sources
    from fp4sim.errors import ExitCode
    from fp4sim.grammar import parse
    from fp4sim.io.source import select
    from fp4sim.report.diff_table import print_diff

    first, second = parse(a), parse(b)
    check_outputs(output or (), sources)
    with ExitStack() as stack:
        opened = [stack.enter_context(open_tensors(name, dtype=dtype)) for name in sources]
        chosen = [(source, select(source.tensors(), include or (), exclude or ())) for source in opened]
        settings = DiffSettings(axis, seed, nonfinite.value, examples, threads)
        result = diff_sources(chosen, first, second, settings)
    if output or json:
        result = stamped(result, context, sources, hashed=not no_hash)
    write_outputs(result, output or ())
    if json:
        print_json(result)
    else:

        def draw(console: Console) -> None:
            print_diff(console, result)

        emit_rich(draw)
    if exit_code and (result.scales.differing or result.codes.differing):
        raise typer.Exit(ExitCode.MISMATCH)
