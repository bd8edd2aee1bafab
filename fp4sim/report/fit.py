"""Columns that fit a width: what gives way first is data, so a narrow terminal still gets a whole table."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

_GAPS = (2, 1)
_PARTS = re.compile(r"[@+/: ]?[^@+/: ]*")


@dataclass(frozen=True)
class Column:
    """A column of a terminal table.

    ``least``: the width that it may shrink to (None: never); what does not fit is cut in the middle (``cut``) or folded.
    ``drop``: columns with the highest number are left out first; 0 stays always.
    """

    head: str
    cells: Sequence[Text]
    numeric: bool = True
    least: int | None = None
    cut: bool = False
    drop: int = 0
    width: int = field(default=0)

    @property
    def natural(self) -> int:
        """The width that shows everything."""
        lines = [len(line) for line in self.head.split("\n")]
        return max([*lines, *(cell.cell_len for cell in self.cells)])

    @property
    def minimum(self) -> int:
        """The width that it must have."""
        return self.natural if self.least is None else min(self.natural, self.least)


def fitted_table(columns: Sequence[Column], width: int, sections: Sequence[int] = ()) -> tuple[Table, list[str]]:
    """A table of at most ``width`` (unless even the columns that stay are wider) and the heads left out.

    ``sections``: row indexes after which a blank line parts the groups.
    """
    kept, gap = _choose(columns, width)
    kept = _spread(kept, width - gap * (len(kept) - 1))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap - 1, 0, 0), header_style="")
    for column in kept:
        table.add_column(
            Text(column.head, style="bold"),
            justify="right" if column.numeric else "left",
            width=column.width,
            no_wrap=column.least is None or column.cut,
            overflow="fold",
            vertical="top",
        )
    for row in range(len(columns[0].cells)):
        cells = [(_cut if column.cut else _fold)(column.cells[row], column.width) for column in kept]
        table.add_row(*cells, end_section=row in sections)
    names = {column.head for column in kept}
    return table, [_one_line(column.head) for column in columns if column.head not in names]


def _choose(columns: Sequence[Column], width: int) -> tuple[list[Column], int]:
    kept = list(columns)
    while True:
        for gap in _GAPS:
            if sum(column.minimum for column in kept) + gap * (len(kept) - 1) <= width:
                return kept, gap
        last = max(kept, key=lambda column: column.drop)
        if not last.drop:
            return kept, _GAPS[-1]
        kept.remove(last)


def _spread(columns: Sequence[Column], width: int) -> list[Column]:
    """Give each its minimum and what is left over to those that could use it, from the right."""
    spare = width - sum(column.minimum for column in columns)
    widths = []
    for column in reversed(columns):
        more = max(0, min(spare, column.natural - column.minimum))
        spare -= more
        widths.append(column.minimum + more)
    return [replace(column, width=size) for column, size in zip(columns, reversed(widths), strict=True)]


def _cut(cell: Text, width: int) -> Text:
    """The cell in at most ``width`` terminal columns, its middle replaced by an ellipsis."""
    if cell.cell_len <= width:
        return cell
    tail = (width - 1) // 2
    head, end = cell.copy(), cell.copy()
    head.truncate(width - 1 - tail)
    while end.cell_len > tail:
        end = end[1:]
    return Text.assemble(head, Text("…", style=cell.style), end)


def _fold(cell: Text, width: int) -> Text:
    """The cell with line breaks before words and the parts of a spec, where it is too wide for one line."""
    if cell.cell_len <= width:
        return cell
    lines = [""]
    for part in _PARTS.findall(cell.plain):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append(" ")
        lines[-1] += part
    return Text("\n".join(lines), style=cell.style)


def _one_line(head: str) -> str:
    return " ".join(head.replace("/\n", "/").split())
