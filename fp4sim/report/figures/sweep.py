"""The figure of the bias over a sweep of values: where an estimator errs on average, and which way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.figures.labels import entry_label
from fp4sim.report.figures.style import GUIDE, WIDTH, colour, dash, figure_style, legend, message, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fp4sim.stats.bias_curve import Sweep

CAPTION = (
    "Mean error of an element x of a block whose other elements are its amax and zeros; the band is ± two standard errors of"
    " the mean. An unbiased estimator stays on the grey line; a nearest rounding saws around it. So does"
    " a rotated estimator here, however good on dense data: two elements are too few for a rotation to mix."
)


def figure(result: Sweep) -> Figure:
    """Draw E[x_hat] - x over x, both in units of the block's amax, a line for each estimator."""
    with figure_style():
        if not result.curves:
            return message("No format was given.")
        drawn = new_figure(WIDTH, 3.2)
        axes = drawn.subplots()
        axes.axhline(0, color=GUIDE, linewidth=1, zorder=1)
        lines = []
        for i, curve in enumerate(result.curves):
            x, mean = curve.x / curve.amax, curve.bias / curve.amax
            band = 2 * curve.standard_error / curve.amax
            lines += axes.plot(x, mean, linewidth=1.2, color=colour(i), linestyle=dash(i))
            axes.fill_between(x, mean - band, mean + band, color=colour(i), alpha=0.2, linewidth=0)
        draws = ", ".join(dict.fromkeys(f"{curve.draws:,}" for curve in result.curves))
        axes.set_title(f"Mean error of an element, {draws} draws")
        axes.set_xlabel("x / amax of its block")
        axes.set_ylabel("(E x̂ − x) / amax")
        legend(drawn, lines, [entry_label(curve.spec.short) for curve in result.curves])
    return drawn
