"""What ``fp4sim compare`` shows: its columns, and the table on stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.errors import UsageError
from fp4sim.io.files import shown
from fp4sim.report.model import METRICS

if TYPE_CHECKING:
    from rich.console import Console

    from fp4sim.report.model import CompareResult
    from fp4sim.report.terminal import View


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


def show(result: CompareResult, view: View, *, as_json: bool) -> None:
    """Print to stdout."""
    from fp4sim.cli.console import emit_rich
    from fp4sim.cli.output import print_json

    if as_json:
        print_json(result)
        return
    from fp4sim.report.order import worst_first
    from fp4sim.report.terminal import print_compare

    ordered = worst_first(result, view.sort)

    def draw(console: Console) -> None:
        print_compare(console, ordered, view)

    emit_rich(draw)
