"""Where results go: the terminal or JSON on stdout, and files by their suffix. The same for every command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fp4sim.errors import UsageError
from fp4sim.report.render import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from fp4sim.report.result import Made

LIST_SUFFIXES = (".json", ".txt")

Output = Annotated[
    list[Path] | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Also write .html, .md, .json, .csv, .xml (JUnit) or .txt, by suffix; repeatable.",
    ),
]
ListOutput = Annotated[
    list[Path] | None,
    typer.Option("--output", "-o", metavar="FILE", help="Also write .json or .txt, by suffix; repeatable."),
]


def check_outputs(paths: Sequence[Path], sources: Sequence[str] = (), suffixes: Sequence[str] = SUFFIXES) -> None:
    """Refuse what could not be written in the end, before the work starts. Raises UsageError."""
    from fp4sim.io.files import shown
    from fp4sim.io.target import check_writable

    for path in paths:
        if path.suffix.lower() not in suffixes:
            raise UsageError(f"cannot write {shown(str(path))}: the suffix is one of {' '.join(suffixes)}")
        check_writable(path)
        if any(os.path.exists(source) and path.exists() and os.path.samefile(source, path) for source in sources):
            raise UsageError(f"cannot write {shown(str(path))}: it is one of the sources")


def write_outputs(result: Made, paths: Sequence[Path], failed: Sequence[str] = ()) -> None:
    """Write each file whole or not at all. ``failed``: thresholds that the result crosses, for JUnit."""
    from fp4sim.report.render import render

    for path in paths:
        write_text(path, render(result, path.suffix.lower(), failed))


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all. Raises UsageError."""
    from fp4sim.io.writer import write_atomically

    with write_atomically(path, "w") as file:
        file.write(text)


def print_json(result: Made) -> None:
    """The result as strict JSON on stdout."""
    from fp4sim.cli.console import emit
    from fp4sim.report.json_text import strict_json

    emit(strict_json(result.to_dict()))


def show_list(data: dict[str, Any], draw: Callable[[Console], None], output: Sequence[Path], *, as_json: bool) -> None:
    """What a command that lists things found: on stdout, and to files of ``LIST_SUFFIXES``. Raises UsageError."""
    from fp4sim.cli.console import emit, emit_rich
    from fp4sim.report.json_text import strict_json
    from fp4sim.report.render import drawn

    check_outputs(output, suffixes=LIST_SUFFIXES)
    for path in output:
        write_text(path, strict_json(data) if path.suffix.lower() == ".json" else drawn(draw))
    if as_json:
        emit(strict_json(data))
    else:
        emit_rich(draw)
