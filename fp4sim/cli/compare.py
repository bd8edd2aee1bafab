"""``fp4sim compare``: the error of formats on tensors."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from fp4sim.cli.options import (
    Axis,
    Device,
    Exclude,
    Include,
    InputDtype,
    Json,
    NoHash,
    Nonfinite,
    OnDevice,
    OnNonfinite,
    Seed,
    Threads,
)
from fp4sim.cli.output import Output
from fp4sim.report.model import METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fp4sim.commands.compare import Settings
    from fp4sim.report.model import CompareResult
    from fp4sim.spec import Spec

_METRIC_NAMES = ", ".join(METRICS)


def compare(
    context: typer.Context,
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE",
            help="Files, folders of .safetensors, or synthetic[:NAME...]; none: the synthetic suite.",
        ),
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--formats",
            "-f",
            metavar="SPECS",
            help="Formats to compare, separated by commas; repeatable.  [default: nvfp4,mxfp4]",
        ),
    ] = None,
    include: Include = None,
    exclude: Exclude = None,
    dtype: InputDtype = None,
    axis: Axis = -1,
    seed: Seed = 0,
    nonfinite: Nonfinite = OnNonfinite.error,
    threads: Threads = None,
    device: Device = OnDevice.cpu,
    sort: Annotated[
        str,
        typer.Option(
            metavar="METRIC", help=f"Show tensors worst first by this metric of the first format: {_METRIC_NAMES}."
        ),
    ] = "snr_db",
    top: Annotated[
        int, typer.Option(min=0, metavar="N", help="Show this many tensors; 0: all. Files always hold all.")
    ] = 20,
    metrics: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Columns to show, separated by commas; names as for --sort.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Also show error by cause, block scales and code occupancy.")
    ] = False,
    json: Json = False,
    output: Output = None,
    no_hash: NoHash = False,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC<VALUE",
            help="Exit with 1 if the total of any format is below (or, with '>', above) the value, e.g. 'snr_db<15'."
            " Values are as in JSON: shares of 1, no factors. Repeatable.",
        ),
    ] = None,
) -> None:
    """Compare 4-bit formats by the error that they cause in tensors.

    Every float tensor with at least 2 axes is quantized and measured under every format; nothing is written back. The
    weights of quantized checkpoints (see inspect) are compared as the values that they dequantize to.
    """
    from fp4sim.cli.compare_output import metric_name, metric_names, show
    from fp4sim.cli.output import check_outputs, write_outputs
    from fp4sim.cli.stamp import stamped
    from fp4sim.cli.threshold import Threshold, failures
    from fp4sim.commands.compare import Settings
    from fp4sim.grammar import parse_list
    from fp4sim.report.terminal import View

    specs = parse_list(formats or ["nvfp4,mxfp4"])
    thresholds = [Threshold.parse(text) for text in fail_on or ()]
    view = View(metric_names(metrics), top, verbose, metric_name(sort))
    check_outputs(output or (), sources or ())
    settings = Settings(axis, seed, nonfinite.value, threads, "cuda" if device is OnDevice.cuda else None)
    result = run_compare(sources or ["synthetic"], specs, settings, include or (), exclude or (), dtype)
    failed = list(failures(result, thresholds))
    if output or json:
        result = stamped(result, context, sources or (), hashed=not no_hash)
    write_outputs(result, output or (), failed)
    show(result, view, as_json=json)
    if failed:
        from fp4sim.cli.console import complain
        from fp4sim.errors import ExitCode

        for line in failed:
            complain(f"failed: {line}")
        raise typer.Exit(ExitCode.MISMATCH)


def run_compare(
    names: Sequence[str],
    specs: Sequence[Spec],
    settings: Settings,
    include: Sequence[str],
    exclude: Sequence[str],
    dtype: str | None,
    *,
    blocks: bool = False,
) -> CompareResult:
    """Compare what the sources hold, with a progress bar. Raises as ``compare_sources`` does.

    ``blocks``: measure the worst tensors by block too.
    """
    from fp4sim.checkpoints.checkpoint import open_tensors
    from fp4sim.cli.progress import progress_bar
    from fp4sim.commands.compare import compare_sources, skip_reason
    from fp4sim.commands.worst_blocks import with_worst_blocks
    from fp4sim.io.source import select

    with ExitStack() as stack:
        opened = [stack.enter_context(open_tensors(name, dtype=dtype)) for name in names]
        chosen = [(source, select(source.tensors(), include, exclude)) for source in opened]
        work = sum(tensor.info.size for _, tensors in chosen for tensor in tensors if not skip_reason(tensor))
        with progress_bar(work * len(specs)) as progress:
            result = compare_sources(chosen, specs, settings, progress)
        return with_worst_blocks(result, chosen, specs, settings) if blocks else result
