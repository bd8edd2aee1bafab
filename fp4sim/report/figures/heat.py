"""Where in a tensor the error is: a map over rows and blocks, a panel for each tensor and format."""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING, Any

from fp4sim.report.cells import count_of
from fp4sim.report.figures.labels import WIDE_LIMIT, name_label
from fp4sim.report.figures.style import add_note, figure_style, message, name_axes, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fp4sim.report.blocks_model import BlocksResult, ErrorMap

CAPTION = (
    "SNR of each group of blocks over the tensor's rows and the blocks along them; dark is bad. Dark columns are outlier"
    " channels, dark rows outlier tokens or neurons, single dark spots outliers; white bins hold zeros only."
)
MOST_PANELS = 6
MOST_TENSORS = 6


def figure(result: BlocksResult) -> Figure:
    """Draw the first 6 pairs of tensor and format of a BlocksResult, all on one scale of colours."""
    pairs = [
        (result.label(tensor), info.short, found.map)
        for tensor in result.tensors
        for info, found in zip(result.formats, tensor.results, strict=True)
    ]
    shown = pairs[:MOST_PANELS]
    with figure_style():
        ends = _ends([one for _, _, one in shown])
        if ends is None:
            return message("No tensor with an error was measured.")
        drawn, grid = panels(len(shown), height=2.1)
        one_tensor = len({name for name, _, _ in shown}) == 1
        image: Any = None
        for axes, (name, short, one) in zip(grid, shown, strict=True):
            extent = (0, one.blocks, one.rows, 0)
            colours: dict[str, Any] = {"cmap": "cividis", "vmin": ends[0], "vmax": ends[1]}
            image = axes.imshow(decibels(one), extent=extent, aspect="auto", interpolation="none", **colours)
            axes.set_title(name_label(short) if one_tensor else f"{name_label(name)}\n{name_label(short)}")
            axes.grid(visible=False)
            axes.locator_params(integer=True)
        name_axes(grid, "block along the row", "row")
        bar = drawn.colorbar(image, ax=grid, label="SNR, dB", shrink=0.8, aspect=30, extend="both")
        bar.outline.set_visible(False)
        if one_tensor:
            drawn.suptitle(name_label(shown[0][0], WIDE_LIMIT), fontsize=9)
        left_out = result.left_out * len(result.formats) + len(pairs) - len(shown)
        if left_out:
            add_note(drawn, f"{count_of(left_out, 'more pair')} of tensor and format not drawn.")
    return drawn


def decibels(one: ErrorMap) -> list[list[float]]:
    """A map in dB; NaN where x is all zero, infinity where there is no error."""
    return [
        [math.nan if cell is None else math.inf if cell == 0 else -10 * math.log10(cell) for cell in row]
        for row in one.cells
    ]


def _ends(maps: list[ErrorMap]) -> tuple[float, float] | None:
    """The ends of the colours: what 1 % of the bins are beyond on either side, at least 1 dB apart."""
    values = sorted(value for one in maps for row in decibels(one) for value in row if math.isfinite(value))
    if not values:
        return None
    low, high = values[len(values) // 100], values[-1 - len(values) // 100]
    middle = median(values)
    return min(low, middle - 0.5), max(high, middle + 0.5)
