"""``fp4sim bias``: is an estimator unbiased, and how far do its draws scatter?"""

from __future__ import annotations

from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fp4sim.cli.options import Axis, Device, Exclude, Include, InputDtype, Json, OnDevice, Seed, Threads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fp4sim.commands.bias import BiasSettings
    from fp4sim.report.bias_model import BiasResult
    from fp4sim.report.layer_model import LayerResult
    from fp4sim.spec import Spec

_DEFAULT_SOURCE = "synthetic:gaussian:128x512"
_DEFAULT_ESTIMATORS = "nvfp4,nvfp4+sr,nvfp4+mseden"


class FailOn(StrEnum):
    """Verdicts that can fail a run."""

    biased = "biased"
    undecided = "undecided"


def bias(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE",
            help=f"Files, folders of .safetensors, or synthetic[:NAME...]; none: {_DEFAULT_SOURCE}.",
        ),
    ] = None,
    estimators: Annotated[
        list[str] | None,
        typer.Option(
            "--estimators",
            "-e",
            metavar="SPECS",
            help=f"Estimators, separated by commas; repeatable.  [default: {_DEFAULT_ESTIMATORS}]",
        ),
    ] = None,
    draws: Annotated[int, typer.Option(metavar="N", help="Draws of each; 16 at least for a verdict.")] = 256,
    margin: Annotated[float, typer.Option(metavar="X", help="The relative bias that the verdict is about.")] = 1e-4,
    elements: Annotated[int, typer.Option(metavar="N", help="Larger tensors are sampled by bands of rows.")] = 1 << 20,
    recipe: Annotated[
        list[str] | None,
        typer.Option(metavar="NAMES", help="Training recipes instead: the bias of Y, dX and dW of a linear layer."),
    ] = None,
    layer: Annotated[
        tuple[str, str, str] | None,
        typer.Option(
            metavar="X W DY", help="The layer's tensors, a file of one tensor each.  [default: synthetic, 256 wide]"
        ),
    ] = None,
    include: Include = None,
    exclude: Exclude = None,
    dtype: InputDtype = None,
    axis: Axis = -1,
    seed: Seed = 0,
    threads: Threads = None,
    device: Device = OnDevice.cpu,
    top: Annotated[
        int, typer.Option(min=0, metavar="N", help="Show this many tensors; 0: all. Files always hold all.")
    ] = 20,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Also show the error of means of N draws and the test of the random bits.")
    ] = False,
    json: Json = False,
    output: Annotated[
        list[Path] | None,
        typer.Option("--output", "-o", metavar="FILE", help="Also write .json, .md or .csv (by suffix); repeatable."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the error of the mean of N draws: .png, .svg or .pdf.")
    ] = None,
    curve: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the bias over the values of a block: .png, .svg or .pdf.")
    ] = None,
    fail_on: Annotated[
        list[FailOn] | None, typer.Option(help="Exit with 1 if any verdict is this; repeatable.")
    ] = None,
) -> None:
    """Measure the bias and the variance of quantization estimators by repeated draws.

    Every tensor is drawn N times under every estimator. The verdict is biased, unbiased (to the margin), or undecided
    with the number of draws that would tell. With --recipe: the same for the output and the gradients of a layer.
    """
    from fp4sim.cli.bias_output import failures, show, write_outputs, write_plot
    from fp4sim.cli.compare_output import check_outputs
    from fp4sim.report.bias_terminal import BiasView
    from fp4sim.report.figures import SUFFIXES

    given = [*(sources or ()), *(layer or ())]
    check_outputs(output or (), given)
    check_outputs([path for path in (plot, curve) if path], given, SUFFIXES)
    result: BiasResult | LayerResult
    if recipe or layer:
        from fp4sim.cli.bias_layer import refuse_tensor_options, run_layer
        from fp4sim.commands.layer import LayerSettings

        sampling = axis != -1 or elements != 1 << 20
        globs = [*(include or ()), *(exclude or ())]
        refuse_tensor_options(sources, estimators, globs, curve, sampling, device is OnDevice.cuda)
        result = run_layer(recipe or (), layer, dtype, LayerSettings(draws, seed, margin, threads))
    else:
        from fp4sim.commands.bias import BiasSettings
        from fp4sim.grammar import parse_list

        specs = parse_list(estimators or [_DEFAULT_ESTIMATORS])
        on_gpu = "cuda" if device is OnDevice.cuda else None
        settings = BiasSettings(draws, axis, seed, elements, margin, threads, on_gpu)
        result = _run(sources or [_DEFAULT_SOURCE], specs, settings, include or (), exclude or (), dtype)
        if curve:
            _draw_curves(specs, settings, curve)
    write_outputs(result, output or ())
    if plot:
        write_plot(result, plot)
    show(result, BiasView(top, verbose), as_json=json)
    _fail(list(failures(result, [verdict.value for verdict in fail_on or ()])))


def _run(
    names: Sequence[str],
    specs: Sequence[Spec],
    settings: BiasSettings,
    include: Sequence[str],
    exclude: Sequence[str],
    dtype: str | None,
) -> BiasResult:
    from fp4sim.checkpoints.checkpoint import open_tensors
    from fp4sim.cli.progress import progress_bar
    from fp4sim.commands.bias import bias_sources
    from fp4sim.commands.compare import skip_reason
    from fp4sim.io.source import select

    with ExitStack() as stack:
        opened = [stack.enter_context(open_tensors(name, dtype=dtype)) for name in names]
        chosen = [(source, select(source.tensors(), include, exclude)) for source in opened]
        taken = [tensor for _, tensors in chosen for tensor in tensors if not skip_reason(tensor)]
        work = sum(min(tensor.info.size, settings.elements) for tensor in taken)
        with progress_bar(work * len(specs) * settings.draws) as progress:
            return bias_sources(chosen, specs, settings, progress)


def _draw_curves(specs: Sequence[Spec], settings: BiasSettings, path: Path) -> None:
    from fp4sim.parallel import thread_count
    from fp4sim.report.curve_figure import curve_figure
    from fp4sim.report.figures import save_figure
    from fp4sim.stats.bias_curve import bias_curve

    threads = thread_count(settings.threads)
    curves = [bias_curve(spec, draws=settings.draws, seed=settings.seed, threads=threads) for spec in specs]
    save_figure(curve_figure(curves), path)


def _fail(lines: Sequence[str]) -> None:
    if not lines:
        return
    from fp4sim.cli.console import complain
    from fp4sim.errors import ExitCode

    for line in lines:
        complain(f"failed: {line}")
    raise typer.Exit(ExitCode.MISMATCH)
