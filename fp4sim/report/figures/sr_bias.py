"""The bias of stochastic rounding by the place of an element: between two codes, and at the top of the range."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.figures.labels import entry_label
from fp4sim.report.figures.style import GUIDE, WIDTH, colour, dash, figure_style, legend, message, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fp4sim.report.rounding_model import RoundingResult

CAPTION = (
    "Exact bias of one element's rounding over all random bits, in percent of the gap between two codes. Left: few random bits"
    " are biased towards zero by up to 2^-bits of a gap. Right: what the scale maps beyond the largest code is clipped, unless"
    " the rounding is matched to the range. Unbiased rounding stays on the grey line."
)


def figure(result: RoundingResult) -> Figure:
    """Draw a RoundingResult."""
    with figure_style():
        if not result.curves:
            return message("No format with stochastic rounding was given.")
        drawn = new_figure(WIDTH, 3.0)
        left, right = drawn.subplots(1, 2)
        handles = []
        for i, curve in enumerate(result.curves):
            points = len(curve.gap) - 1
            at = [result.span * k / points for k in range(points + 1)]
            style = {"color": colour(i), "linestyle": dash(i)}
            left.plot(at, [100 * value for value in curve.gap], linewidth=1.0, **style)
            handles += right.plot(curve.places, [100 * value for value in curve.top], linewidth=1.4, **style)
            right.plot(
                curve.places[-1:], [100 * value for value in curve.top[-1:]], marker="o", markersize=4, color=colour(i)
            )
        for axes in (left, right):
            axes.axhline(0, color=GUIDE, linewidth=1.0, zorder=1)
        low = 100 * min(min(curve.gap) for curve in result.curves)
        left.set_ylim(min(1.15 * low, -0.05), max(-0.15 * low, 0.01))
        left.set_title("between two codes" if result.span == 1 else f"first 1/{1 / result.span:g} of a gap")
        left.set_xlabel("position between two codes")
        left.set_ylabel("bias, % of the gap")
        right.set_title("at the top of the range")
        right.set_xlabel("scaled element")
        legend(drawn, handles, [entry_label(curve.short) for curve in result.curves])
    return drawn
