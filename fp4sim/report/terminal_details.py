"""The details under ``--verbose``: error by cause, what scales are, and how often each code occurs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from fp4sim.report.cells import UNDEFINED, percent, safe_name
from fp4sim.report.fit import Column, fitted_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.table import Table

    from fp4sim.report.model import CompareResult, Metrics

_NAME_LIMIT = 400
_NIBBLES = 16
_CAUSES = (
    ("scale_zero", "scale 0"),
    ("over_maximum", "over max"),
    ("flushed", "flushed"),
    ("rounding", "rounding"),
)
_SCALES = (
    ("scale_zero", "zero"),
    ("scale_lost", "lost"),
    ("scale_subnormal", "subn."),
    ("scale_saturated", "at max"),
)

Row = tuple[str, str, "Metrics"]  # tensor, format, what was measured


def detail_tables(result: CompareResult, width: int, top: int = 0) -> Iterator[Table]:
    """Tables of causes with scale zones, and of code shares for 4-bit formats; totals first."""
    rows = list(_rows(result, top))
    yield _titled("Share of the squared error by cause, and of blocks by their scale, %", _causes(rows), rows, width)
    coded = [row for row in rows if len(row[2].occupancy) == _NIBBLES]
    if coded:
        yield _titled("Share of elements by magnitude code (both signs), %", _codes(coded), coded, width)


def _rows(result: CompareResult, top: int) -> Iterator[Row]:
    for info, total in zip(result.formats, result.totals, strict=True):
        yield "total", info.short, total.metrics
    for tensor in result.tensors[: top or None]:
        for info, metrics in zip(result.formats, tensor.results, strict=True):
            yield result.label(tensor), info.short, metrics


def _titled(title: str, numbers: Sequence[Column], rows: Sequence[Row], width: int) -> Table:
    names = [
        Text("" if i and rows[i - 1][0] == row[0] else safe_name(row[0], _NAME_LIMIT)) for i, row in enumerate(rows)
    ]
    ends = [i - 1 for i in range(1, len(rows)) if rows[i - 1][0] != rows[i][0]]
    columns = [
        Column("tensor", names, numeric=False, least=16, cut=True),
        Column("format", [Text(row[1]) for row in rows], numeric=False, least=12),
        *numbers,
    ]
    table, _ = fitted_table(columns, width, ends)
    table.title, table.title_style, table.title_justify = Text(title), "bold", "left"
    return table


def _causes(rows: Sequence[Row]) -> list[Column]:
    metrics = [row[2] for row in rows]
    causes = [_column(f"error\n{head}", [one.error_share[cause] for one in metrics]) for cause, head in _CAUSES]
    scales = [
        _column(f"blocks\n{head}", [getattr(one, name) if one.blocks else None for one in metrics])
        for name, head in _SCALES
    ]
    return causes + scales


def _codes(rows: Sequence[Row]) -> list[Column]:
    codes = range(_NIBBLES // 2)
    return [_column(f"code\n{code:03b}", [_code_share(row[2].occupancy, code) for row in rows]) for code in codes]


def _code_share(occupancy: Sequence[int], code: int) -> float | None:
    total = sum(occupancy)
    return (occupancy[code] + occupancy[code + _NIBBLES // 2]) / total if total else None


def _column(head: str, shares: Sequence[float | None]) -> Column:
    return Column(head, [Text(UNDEFINED if share is None else percent(share)) for share in shares])
