"""``fp4sim gemm``: where does the error of a product come from, and which model does a recorded product obey?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fp4sim.cli.options import InputDtype, Json, NoHash, Seed, Threads
from fp4sim.cli.output import Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fp4sim.commands.gemm import GemmSettings
    from fp4sim.report.gemm_model import GemmErrors
    from fp4sim.spec import Spec

_A, _B = "synthetic:outlier-channels:256x1024", "synthetic:gaussian:256x1024:seed=1"


def gemm(
    context: typer.Context,
    a: Annotated[
        str | None,
        typer.Argument(metavar="A", help=f"(M, K): FILE, FILE::TENSOR or synthetic:…; none: {_A}.", show_default=False),
    ] = None,
    b: Annotated[
        str | None, typer.Argument(metavar="B", help=f"(N, K), the same; none: {_B}.", show_default=False)
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--formats",
            "-f",
            metavar="SPECS",
            help="Formats of both operands, separated by commas; repeatable.  [default: nvfp4,mxfp4]",
        ),
    ] = None,
    a_format: Annotated[
        str | None, typer.Option(metavar="SPEC", help="Another format of A; goes with --b-format.")
    ] = None,
    b_format: Annotated[str | None, typer.Option(metavar="SPEC", help="The format of B beside it.")] = None,
    model: Annotated[
        str, typer.Option(metavar="NAME", help="Of the matrix unit: blackwell, exact, fp32-rn, or one of --fit's.")
    ] = "blackwell",
    order: Annotated[
        str, typer.Option(metavar="NAME", help="Of the steps of K: chain, split-k:N or stream-k:STEP:STEP….")
    ] = "chain",
    out: Annotated[str, typer.Option(metavar="DTYPE", help="The output: bfloat16, float16 or float32.")] = "bfloat16",
    sort: Annotated[
        str,
        typer.Option(
            metavar="PART", help="Order of formats: given, or worst first by total, operands, accumulation, cast."
        ),
    ] = "given",
    dtype: InputDtype = None,
    seed: Seed = 0,
    threads: Threads = None,
    fit: Annotated[
        str | None,
        typer.Option(
            metavar="OUTPUTS",
            help="Instead: which models does this recorded product obey? Raw operands and outputs, or a dump of verify.",
        ),
    ] = None,
    scale_format: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="With --fit: ue4m3 or ue8m0, where neither names nor shapes tell."),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Also show the worst row and column, and how the parts add up.")
    ] = False,
    json: Json = False,
    output: Output = None,
    no_hash: NoHash = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw heat maps of the error: .png, .svg or .pdf.")
    ] = None,
) -> None:
    """Split the error of a product A · Bᵀ of quantized operands: quantization, accumulation, output cast.

    The operands are quantized, multiplied as a block-scaled matrix unit does it, bit by bit, and held against the float64
    product of what was given. Formats that no instruction multiplies are measured as far as that makes sense.
    With --fit: names the models of matrix units that a recorded output obeys, bit for bit.
    """
    from fp4sim.cli.gemm_output import check_sort, show, write_plot
    from fp4sim.cli.output import check_outputs, write_outputs
    from fp4sim.cli.stamp import stamped
    from fp4sim.commands.gemm import GemmSettings
    from fp4sim.errors import UsageError
    from fp4sim.report.figures.style import SUFFIXES

    if fit is not None:
        from fp4sim.cli.gemm_fit import run_fit

        if a is not None or b is not None:
            raise UsageError("A or B and --fit do not go together: the recorded file holds the operands")
        run_fit(context, fit, formats, scale_format, output or (), threads, as_json=json, hashed=not no_hash)
        return
    if scale_format is not None:
        raise UsageError("--scale-format goes with --fit: elsewhere the formats say it")
    if (a is None) != (b is None):
        raise UsageError("one operand: a product needs A and B, e.g. fp4sim gemm x.npy w.npy")
    check_sort(sort)
    names = (a or _A, b or _B)
    paths = [name.partition("::")[0] for name in names] + list(names)
    check_outputs(output or (), paths)
    check_outputs([plot] if plot else [], paths, SUFFIXES)
    pairs = _pairs(formats, a_format, b_format)
    result = _run(names, dtype, pairs, GemmSettings(model, order, out, seed, threads))
    if output or json:
        result = stamped(result, context, [name.partition("::")[0] for name in names], hashed=not no_hash)
    write_outputs(result, output or ())
    if plot:
        write_plot(result, plot)
    show(result, sort, verbose=verbose, as_json=json)


def _pairs(formats: Sequence[str] | None, a: str | None, b: str | None) -> list[tuple[Spec, Spec]]:
    from fp4sim.errors import UsageError
    from fp4sim.grammar import parse, parse_list

    if (a is None) != (b is None):
        raise UsageError("--a-format and --b-format go together; --formats gives both operands one format")
    pairs = [] if a is None or b is None else [(parse(a), parse(b))]
    if formats or not pairs:
        pairs += [(spec, spec) for spec in parse_list(formats or ["nvfp4,mxfp4"])]
    return list(dict.fromkeys(pairs))


def _run(
    names: tuple[str, str], dtype: str | None, pairs: Sequence[tuple[Spec, Spec]], settings: GemmSettings
) -> GemmErrors:
    from fp4sim.cli.progress import progress_bar
    from fp4sim.commands.gemm import gemm_errors
    from fp4sim.commands.gemm_operand import read_operand

    a, b = (read_operand(name, dtype) for name in names)
    depth = a[0].shape[1]
    with progress_bar(a[0].shape[0] * b[0].shape[0] * len(pairs) * depth) as bar:
        told = None if bar is None else lambda name, outputs: bar(name, outputs * depth)
        return gemm_errors(a, b, pairs, settings, told)
