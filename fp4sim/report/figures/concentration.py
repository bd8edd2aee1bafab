"""The concentration figure: how the error of the mean of N draws falls, and where it stops falling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fp4sim.report.cells import count_of
from fp4sim.report.figures.labels import entry_label, name_label
from fp4sim.report.figures.style import (
    GUIDE,
    add_note,
    colour,
    figure_style,
    legend,
    mark,
    message,
    name_axes,
    panels,
    power,
)
from fp4sim.report.layer_model import EXACT, LayerResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fp4sim.report.bias_model import Bias, BiasResult

MOST_PANELS = 6
_GUIDE_LABEL = "1/N"
CAPTION = (
    "Error of the mean of N draws. Points: measured, ± one standard error; lines: floor + variance / N. An unbiased estimator"
    " follows the dotted 1/N; a biased one levels off at its squared bias (dashed, with its 95 % interval; ▽: 95 % upper end"
    " where no floor is seen)."
)


@dataclass(frozen=True)
class Series:
    """One line of a panel; ``index`` chooses colour and mark."""

    label: str
    index: int
    bias: Bias


@dataclass(frozen=True)
class Panel:
    """One pair of axes."""

    title: str
    series: tuple[Series, ...]


def figure(result: BiasResult | LayerResult) -> Figure:
    """Draw a panel for each tensor (the first 6), or for each of Y, dX and dW; log-log."""
    found = _layer_panels(result) if isinstance(result, LayerResult) else _tensor_panels(result)
    of = "ref" if isinstance(result, LayerResult) else "x"
    drawn = _drawn(found[:MOST_PANELS], of)
    left_out = len(found) - MOST_PANELS
    if left_out > 0:
        add_note(drawn, f"{count_of(left_out, 'more tensor')} not drawn.")
    return drawn


def _tensor_panels(result: BiasResult) -> list[Panel]:
    return [
        Panel(
            name_label(result.label(tensor)),
            tuple(
                Series(entry_label(info.short), i, bias)
                for i, (info, bias) in enumerate(zip(result.estimators, tensor.results, strict=True))
            ),
        )
        for tensor in result.tensors
    ]


def _layer_panels(result: LayerResult) -> list[Panel]:
    """Y, dX and dW; a recipe has one colour for each reference."""
    labels = list(dict.fromkeys(_layer_label(row.recipe, row.reference) for row in result.rows))
    outputs = dict.fromkeys(row.output for row in result.rows)
    return [
        Panel(
            output,
            tuple(
                Series(label, labels.index(label), row.bias)
                for row in result.rows
                if row.output == output
                for label in [_layer_label(row.recipe, row.reference)]
            ),
        )
        for output in outputs
    ]


def _layer_label(recipe: str, reference: str) -> str:
    return entry_label(recipe if reference == EXACT else f"{recipe}, {reference.replace('forward', 'fwd')}")


def _drawn(found: Sequence[Panel], of: str) -> Figure:
    with figure_style():
        if not found:
            return message("Nothing was drawn: no tensor.")
        drawn, grid = panels(len(found), height=2.3, sharex=True, sharey=True)
        handles: dict[str, Any] = {}
        for axes, panel in zip(grid, found, strict=True):
            handles |= _draw_panel(axes, panel)
        handles |= {_GUIDE_LABEL: handles.pop(_GUIDE_LABEL)} if _GUIDE_LABEL in handles else {}  # the last
        shown = [level for panel in found for series in panel.series for level in _levels(series.bias)]
        grid[0].set_ylim(bottom=0.4 * min(shown, default=0.1))
        name_axes(grid, "draws averaged, N", f"‖mean − {of}‖² / ‖{of}‖²")
        legend(drawn, list(handles.values()), list(handles))
    return drawn


def _draw_panel(axes: Axes, panel: Panel) -> dict[str, Any]:
    axes.set_xscale("log", base=4)
    axes.set_yscale("log")
    axes.set_title(panel.title)
    handles: dict[str, Any] = {}
    drawn = [series for series in panel.series if any(point.error > 0 for point in series.bias.curve)]
    for series in drawn:
        handles[series.label] = _draw_series(axes, series)
    if drawn:
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else "")
        axes.yaxis.set_major_formatter(lambda value, _: power(value))
        guide = _draw_guide(axes, [series.bias for series in drawn])
        handles |= guide
    without = [f"{series.label}: {_reason(series.bias)}" for series in panel.series if series not in drawn]
    if without:
        text = "\n".join(without)
        axes.text(0.02, 0.02, text, transform=axes.transAxes, fontsize=7, wrap=True)
    return handles


def _reason(bias: Bias) -> str:
    return bias.undefined.get("mse", "no error at all")


def _levels(bias: Bias) -> list[float]:
    """What must be seen: the points, and the floor or the most that it can be."""
    levels = [point.error for point in bias.curve if point.error > 0]
    found = bias.bias2
    if levels and found is not None and found.low is not None and found.high is not None and found.high > 0:
        levels.append(found.estimate if found.low > 0 else found.high)
    return levels


def _draw_series(axes: Axes, series: Series) -> Any:
    """Points with standard errors, the fitted line, and the floor or the most that it can be."""
    tint, bias = colour(series.index), series.bias
    points = [point for point in bias.curve if point.error > 0]
    draws = [point.draws for point in points]
    bars = [min(point.standard_error or 0.0, 0.999 * point.error) for point in points]
    shape: dict[str, Any] = {"fmt": mark(series.index), "color": tint, "markersize": 4.5, "capsize": 2, "zorder": 3}
    handle = axes.errorbar(draws, [point.error for point in points], yerr=bars, **shape)
    floor, slope = max(bias.floor or 0.0, 0.0), bias.slope
    if slope is not None and floor + slope > 0:
        smooth = [4 ** (step / 8) for step in range(8 * round(math.log(max(draws), 4)) + 1)]
        axes.plot(smooth, [floor + slope / n for n in smooth], color=tint, linewidth=1.2)
    _draw_floor(axes, series, max(draws))
    return handle


def _draw_floor(axes: Axes, series: Series, last: int) -> None:
    found, tint = series.bias.bias2, colour(series.index)
    if found is None or found.low is None or found.high is None or found.high <= 0:
        return
    if found.low > 0:
        axes.axhline(found.estimate, color=tint, linewidth=1, linestyle="--")
        axes.axhspan(found.low, found.high, color=tint, alpha=0.15, linewidth=0)
        return
    axes.plot([last * 1.5], [found.high], marker="v", color=tint, linestyle="none", fillstyle="none")


def _draw_guide(axes: Axes, biases: Sequence[Bias]) -> dict[str, Any]:
    """1/N, from the largest error of a single draw."""
    last = max(point.draws for bias in biases for point in bias.curve)
    if last == 1 or not any(bias.slope for bias in biases):
        return {}
    top = 1.4 * max(point.error for bias in biases for point in bias.curve)
    (line,) = axes.plot([1, last], [top, top / last], color=GUIDE, linestyle=":", linewidth=1.2, zorder=1)
    return {_GUIDE_LABEL: line}
