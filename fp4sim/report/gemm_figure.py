"""Heat maps of the error of a product: its parts over rows and columns, a line of panels for each pair of formats."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.report.figures.style import GUIDE, figure_style, new_figure
from fp4sim.report.gemm_model import PARTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fp4sim.report.gemm_model import GemmErrors, GemmRow

MOST_ROWS = 4
CAPTION = (
    "Mean squared error of a bin of outputs over the mean square of the exact product, in dB: operands as quantized,"
    " accumulation and epilogue in float32, the cast of the output. Grey: no error at all. Each panel has its own scale."
)
_TITLES = {"operands": "operands", "accumulation": "accumulation", "cast": "output cast"}


def gemm_figure(result: GemmErrors) -> Figure:
    """The first MOST_ROWS pairs of formats."""
    shown = result.formats[:MOST_ROWS]
    with figure_style():
        figure = new_figure(10.0, 0.9 + 2.7 * len(shown))
        grid: Any = figure.subplots(len(shown), len(PARTS), squeeze=False)
        for line, row in zip(grid, shown, strict=True):
            for axes, part in zip(line, PARTS, strict=True):
                _panel(figure, axes, row, part)
        rows, cols, depth = result.shape
        left = len(result.formats) - len(shown)
        more = f"; {left} more not drawn" if left else ""
        figure.suptitle(f"M {rows:,}, N {cols:,}, K {depth:,}, model {result.settings['model']}{more}", fontsize=10)
    return figure


def _panel(figure: Figure, axes: Axes, row: GemmRow, part: str) -> None:
    import matplotlib as mpl

    axes.set_title(f"{row.short}: {_TITLES[part]}", fontsize=9)
    axes.grid(visible=False)
    bins = np.array(getattr(row.heat, part), np.float64)
    if not bins.size:
        axes.text(0.5, 0.5, fill(_why(row), 28), ha="center", va="center", fontsize=8, transform=axes.transAxes)
        axes.set_xticks([])
        axes.set_yticks([])
        return
    with np.errstate(divide="ignore"):
        levels = np.ma.masked_invalid(10 * np.log10(bins))
    colours = mpl.colormaps["viridis"].with_extremes(bad=GUIDE)
    mesh = axes.pcolormesh(row.heat.col_edges, row.heat.row_edges, levels, cmap=colours, rasterized=True)
    axes.invert_yaxis()
    axes.set_xlabel("column (row of B)")
    axes.set_ylabel("row (of A)")
    if levels.count():
        figure.colorbar(mesh, ax=axes, label="dB")


def _why(row: GemmRow) -> str:
    return "no instruction multiplies these formats" if row.reason else next(iter(row.undefined.values()), "no figures")
