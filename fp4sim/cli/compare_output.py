"""Where the result of ``fp4sim compare`` goes: the terminal or JSON on stdout, and files by their suffix."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fp4sim.errors import UsageError
from fp4sim.io.files import shown
from fp4sim.report.model import METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from fp4sim.report.model import CompareResult
    from fp4sim.report.terminal import View

SUFFIXES = (".json", ".md", ".csv")


def metric_name(text: str) -> str:
    """A metric's name checked. Raises UsageError listing what there is."""
    if text not in METRICS:
        raise UsageError(f"no metric '{shown(text, 40)}'; there are {', '.join(METRICS)}")
    return text


def metric_names(text: str | None) -> tuple[str, ...]:
    """Names separated by commas, duplicates dropped; empty for None. Raises UsageError."""
    if text is None:
        return ()
    names = tuple(dict.fromkeys(metric_name(part.strip()) for part in text.split(",") if part.strip()))
    if not names:
        raise UsageError(f"--metrics names none; there are {', '.join(METRICS)}")
    return names


def check_outputs(paths: Sequence[Path], sources: Sequence[str], suffixes: Sequence[str] = SUFFIXES) -> None:
    """Refuse what could not be written in the end, before the work starts. Raises UsageError."""
    for path in paths:
        if path.suffix.lower() not in suffixes:
            raise UsageError(f"cannot write {shown(str(path))}: the suffix is one of {' '.join(suffixes)}")
        if not path.parent.is_dir():
            raise UsageError(f"cannot write {shown(str(path))}: the folder does not exist; create it first")
        if any(os.path.exists(source) and path.exists() and os.path.samefile(source, path) for source in sources):
            raise UsageError(f"cannot write {shown(str(path))}: it is one of the sources")


def write_outputs(result: CompareResult, paths: Sequence[Path]) -> None:
    """Write each file whole or not at all."""
    from fp4sim.io.writer import write_atomically

    for path in paths:
        text = _text_for(path.suffix.lower(), result)
        with write_atomically(path, "w") as file:
            file.write(text)


def _text_for(suffix: str, result: CompareResult) -> str:
    if suffix == ".json":
        from fp4sim.report.json_text import compare_json

        return compare_json(result)
    if suffix == ".md":
        from fp4sim.report.markdown import compare_markdown

        return compare_markdown(result)
    from fp4sim.report.csv_table import compare_csv

    return compare_csv(result)


def show(result: CompareResult, view: View, *, as_json: bool) -> None:
    """Print to stdout."""
    from fp4sim.cli.console import emit, emit_rich

    if as_json:
        from fp4sim.report.json_text import compare_json

        emit(compare_json(result))
        return
    from fp4sim.report.order import worst_first
    from fp4sim.report.terminal import print_compare

    ordered = worst_first(result, view.sort)

    def draw(console: Console) -> None:
        print_compare(console, ordered, view)

    emit_rich(draw)
