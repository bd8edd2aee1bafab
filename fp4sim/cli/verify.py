"""``fp4sim verify``: is a kernel's output right, bit for bit, and if not, why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fp4sim.cli.golden_output import Junit
from fp4sim.cli.mutations import Atol, Cosine, MinScore, Rtol
from fp4sim.cli.options import Axis, Json, NoHash, Seed, Threads
from fp4sim.cli.output import Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from fp4sim.report.verify_model import VerifyResult


def verify(
    context: typer.Context,
    dump: Annotated[
        str | None,
        typer.Argument(
            metavar="DUMP",
            help="What a kernel read and wrote: .safetensors, .npz, a folder of .npy files, or a JSON manifest of .bin files;"
            " a golden pack; with --against a quantized checkpoint.",
        ),
    ] = None,
    spec: Annotated[
        str | None,
        typer.Option(
            "--spec",
            "-s",
            metavar="SPEC",
            help="What it should compute, e.g. nvfp4@torchao; a golden pack brings its own.",
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            "--source",
            metavar="FLOATS",
            help="DUMP is a quantized checkpoint: compare it with the quantization of these floats. With a golden"
            " pack: the kernel's outputs.",
        ),
    ] = None,
    identify: Annotated[bool, typer.Option("--identify", help="Also try every dialect, the best first.")] = False,
    axis: Axis = -1,
    scale_layout: Annotated[
        str,
        typer.Option(metavar="NAME", help="Layout of the block scales: auto (by their size), linear, 128x4 or 8x4."),
    ] = "auto",
    padding: Annotated[str, typer.Option(metavar="RULE", help="What padding bytes must be: zero, or any.")] = "zero",
    zeros: Annotated[
        str, typer.Option(metavar="RULE", help="The sign of decoded zeros: signed (a bit like others), or any.")
    ] = "signed",
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The matrix unit behind a GEMM output (see fp4sim gemm), or bound: any FP32 accumulation.",
        ),
    ] = "blackwell",
    seed: Seed = 0,
    threads: Threads = None,
    json: Json = False,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the report as Markdown.")] = None,
    output: Output = None,
    no_hash: NoHash = False,
    junit: Junit = None,
    mutations: Annotated[
        bool,
        typer.Option(
            "--mutations", help="Test a tolerance instead: which faulty kernels pass it? DUMP gives its input."
        ),
    ] = False,
    atol: Atol = None,
    rtol: Rtol = None,
    cosine: Cosine = None,
    min_score: MinScore = None,
) -> None:
    """Compare a kernel's dump with fp4sim's own quantization, bit for bit, and explain what differs.

    A dump names its arrays [CASE.]x, and any of codes, block_scale, tensor_scale (a multiplier) or global_scale (a divisor)
    and dequantized; codes.0, codes.1 … are draws of a stochastic kernel. y is a GEMM output (with the operand w): bit for
    bit that of --model, else inside what any order of its steps could give. With --against each quantized weight of a
    checkpoint is compared with the quantization of the float weight of its name. A golden pack brings its own specs;
    --against names the kernel's outputs on it, as for fp4sim golden check.
    """
    from fp4sim.cli.output import check_outputs, write_outputs, write_text
    from fp4sim.cli.stamp import stamped
    from fp4sim.errors import ExitCode, UsageError
    from fp4sim.golden.reader import is_pack
    from fp4sim.grammar import parse
    from fp4sim.report.github import tell_github
    from fp4sim.report.verify_markdown import verify_markdown
    from fp4sim.verifying.check import Options, verify_dump
    from fp4sim.verifying.dump import read_dump

    if mutations and against is not None:
        raise UsageError("--against compares a checkpoint, --mutations tests a tolerance: give one of them")
    if dump is not None and not mutations and is_pack(dump):
        if spec is not None:
            raise UsageError(f"{dump} is a golden pack, which brings its own specs: leave --spec out")
        _check_pack(context, dump, against, output or (), junit, scale_layout, threads, as_json=json)
        return
    if spec is None:
        raise UsageError("no --spec: say what the kernel should compute, e.g. --spec nvfp4")
    if mutations:
        _test_tolerance(dump, spec, (atol, rtol, cosine, min_score), axis, seed, output or (), as_json=json)
        return
    if any(value is not None for value in (atol, rtol, cosine, min_score)):
        raise UsageError("--atol, --rtol, --cosine and --min-score go with --mutations: verify compares bits")
    if dump is None:
        raise UsageError("no DUMP: name the file or folder that holds what a kernel read and wrote")
    wanted = parse(spec)
    options = Options(axis, scale_layout, padding, zeros, seed, identify=identify, threads=threads, model=model)
    options.check()
    given = (dump, *([against] if against else []))
    check_outputs(output or (), given)
    check_outputs([markdown] if markdown else [], given, [markdown.suffix.lower()] if markdown else [])
    check_outputs([junit] if junit else [], given, (".xml",))
    if against is None:
        result = verify_dump(read_dump(dump), wanted, options)
    else:
        from fp4sim.verifying.checkpoint import verify_checkpoint

        result = verify_checkpoint(dump, against, wanted, options)
    if output or json:
        result = stamped(result, context, given, hashed=not no_hash)
    write_outputs(result, [*(output or ()), *([junit] if junit else [])])
    if markdown:
        write_text(markdown, verify_markdown(result))
    _show(result, as_json=json)
    tell_github([result])
    if not result.ok:
        raise typer.Exit(ExitCode.MISMATCH)


def _check_pack(
    context: typer.Context,
    folder: str,
    actual: str | None,
    output: Sequence[Path],
    junit: Path | None,
    layout: str,
    threads: int | None,
    *,
    as_json: bool,
) -> None:
    """A golden pack, as ``fp4sim golden check`` does."""
    from fp4sim.cli.golden_output import check_targets, finish
    from fp4sim.golden.check import check_pack
    from fp4sim.golden.reader import read_pack

    check_targets(output, junit)
    result = check_pack(read_pack(folder), actual, layout=layout, threads=threads)
    finish(result, context, [folder, *([actual] if actual else [])], output, junit, as_json=as_json)


def _test_tolerance(
    dump: str | None,
    spec: str,
    bounds: tuple[float | None, float | None, float | None, float | None],
    axis: int,
    seed: int,
    output: Sequence[Path],
    *,
    as_json: bool,
) -> None:
    """``--mutations``: as ``fp4sim mutations`` does, on the dump's first input."""
    from fp4sim.cli.mutations import run_mutations
    from fp4sim.cli.output import check_outputs
    from fp4sim.testing.tolerance import Tolerance
    from fp4sim.verifying.dump import read_dump

    atol, rtol, cosine, min_score = bounds
    check_outputs(output, () if dump is None else (dump,))
    check = Tolerance(atol, rtol, cosine=cosine)
    x = None if dump is None else read_dump(dump).cases[0].x
    run_mutations(check, spec, x, "dequantized", min_score, axis=axis, seed=seed, output=output, as_json=as_json)


def _show(result: VerifyResult, *, as_json: bool) -> None:
    from fp4sim.cli.console import emit_rich
    from fp4sim.cli.output import print_json

    if as_json:
        print_json(result)
        return
    from rich.text import Text

    from fp4sim.report.verify_text import verify_text

    def draw(console: Console) -> None:
        for line in verify_text(result, console.width).splitlines():
            style = (
                "bold red"
                if line.startswith(("FAILED", "CAUSE", "ALARM"))
                else "bold green"
                if line.startswith("OK")
                else ""
            )
            console.print(Text(line, style=style), soft_wrap=True)

    emit_rich(draw)
