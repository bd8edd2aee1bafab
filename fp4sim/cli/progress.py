"""A progress bar on stderr, for work long enough to wonder about, where a person is watching."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LONG = 1 << 26  # elements times formats: under about a second


@contextmanager
def progress_bar(total: int) -> Iterator[Callable[[str, int], None] | None]:
    """Give a function to be told (tensor, elements done), or None where no bar is wanted."""
    if total < _LONG or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    from fp4sim.report.cells import safe_name

    class Throughput(ProgressColumn):
        """Elements a second."""

        def render(self, task: Task) -> Text:
            return Text(f"{(task.speed or 0) / 1e6:,.0f} M elements/s", style="dim")

    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%", markup=False),
        Throughput(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total)

        def advance(name: str, elements: int) -> None:
            bar.update(task, advance=elements, description=safe_name(name, 32))

        yield advance
