"""Worst tensors first."""

from __future__ import annotations

from dataclasses import replace

from fp4sim.report.model import METRICS, CompareResult, TensorResult


def worst_first(result: CompareResult, metric: str) -> CompareResult:
    """The result with its tensors ordered by a metric of the first format, the worst first.

    What the metric has no value for goes last, except where the data is not finite: that is worse than any number. No
    error at all is better than any.
    """
    info = METRICS[metric]

    def badness(row: TensorResult) -> tuple[int, float]:
        value = row.results[0].value(metric)
        if value is not None:
            return 1, info.goodness(value)
        return (0 if row.results[0].undefined.get(metric, "").startswith("not finite") else 2), 0.0

    return replace(result, tensors=tuple(sorted(result.tensors, key=badness)))
