"""The error of a product as CSV: a row for each pair of formats and part, then each row and column of the product."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.csv_table import csv_text
from fp4sim.report.gemm_model import PARTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fp4sim.report.gemm_model import GemmErrors, GemmRow

_FIGURES = ("rel_mse", "rel_error", "snr_db", "max_error")
_STEPS = ("exact", "total", "unproven", "shrink")
HEAD = (
    *("row", "formats", "spec_a", "spec_b", "part", "index"),
    *_FIGURES,
    "max_error_at",
    *(f"steps_{name}" for name in _STEPS),
    *(f"rel_error_{name}" for name in PARTS),
    "sentence",
)


def gemm_csv(result: GemmErrors) -> str:
    """``row`` is part, cross, row or column; undefined numbers are empty. Of a row or column ``rel_error`` is the total's."""
    rows: list[dict[str, object]] = []
    for row in result.formats:
        facts = {"formats": row.short, "spec_a": row.a.spec, "spec_b": row.b.spec}
        rows += ({**facts, **cells} for cells in (*_parts(row), *_profiles(row)))
    return csv_text(HEAD, ([row.get(name) for name in HEAD] for row in rows))


def _parts(row: GemmRow) -> Iterator[dict[str, object]]:
    steps = {} if row.steps is None else {f"steps_{name}": getattr(row.steps, name) for name in _STEPS}
    for name in ("total", *PARTS):
        part = getattr(row, name)
        if part is not None:
            worst = "" if part.max_error_at is None else " ".join(map(str, part.max_error_at))
            figures = {figure: getattr(part, figure) for figure in _FIGURES}
            extra = {**steps, "sentence": row.reason or row.sentence} if name == "total" else {}
            yield {"row": "part", "part": name, **figures, "max_error_at": worst, **extra}
    for name, value in row.cross.items():
        yield {"row": "cross", "part": name, "rel_mse": value}


def _profiles(row: GemmRow) -> Iterator[dict[str, object]]:
    for kind, profile in (("row", row.rows), ("column", row.cols)):
        for index, total in enumerate(profile.total):
            parts = {f"rel_error_{name}": getattr(profile, name)[index] for name in PARTS if getattr(profile, name)}
            yield {"row": kind, "index": index, "rel_error": total, **parts}
