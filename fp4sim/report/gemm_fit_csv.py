"""Which models a recorded product obeys, as CSV: a row for each name of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.csv_table import csv_text
from fp4sim.report.gemm_fit_text import separating_text

if TYPE_CHECKING:
    from fp4sim.report.gemm_fit_model import FitResult

HEAD = ("model", "differing", "compared", "case", "index", "probe", "recorded", "predicted", "separating")


def fit_csv(result: FitResult) -> str:
    """The table as text."""
    rows: list[list[object]] = []
    for model in result.models:
        first = model.first
        cells: list[object] = ["", "", "", "", ""]
        if first is not None:
            index = " ".join(map(str, first.index))
            cells = [first.case, index, first.probe, first.found, first.predicted]
        for name in model.names:
            rows.append([name, model.differing, model.compared, *cells, separating_text(model)])
    return csv_text(HEAD, rows)
