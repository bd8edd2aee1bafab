"""``fp4sim report``: a comparison as a file that people look at, and saved results rendered anew."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from fp4sim.cli.options import (
    Axis,
    Exclude,
    Include,
    InputDtype,
    NoHash,
    Nonfinite,
    OnNonfinite,
    Seed,
    Threads,
)
from fp4sim.cli.output import Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fp4sim.report.result import Made


class _MakeByDefault(TyperGroup):
    """``report SOURCE…`` is ``report make SOURCE…``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put ``make`` in front of what names no command and asks for no help."""
        if not args or (args[0] not in self.commands and args[0] not in ("-h", "--help")):
            args = ["make", *args]
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed


report = typer.Typer(
    name="report",
    cls=_MakeByDefault,
    help="Reports to look at: fp4sim report SOURCE... -o report.html; report render results.json -o report.html."
    " report make --help lists the options.",
    rich_markup_mode=None,
    no_args_is_help=False,
)


@report.command()
def make(
    context: typer.Context,
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE", help="Files, folders of .safetensors, or synthetic[:NAME...], as for compare."
        ),
    ],
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--formats", "-f", metavar="SPECS", help="Formats, separated by commas; repeatable.  [default: nvfp4,mxfp4]"
        ),
    ] = None,
    include: Include = None,
    exclude: Exclude = None,
    dtype: InputDtype = None,
    axis: Axis = -1,
    seed: Seed = 0,
    nonfinite: Nonfinite = OnNonfinite.error,
    threads: Threads = None,
    output: Output = None,
    no_hash: NoHash = False,
) -> None:
    """Compare formats on tensors and write the report; the word make may be left out.

    An .html holds all in one file: what it means in sentences, figures, a table to sort and filter. It asks no server.
    """
    from fp4sim.cli.compare import run_compare
    from fp4sim.cli.output import check_outputs
    from fp4sim.cli.stamp import stamped
    from fp4sim.commands.compare import Settings
    from fp4sim.grammar import parse_list

    check_outputs(_files(output), sources)
    specs = parse_list(formats or ["nvfp4,mxfp4"])
    settings = Settings(axis, seed, nonfinite.value, threads)
    result = run_compare(sources, specs, settings, include or (), exclude or (), dtype, blocks=True)
    _write(stamped(result, context, sources, hashed=not no_hash), _files(output))


@report.command()
def render(
    file: Annotated[
        str, typer.Argument(metavar="RESULTS.json", help="What -o FILE.json or --json of a command wrote.")
    ],
    output: Output = None,
) -> None:
    """Render a saved result of any command, of this version of fp4sim or an earlier one; without -o as text."""
    from fp4sim.cli.console import emit
    from fp4sim.cli.output import check_outputs
    from fp4sim.report.render import render as rendered
    from fp4sim.report.store import load_result

    check_outputs(output or (), [file])
    result = load_result(file)
    if output:
        _write(result, output)
    else:
        emit(rendered(result, ".txt"))


def _files(output: Sequence[Path] | None) -> Sequence[Path]:
    from fp4sim.errors import UsageError

    if not output:
        raise UsageError("no file to write: add -o report.html (or .md, .json, .csv, .xml, .txt)")
    return output


def _write(result: Made, paths: Sequence[Path]) -> None:
    """Write the files and say on stdout what they are and, first of all, what they mean."""
    from fp4sim.cli.console import emit
    from fp4sim.cli.output import write_outputs
    from fp4sim.io.files import shown
    from fp4sim.report.summary import sentences_of

    write_outputs(result, paths)
    lines = [sentence.text for sentence in sentences_of(result)]
    lines += [f"{shown(str(path))}: {path.stat().st_size:,} bytes" for path in paths if path.is_file()]
    emit("".join(f"{line}\n" for line in lines))
