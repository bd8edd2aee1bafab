"""``fp4sim golden``: packs of inputs and expected bits, kernels run on them, and their outputs checked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fp4sim.cli.golden_output import Junit, Layout, check_targets, finish
from fp4sim.cli.options import Json, Threads
from fp4sim.cli.output import ListOutput, Output

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from rich.console import Console

    from fp4sim.golden.stimuli import Stimulus
    from fp4sim.spec import Spec

golden = typer.Typer(
    name="golden",
    help="Golden packs: inputs that find bugs, and the bits that a correct kernel makes of them.",
    rich_markup_mode=None,
    no_args_is_help=False,
)

Seed = Annotated[int, typer.Option("--seed", min=0, metavar="N", help="Of the random inputs and rotations.")]
Pack = Annotated[str, typer.Argument(metavar="DIR", help="A pack that 'golden make' wrote.")]


@golden.command()
def make(
    folder: Annotated[str | None, typer.Argument(metavar="[DIR]", help="The folder to write.")] = None,
    format: Annotated[
        str, typer.Option("--format", "-f", metavar="SPEC[,SPEC]", help="The formats, e.g. nvfp4,mxfp4.")
    ] = "nvfp4",
    stimuli: Annotated[
        str, typer.Option("--stimuli", metavar="NAMES", help="Stimuli by name, or all; 'golden stimuli' lists them.")
    ] = "all",
    seed: Seed = 0,
    stream: Annotated[
        bool, typer.Option("--stream", help="Write the inputs to stdout for a kernel in a pipe.")
    ] = False,
) -> None:
    """Write a pack: manifest.json with hashes, and every array as raw little-endian .bin and as .npy."""
    from fp4sim.cli.console import emit
    from fp4sim.errors import UsageError
    from fp4sim.golden.cases import cases_of, check_specs
    from fp4sim.golden.stimuli import named
    from fp4sim.golden.writer import write_pack
    from fp4sim.grammar import parse_list
    from fp4sim.io.files import shown
    from fp4sim.report.cells import count_of

    specs, chosen = parse_list(format), named(stimuli)
    check_specs(specs)
    if stream == (folder is not None):
        raise UsageError("name the folder to write, or give --stream, and not both")
    if folder is None:
        _stream(specs, chosen, seed)
        return
    done = write_pack(folder, cases_of(specs, chosen, seed), seed)
    cases = count_of(done.cases, "case")
    emit(f"{cases} in {done.files:,} files, {done.bytes:,} bytes, in {shown(folder)}\n")


def _stream(specs: Sequence[Spec], stimuli: Sequence[Stimulus], seed: int) -> None:
    from fp4sim.errors import UsageError
    from fp4sim.golden.cases import cases_of
    from fp4sim.golden.stream import write_stream

    if sys.stdout.isatty():
        raise UsageError("--stream writes bytes: pipe it into a kernel")
    cases = list(cases_of(specs, stimuli, seed))
    try:
        write_stream(sys.stdout.buffer, cases, len(cases), seed)
    except BrokenPipeError:
        _discard_stdout()


def _discard_stdout() -> None:
    """A kernel that reads no further is for 'golden check' to judge."""
    import os

    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


@golden.command()
def run(
    context: typer.Context,
    folder: Pack,
    command: Annotated[list[str], typer.Argument(metavar="-- KERNEL [WORD]...", help="The kernel and its arguments.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Keep the kernel's outputs here.  [default: discarded]")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Start the kernel once, to work through the manifest.")] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.01, metavar="S", help="Seconds that one start may take.")
    ] = 60.0,
    layout: Layout = "auto",
    output: Output = None,
    junit: Junit = None,
    json: Json = False,
    threads: Threads = None,
) -> None:
    """Run a kernel on every case of a pack and check what it wrote.

    The kernel learns from the environment what to read and where to write: FP4SIM_X, FP4SIM_DTYPE, FP4SIM_ROWS, FP4SIM_COLS,
    FP4SIM_SPEC, FP4SIM_OUT; {x} {dtype} {rows} {cols} {spec} {out} in its arguments are replaced by the same. It writes
    codes.bin, block_scale.bin, tensor_scale.bin, dequantized.bin, or some of them, to the folder FP4SIM_OUT.
    """
    import tempfile

    from fp4sim.errors import NothingComparedError
    from fp4sim.golden.check import check_pack
    from fp4sim.golden.reader import read_pack
    from fp4sim.golden.runner import run_kernel
    from fp4sim.io.files import shown

    check_targets(output or (), junit)
    pack = read_pack(folder)
    with tempfile.TemporaryDirectory(prefix="fp4sim-golden-") as scratch:
        target = Path(scratch) if out is None else _emptied(out)
        run_kernel(pack, command, target, once=once, timeout=timeout)
        words = ["fp4sim", "golden", "run", folder, *(["--once"] if once else []), "--", *command]
        try:
            result = check_pack(pack, target, layout=layout, threads=threads, repro=words)
        except NothingComparedError:
            where = "its folder {out} (FP4SIM_OUT)" if out is None else shown(str(out))
            raise NothingComparedError(
                f"no output: the kernel ended well but wrote nothing for any of {len(pack.cases)} cases: it writes codes.bin,"
                f" block_scale.bin … to {where}"
            ) from None
    finish(result, context, [folder], output or (), junit, as_json=json)


def _emptied(out: Path) -> Path:
    """A new or empty folder: outputs of an earlier kernel must not be taken for this one's. Raises UsageError."""
    from fp4sim.errors import UsageError
    from fp4sim.io.files import shown

    try:
        out.mkdir(exist_ok=True)
        if any(out.iterdir()):
            raise UsageError(f"--out {shown(str(out))}: holds files already; remove them or choose another folder")
    except (OSError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"--out {shown(str(out))}: {shown(getattr(error, 'strerror', None) or str(error))}") from None
    return out


