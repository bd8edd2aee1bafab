"""The error of a product by its parts: how large each is, and where over the outputs it lies."""

from __future__ import annotations

import math
from textwrap import fill
from typing import TYPE_CHECKING, Any

from fp4sim.report.cells import count_of
from fp4sim.report.figures.labels import name_label
from fp4sim.report.figures.style import (
    GUIDE,
    WIDTH,
    add_note,
    colour,
    figure_style,
    legend,
    mark,
    message,
    new_figure,
)
from fp4sim.report.gemm_model import PARTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fp4sim.report.gemm_model import GemmErrors, GemmPart, GemmRow

    Levels = list[list[float]]

CAPTION = (
    "Above: the relative squared error of a product and of its parts: the operands as quantized, accumulation and epilogue in"
    " float32, the cast of the output. Accumulation far left of the operands does not matter. Below: where the error is, in dB"
    " over the mean square of the exact product; rows and columns that stand out belong to outlier rows of A or B."
)
MOST_MAPS = 2
_TITLES = {"total": "total", "operands": "operands", "accumulation": "accumulation", "cast": "output cast"}


def figure(result: GemmErrors) -> Figure:
    """Draw every pair of formats of a GemmErrors above, and the maps of the first two below."""
    with figure_style():
        if not any(_error(row.total) for row in result.formats):
            return message("No product has an error: nothing was multiplied, or nothing was lost.")
        shown = result.formats[:MOST_MAPS]
        above = 0.7 + 0.22 * len(result.formats)
        drawn = new_figure(WIDTH, above + 1.65 * len(shown) + 0.5)
        mosaic: Any = [["parts"] * len(PARTS), *([f"{part} {i}" for part in PARTS] for i in range(len(shown)))]
        grid = drawn.subplot_mosaic(mosaic, height_ratios=[above, *[1.65] * len(shown)])
        _draw_parts(drawn, grid["parts"], result.formats)
        for part in PARTS:
            _draw_maps(drawn, [grid[f"{part} {i}"] for i in range(len(shown))], shown, part)
        if len(result.formats) > len(shown):
            add_note(drawn, f"Maps of {count_of(len(result.formats) - len(shown), 'more pair')} of formats not drawn.")
    return drawn


def _error(part: GemmPart | None) -> float | None:
    """A part's energy, None where it is not known or there is none."""
    return part.rel_mse if part is not None and part.rel_mse else None


def _draw_parts(drawn: Figure, axes: Axes, rows: Sequence[GemmRow]) -> None:
    """A line of marks for each pair of formats."""
    handles = []
    for k, part in enumerate(_TITLES):
        known = [(i, error) for i, row in enumerate(rows) if (error := _error(getattr(row, part))) is not None]
        style: dict[str, Any] = {"marker": mark(k), "color": colour(k), "linestyle": "none", "markersize": 5}
        if part == "total":  # a ring around its largest part
            style |= {"fillstyle": "none", "markersize": 9}
        handles += axes.plot([error for _, error in known], [i for i, _ in known], **style)
    axes.set_xscale("log")
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [name_label(row.short) for row in rows])
    axes.set_xlabel("relative squared error, Σe²/Σx²")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    legend(drawn, handles, list(_TITLES.values()))


def _draw_maps(drawn: Figure, column: Sequence[Axes], rows: Sequence[GemmRow], part: str) -> None:
    """One part of every pair of formats, on common colours."""
    maps = [decibels(getattr(row.heat, part)) for row in rows]
    values = sorted(value for levels in maps for line in levels for value in line if math.isfinite(value))
    image: Any = None
    for i, (axes, row, levels) in enumerate(zip(column, rows, maps, strict=True)):
        axes.set_title(_TITLES[part] if i == 0 else "")
        axes.grid(visible=False)
        if part == PARTS[0]:
            axes.set_ylabel(f"{name_label(row.short, 20)}\nrow of A")
        if not any(math.isfinite(value) for line in levels for value in line):
            axes.set(xticks=[], yticks=[])
            axes.text(
                0.5, 0.5, fill(_why(row, part), 15), ha="center", va="center", fontsize=7, transform=axes.transAxes
            )
            continue
        axes.set_facecolor(GUIDE)  # bins without any error
        low, high = values[len(values) // 100], values[-1 - len(values) // 100]
        how: dict[str, Any] = {"aspect": "auto", "interpolation": "none", "vmin": low, "vmax": max(high, low + 0.1)}
        extent = (row.heat.col_edges[0], row.heat.col_edges[-1], row.heat.row_edges[-1], row.heat.row_edges[0])
        image = axes.imshow(levels, extent=extent, cmap="cividis_r", **how)
        axes.locator_params(integer=True, nbins=4)
    column[-1].set_xlabel("row of B")
    if image is not None:
        bar = drawn.colorbar(image, ax=list(column), location="bottom", label="error, dB", aspect=14)
        low, high = image.get_clim()
        bar.set_ticks(sorted({math.ceil(low), math.floor(high)}))
        bar.outline.set_visible(False)


def decibels(bins: Sequence[Sequence[float | None]]) -> Levels:
    """Mean squares in dB; NaN where there is no error, or none that has a figure."""
    return [[10 * math.log10(value) if value else math.nan for value in line] for line in bins]


def _why(row: GemmRow, part: str) -> str:
    if row.reason:
        return "no instruction multiplies these formats"
    return row.undefined.get(part) or row.undefined.get("rel_mse") or "no error at all"
