"""``fp4sim plot``: one figure alone."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fp4sim.cli.options import Axis, Exclude, Include, InputDtype, Json, Nonfinite, OnNonfinite, Seed, Threads
from fp4sim.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from fp4sim.commands.plot import PlotSettings
    from fp4sim.report.figures.registry import Kind


def plot(
    kind: Annotated[str | None, typer.Argument(metavar="KIND", help="The figure; --list names them.")] = None,
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE",
            help="Files, folders of .safetensors, or synthetic[:NAME...]; or a result saved as .json; for mismatch a"
            " dump, for gemm A and B. None: the synthetic suite.",
        ),
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--formats",
            "-f",
            metavar="SPECS",
            help="Formats to measure, separated by commas; repeatable.  [default: the kind's own]",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to: .png, .svg or .pdf.")
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="List the kinds of figures and what to look for.")] = False,
    no_caption: Annotated[bool, typer.Option("--no-caption", help="Leave out what to look for.")] = False,
    case: Annotated[
        str | None, typer.Option(metavar="NAME", help="mismatch: the case to draw.  [default: the worst]")
    ] = None,
    draws: Annotated[int, typer.Option(metavar="N", help="concentration, sweep: draws of each estimator.")] = 256,
    include: Include = None,
    exclude: Exclude = None,
    dtype: InputDtype = None,
    axis: Axis = -1,
    seed: Seed = 0,
    nonfinite: Nonfinite = OnNonfinite.error,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Draw one figure of tensors, of a saved result, or of formats alone.

    What compare, bias and verify find is drawn from their results (-o FILE.json); other figures measure the tensors in
    a pass of their own, however large they are.
    """
    from fp4sim.cli.output import check_outputs
    from fp4sim.commands.compare import Settings
    from fp4sim.commands.plot import PlotSettings
    from fp4sim.plotting import drawn
    from fp4sim.report.figures.registry import kind_named
    from fp4sim.report.figures.style import SUFFIXES, save_figure

    if listing:
        _list(as_json=json)
        return
    if json:
        raise UsageError("--json goes with --list: a figure is no JSON")
    if kind is None:
        raise UsageError("no KIND: name the figure; fp4sim plot --list says which there are")
    chosen = kind_named(kind)
    if output is None:
        raise UsageError(f"no file: say where to, e.g. -o {chosen.name}.png")
    check_outputs([output], sources or (), SUFFIXES)
    settings = PlotSettings(Settings(axis, seed, nonfinite.value, threads), draws, chosen.most)
    selection = (include or (), exclude or (), dtype)
    result = _result(chosen, sources or [], formats, settings, selection)
    save_figure(drawn(chosen, result, case, caption=not no_caption), output)


def _result(
    kind: Kind,
    names: Sequence[str],
    formats: Sequence[str] | None,
    settings: PlotSettings,
    selection: tuple[Sequence[str], Sequence[str], str | None],
) -> Any:
    """What is drawn: read from a saved result, or measured."""
    from fp4sim.commands.plot import result_for
    from fp4sim.io.files import shown
    from fp4sim.plotting import GEMM, VERIFY, WITHOUT_SOURCES, multiplied, saved_result, specs_of, verified

    selecting = any(selection)
    saved = [result for name in names if (result := saved_result(name)) is not None]
    if saved and len(names) > 1:
        raise UsageError("a saved result is drawn alone: name one SOURCE")
    if saved:
        if formats or selecting:
            raise UsageError(
                f"{shown(names[0])} is a result: --formats, --include, --exclude and --dtype go with tensors"
            )
        return saved[0]
    name = kind.accepts[0]
    if name in WITHOUT_SOURCES:
        if names or selecting:
            raise UsageError(f"{kind.name} is drawn from --formats alone: leave SOURCE out")
        return result_for(name, (), specs_of(kind, formats), settings)
    if name == VERIFY:
        if len(names) != 1 or selecting:
            raise UsageError(f"{kind.name} takes one SOURCE: a kernel's dump, or a result of verify saved as .json")
        return verified(names[0], formats, settings)
    if name == GEMM:
        if selection[0] or selection[1]:
            raise UsageError(f"{kind.name}: FILE::TENSOR names an operand; leave --include and --exclude out")
        return multiplied(names, formats, kind, settings, selection[2])
    return _measured(kind, names or ["synthetic"], formats, settings, selection)


def _measured(
    kind: Kind,
    names: Sequence[str],
    formats: Sequence[str] | None,
    settings: PlotSettings,
    selection: tuple[Sequence[str], Sequence[str], str | None],
) -> Any:
    from fp4sim.checkpoints.checkpoint import open_tensors
    from fp4sim.cli.progress import progress_bar
    from fp4sim.commands.plot import result_for, work_for
    from fp4sim.io.source import select
    from fp4sim.plotting import specs_of

    include, exclude, dtype = selection
    specs, name = specs_of(kind, formats), kind.accepts[0]
    with ExitStack() as stack:
        opened = [stack.enter_context(open_tensors(source, dtype=dtype)) for source in names]
        chosen = [(source, select(source.tensors(), include, exclude)) for source in opened]
        with progress_bar(work_for(name, chosen, specs, settings)) as progress:
            return result_for(name, chosen, specs, replace(settings, progress=progress))


def _list(*, as_json: bool) -> None:
    from fp4sim.cli.console import emit, emit_rich
    from fp4sim.report.figure_table import list_json, print_figures

    if as_json:
        emit(list_json())
        return

    def draw(console: Console) -> None:
        print_figures(console)

    emit_rich(draw)
