"""From the statistics of draws to the rows of a report."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from fp4sim.report.bias_model import ZONES, Bias, CurvePoint, Range, ZoneBias
from fp4sim.stats.bias import concentration, estimate_bias

if TYPE_CHECKING:
    from fp4sim.stats.bias import BiasEstimate, Interval
    from fp4sim.stats.draw_statistics import DrawStatistics


def bias_of(statistics: DrawStatistics, margin: float) -> Bias:
    """The figures, the verdict and the curve of one tensor under one estimator; zones where there are several."""
    estimate, curve = estimate_bias(statistics), concentration(statistics)
    judgement = estimate.verdict(margin)
    points = (CurvePoint(p.draws, p.error, p.standard_error, p.groups) for p in curve.points)
    return Bias(
        draws=estimate.draws,
        batches=estimate.batches,
        bias2=_range(estimate.bias2),
        relative_bias=_range(estimate.relative_bias),
        variance=_range(estimate.variance),
        mse=_range(estimate.mse),
        alignment=_range(estimate.alignment),
        misalignment=_range(estimate.misalignment),
        cosine=_cosine(estimate),
        verdict=judgement.verdict.value,
        sentence=judgement.sentence,
        draws_needed=judgement.draws_needed,
        curve=tuple(points),
        floor=curve.floor,
        slope=curve.slope,
        zones=tuple(_zones(statistics, margin)) if statistics.zones > 1 else (),
        undefined=dict(estimate.undefined),
    )


def as_one(bias: Bias, draws: int) -> Bias:
    """Equal draws reported as the one they are; the curve is flat, up to ``draws``, what random ones reach."""
    error = bias.curve[0].error if bias.curve else None
    counts = [4**level for level in range(draws.bit_length()) if 4**level <= draws]
    curve = () if error is None else tuple(CurvePoint(count, error, None, 1) for count in counts)
    return replace(bias, draws=1, batches=1, curve=curve)


def _zones(statistics: DrawStatistics, margin: float) -> list[ZoneBias]:
    elements, energy = statistics.elements.sum(), statistics.energy.sum()
    rows = []
    for index, name in enumerate(ZONES):
        if statistics.elements[index] == 0:
            continue
        one = estimate_bias(statistics.zone(index))
        judgement = one.verdict(margin)
        rows.append(
            ZoneBias(
                name,
                float(statistics.elements[index] / elements),
                float(statistics.energy[index] / energy) if energy else 0.0,
                _range(one.relative_bias),
                _range(one.alignment),
                judgement.verdict.value,
                judgement.sentence,
            )
        )
    return rows


def _cosine(estimate: BiasEstimate) -> float | None:
    """<x, x_hat> / (|x| |x_hat|) with sums over all draws: |x_hat|² = |x|² (2 alignment − 1 + mse)."""
    if estimate.alignment is None or estimate.mse is None:
        return None
    square = 2 * estimate.alignment.estimate - 1 + estimate.mse.estimate
    return estimate.alignment.estimate / math.sqrt(square) if square > 0 else None


def _range(interval: Interval | None) -> Range | None:
    return None if interval is None else Range(interval.estimate, interval.low, interval.high)
