"""What a page shows, as plain records: every kind of result becomes a :class:`Document`, and one template renders it.

Texts are plain: the template escapes them, and what is not printable is spelled (:mod:`.page`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fp4sim.report.result import Made
    from fp4sim.report.summary.sentence import Sentence

_HALF_PAGE = 500  # units of 1/72 inch


@dataclass(frozen=True)
class Column:
    """A column. ``help``: what it means. ``choice``: a text of few values, which readers may choose rows by."""

    head: str
    numeric: bool = True
    help: str = ""
    choice: bool = False


@dataclass(frozen=True)
class Cell:
    """A cell. ``mark``: best, good, bad or dim; ``title``: why a value is missing, or what it is."""

    text: str
    mark: str = ""
    title: str = ""


@dataclass(frozen=True)
class Row:
    """A row. ``name``: its anchor, unique on the page; the first cell is its head; ``detail``: the name of one."""

    name: str
    cells: tuple[Cell, ...]
    detail: str = ""


@dataclass(frozen=True)
class Table:
    """A table that can be sorted, and filtered where it is long. ``name``: its anchor."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""

    @property
    def lead(self) -> int:
        """How many columns of text come first."""
        return next((i for i, column in enumerate(self.columns) if column.numeric), len(self.columns))

    def without_empty(self) -> Table:
        """The table without columns in which no row says anything."""
        full = [i for i in range(len(self.columns)) if i == 0 or any(row.cells[i].text for row in self.rows)]
        if not self.rows or len(full) == len(self.columns):
            return self
        rows = tuple(replace(row, cells=tuple(row.cells[i] for i in full)) for row in self.rows)
        return replace(self, columns=tuple(self.columns[i] for i in full), rows=rows)


@dataclass(frozen=True)
class Grid:
    """A small table within a detail. ``text``: how many columns of text come first."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    text: int = 1


@dataclass(frozen=True)
class Detail:
    """What is shown of a row on demand."""

    name: str
    title: str
    facts: tuple[tuple[str, str], ...]
    grids: tuple[Grid, ...] = ()
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Picture:
    """A figure: SVG of fp4sim's own making, not escaped, and what to look for."""

    title: str
    svg: str
    caption: str

    @property
    def wide(self) -> bool:
        """Whether its text would be too small in half of the page."""
        match = re.search(r'viewBox="0 0 ([0-9.]+)', self.svg)
        return match is not None and float(match[1]) > _HALF_PAGE


@dataclass(frozen=True)
class Document:
    """A page. ``tiles``: a number and what it is; ``legend``: a term and what it means; ``notes``: lines below the tables."""

    title: str
    kind: str
    result: Made
    sentences: tuple[Sentence, ...] = ()
    verdict: str = ""  # ok or failed, where there is one
    tiles: tuple[tuple[str, str], ...] = ()
    tables: tuple[Table, ...] = ()
    lead: int = 0  # tables that come before the figures
    details: tuple[Detail, ...] = ()
    pictures: tuple[Picture, ...] = ()
    legend: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