@golden.command()
def check(
    context: typer.Context,
    folder: Annotated[str, typer.Argument(metavar="DIR", help="A pack, or - for a stream on stdin.")],
    actual: Annotated[
        str | None,
        typer.Argument(metavar="[ACTUAL]", help="The kernel's outputs: a folder like the pack, .safetensors or .npz."),
    ] = None,
    layout: Layout = "auto",
    output: Output = None,
    junit: Junit = None,
    json: Json = False,
    threads: Threads = None,
) -> None:
    """Check a kernel's outputs on a pack, or what it added to a stream; without ACTUAL, check the pack itself."""
    from fp4sim.errors import UsageError
    from fp4sim.golden.check import check_pack, check_stream
    from fp4sim.golden.reader import read_pack

    check_targets(output or (), junit)
    if folder == "-":
        if actual is not None:
            raise UsageError("a stream brings the kernel's outputs itself: leave ACTUAL out")
        result = check_stream(_stdin(), layout=layout, threads=threads)
    else:
        result = check_pack(read_pack(folder), actual, layout=layout, threads=threads)
    finish(result, context, [folder, *([actual] if actual else [])], output or (), junit, as_json=json)


def _stdin() -> BinaryIO:
    from fp4sim.errors import UsageError

    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("no stream on stdin: pipe 'fp4sim golden make --stream' through a kernel")
    return sys.stdin.buffer


@golden.command()
def stimuli(json: Json = False, output: ListOutput = None) -> None:
    """List the stimuli."""
    from fp4sim.cli.output import show_list
    from fp4sim.golden.stimuli import STIMULI

    rows = [{"name": row.name, "about": row.about} for row in STIMULI]
    width = max(len(row.name) for row in STIMULI)

    def draw(console: Console) -> None:
        for row in STIMULI:
            console.print(f"{row.name:{width}}  {row.about}")

    show_list({"schema": "fp4sim.stimuli/1", "stimuli": rows}, draw, output or (), as_json=json)
