"""Which models a recorded product obeys, as CSV: a row for each name of a model."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from fp4sim.report.csv_table import inert
from fp4sim.report.gemm_fit_text import separating_text

if TYPE_CHECKING:
    from fp4sim.report.gemm_fit_model import FitResult

HEAD = ("model", "differing", "compared", "case", "index", "probe", "recorded", "predicted", "separating")


def fit_csv(result: FitResult) -> str:
    """The table as text."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(HEAD)
    for model in result.models:
        first = model.first
        cells = ["", "", "", "", ""]
        if first is not None:
            index = " ".join(map(str, first.index))
            cells = [inert(first.case), index, inert(first.probe), first.found, first.predicted]
        for name in model.names:
            table.writerow([inert(name), model.differing, model.compared, *cells, inert(separating_text(model))])
    return text.getvalue()
