"""A comparison as CSV: one row a tensor and format, then the totals; plain numbers, no factors."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fp4sim.report.cells import safe_name, tensor_name
from fp4sim.report.model import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fp4sim.report.model import CompareResult, FormatInfo, Metrics

_CAUSES = ("scale_zero", "over_maximum", "flushed", "rounding")
_SCALES = ("scale_zero", "scale_subnormal", "scale_saturated")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # some spreadsheets take the wide forms alike

HEAD = (
    *("row", "tensor", "source", "shape", "dtype", "format", "spec", "bits_per_element", "elements", "nonfinite"),
    *METRICS,
    "max_error_at",
    *(f"error_share_{cause}" for cause in _CAUSES),
    "blocks",
    *_SCALES,
    "notes",
)


@dataclass(frozen=True)
class _Row:
    kind: str
    tensor: str
    source: str
    shape: str
    dtype: str
    nonfinite: int
    notes: tuple[str, ...] = ()


def compare_csv(result: CompareResult) -> str:
    """The table as text: ``row`` is tensor or total, undefined numbers are empty, shares are of 1."""
    rows = []
    for tensor in result.tensors:
        shape = "x".join(map(str, tensor.shape))
        name = tensor_name(tensor.name)
        row = _Row("tensor", name, tensor.source, shape, tensor.dtype, tensor.nonfinite, tensor.notes)
        for info, metrics in zip(result.formats, tensor.results, strict=True):
            rows.append(_cells(row, info, metrics))
    nonfinite = sum(tensor.nonfinite for tensor in result.tensors)
    for info, total in zip(result.formats, result.totals, strict=True):
        rows.append(_cells(_Row("total", "", "", "", "", nonfinite), info, total.metrics))
    return csv_text(HEAD, rows)


def csv_text(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table as text, every cell that is text made :func:`inert`; None is an empty cell."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(head)
    for row in rows:
        table.writerow([inert(cell) if isinstance(cell, str) else cell for cell in row])
    return text.getvalue()


def _cells(row: _Row, info: FormatInfo, metrics: Metrics) -> list[object]:
    worst = "" if metrics.max_error_at is None else " ".join(map(str, metrics.max_error_at))
    return [
        *(row.kind, row.tensor, row.source, row.shape, row.dtype),
        *(info.short, info.spec, info.bits_per_element, metrics.elements, row.nonfinite),
        *(getattr(metrics, name) for name in METRICS),
        worst,
        *(metrics.error_share.get(cause) for cause in _CAUSES),
        metrics.blocks,
        *(getattr(metrics, name) for name in _SCALES),
        "; ".join(row.notes),
    ]


def inert(name: str) -> str:
    """A name that no spreadsheet takes for a formula and no terminal for a command."""
    return ("'" if name.lstrip(" ").startswith(_FORMULA) else "") + safe_name(name)
