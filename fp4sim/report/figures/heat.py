"""Where in a tensor the error is: maps over rows and blocks, two for each tensor and format."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fp4sim.report.cells import count_of
from fp4sim.report.figures.labels import WIDE_LIMIT, name_label
from fp4sim.report.figures.style import WIDTH, add_note, figure_style, message, new_figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fp4sim.report.block_records import ErrorMap
    from fp4sim.report.blocks_model import BlocksResult

    Cells = Sequence[Sequence[float | None]]

CAPTION = (
    "Over the tensor's rows and the blocks along them. Left: SNR of each group of blocks; dark spots lose what little they"
    " hold, to a scale of zero for instance. Right: how much of the error is there, in dB above the tensor's mean; dark columns"
    " are outlier channels, dark rows outlier tokens or neurons. Blank bins have no data, or no error."
)
MOST_PAIRS = 3
_ROW = 1.9  # inches


def figure(result: BlocksResult) -> Figure:
    """Draw the first 3 pairs of tensor and format of a BlocksResult, a row each, all on the same colours."""
    pairs = [
        (result.label(tensor), info.short, found.map)
        for tensor in result.tensors
        for info, found in zip(result.formats, tensor.results, strict=True)
    ]
    shown = pairs[:MOST_PAIRS]
    relative = [decibels(one.relative, -10) for _, _, one in shown]
    energy = [decibels(one.energy, 10) for _, _, one in shown]
    ends = _ends(relative), _ends(energy)
    with figure_style():
        if ends[0] is None or ends[1] is None:
            return message("No tensor with an error was measured.")
        drawn = new_figure(WIDTH, _ROW * len(shown) + 1.0)
        grid = drawn.subplots(len(shown), 2, squeeze=False, sharey="row")
        images: list[Any] = [None, None]
        for row, (name, short, one) in enumerate(shown):
            images[0] = _draw(grid[row][0], one, relative[row], ends[0], "cividis")
            images[1] = _draw(grid[row][1], one, energy[row], ends[1], "cividis_r")
            grid[row][0].set_ylabel(f"{name_label(short, 22)}\nrow")
            if row == 0 or name != shown[row - 1][0]:
                grid[row][0].set_title(name_label(name, WIDE_LIMIT), loc="left")
        for column, label in enumerate(("SNR, dB", "error, dB above the mean")):
            grid[-1][column].set_xlabel("block along the row")
            bar = drawn.colorbar(images[column], ax=grid[:, column], location="bottom", label=label, extend="both")
            bar.outline.set_visible(False)
        left_out = result.left_out * len(result.formats) + len(pairs) - len(shown)
        if left_out:
            add_note(drawn, f"{count_of(left_out, 'more pair')} of tensor and format not drawn.")
    return drawn


def decibels(cells: Cells, factor: float) -> list[list[float]]:
    """``factor`` log10 of each cell; NaN where it is undefined or 0."""
    return [[factor * math.log10(cell) if cell else math.nan for cell in row] for row in cells]


def _draw(axes: Axes, one: ErrorMap, cells: list[list[float]], ends: tuple[float, float], colours: str) -> Any:
    extent = (0, one.blocks, one.rows, 0)
    how: dict[str, Any] = {"aspect": "auto", "interpolation": "none", "vmin": ends[0], "vmax": ends[1]}
    image = axes.imshow(cells, extent=extent, cmap=colours, **how)
    axes.grid(visible=False)
    axes.locator_params(integer=True)
    return image


def _ends(maps: list[list[list[float]]]) -> tuple[float, float] | None:
    """The ends of the colours: what 1 % of the bins are beyond on either side, at least 1 dB apart."""
    values = sorted(value for cells in maps for row in cells for value in row if math.isfinite(value))
    if not values:
        return None
    low, middle, high = (values[round(share * (len(values) - 1))] for share in (0.01, 0.5, 0.99))
    return min(low, middle - 0.5), max(high, middle + 0.5)
