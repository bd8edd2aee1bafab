"""The error of blocks by the size of their scale, and how many blocks have it; a column for each tensor."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fp4sim.report.cells import count_of
from fp4sim.report.figures.labels import NAME_LIMIT, WIDE_LIMIT, distinct_labels, entry_label
from fp4sim.report.figures.scale_bytes import scale_of
from fp4sim.report.figures.style import (
    WIDTH,
    ZONE,
    add_note,
    colour,
    figure_style,
    legend,
    log_axis,
    mark,
    message,
    new_figure,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fp4sim.report.block_records import BlockErrors, ScaleBin
    from fp4sim.report.blocks_model import BlocksResult

CAPTION = (
    "Above: relative squared error of blocks by the size of their scale, octave by octave (the scale's own value, without the"
    " tensor scale). Below: their share. Shaded: scales that are subnormal in the format named. Blocks of scale zero are lost"
    " whole and stand at the left edge; hollow marks are saturated scales. An error that rises to the left is the scale's."
)
MOST_TENSORS = 2
_ZERO_GAP = 1.5  # octaves between the smallest scale and where zero stands


def figure(result: BlocksResult) -> Figure:
    """Draw the first two tensors of a BlocksResult; a line for each format with block scales."""
    with figure_style():
        tensors = result.tensors[:MOST_TENSORS]
        scaled = [
            i
            for i in range(len(result.formats))
            if any(one.x2 > 0 and one.e2 > 0 for tensor in tensors for one in tensor.results[i].scales)
        ]
        if not scaled:
            return message("No tensor has an error under a format with block scales.")
        drawn = new_figure(WIDTH, 4.0)
        grid = drawn.subplots(2, max(1, len(tensors)), squeeze=False, sharex=True, sharey="row", height_ratios=(2, 1))
        names, limit = [result.label(tensor) for tensor in tensors], NAME_LIMIT if len(tensors) > 1 else WIDE_LIMIT
        titles = distinct_labels(names, limit)
        zero = _place_of_zero([tensor.results[i] for tensor in tensors for i in scaled])
        handles: dict[int, Any] = {}
        for column, tensor in enumerate(tensors):
            grid[0][column].set_title(titles[column])
            for i in scaled:
                if tensor.results[i].scales:
                    handles[i] = _draw(grid[0][column], grid[1][column], tensor.results[i], i, zero)
            grid[1][column].set_xlabel("log2(scale)" if len(tensors) > 1 else "log2 of the block scale")
        for axes in grid.flat:
            _shade(axes, [result.formats[i].spec for i in scaled], zero, named=axes is grid[0][0])
            log_axis(axes)
            axes.locator_params(axis="x", integer=True)
        grid[0][0].set_ylabel("Σe²/Σx² of blocks")
        grid[1][0].set_ylabel("blocks, %")
        if zero is not None:
            grid[0][0].text(zero, 0.02, "zero", ha="center", va="bottom", fontsize=7, transform=_mixed(grid[0][0]))
        order = sorted(handles)
        legend(drawn, [handles[i] for i in order], [entry_label(result.formats[i].short) for i in order])
        left_out = result.left_out + len(result.tensors) - len(tensors)
        if left_out:
            add_note(drawn, f"{count_of(left_out, 'more tensor')} not drawn.")
    return drawn


@dataclass(frozen=True)
class Octave:
    """Blocks whose scale is in [2^k, 2^(k+1)): mean log2 of the scale, Σe²/Σx², blocks."""

    place: float
    error: float
    blocks: int


def octaves(scales: Sequence[ScaleBin]) -> list[Octave]:
    """Bins of scales above zero by octave; those that hold zeros only are left out."""
    groups: dict[int, list[ScaleBin]] = defaultdict(list)
    for one in scales:
        if one.scale > 0 and one.x2 > 0:
            groups[math.floor(math.log2(one.scale))].append(one)
    found = []
    for _, group in sorted(groups.items()):
        weights = [max(one.blocks, 1) for one in group]
        place = sum(math.log2(one.scale) * weight for one, weight in zip(group, weights, strict=True)) / sum(weights)
        found.append(Octave(place, _error(group), sum(one.blocks for one in group)))
    return found


def _error(group: Sequence[ScaleBin]) -> float:
    return sum(one.e2 for one in group) / sum(one.x2 for one in group)


def _draw(above: Axes, below: Axes, found: BlockErrors, index: int, zero: float | None) -> Any:
    """One format: error and share by octave; returns the line for the legend."""
    shape: dict[str, Any] = {"color": colour(index), "marker": mark(index), "markersize": 3.5, "linewidth": 1.0}
    total = max(1, sum(one.blocks for one in found.scales))
    rows = [row for row in octaves(found.scales) if row.error > 0]
    (handle,) = above.plot([row.place for row in rows], [row.error for row in rows], **shape)
    some = [row for row in rows if row.blocks]
    below.plot([row.place for row in some], [100 * row.blocks / total for row in some], **shape)
    for one in found.scales:
        if one.zone == "saturated" and one.x2 > 0 and one.e2 > 0:
            hollow = {**shape, "fillstyle": "none", "markersize": 8}
            above.plot([math.log2(one.scale)], [_error([one])], **hollow)
    lost = [one for one in found.scales if one.scale == 0 and one.x2 > 0]
    if lost and zero is not None:
        above.plot([zero], [_error(lost)], **shape)
        below.plot([zero], [100 * sum(one.blocks for one in lost) / total], **shape)
    return handle


def _place_of_zero(found: list[BlockErrors]) -> float | None:
    """Where blocks without a scale stand; None where no block that holds anything has scale zero."""
    if not any(one.scale == 0 and one.x2 > 0 for errors in found for one in errors.scales):
        return None
    places = [row.place for errors in found for row in octaves(errors.scales)]
    return min(places, default=0.0) - _ZERO_GAP


def _shade(axes: Axes, specs: list[str], zero: float | None, *, named: bool) -> None:
    """Shade the subnormal scales of every encoding in sight; its name is written once."""
    left, right = axes.get_xlim()
    ends: dict[float, str] = {}
    for spec in specs:
        scale = scale_of(spec)
        if scale is not None and scale.has_zero and scale.bits <= 8 and math.log2(scale.min_normal) > left:
            ends[math.log2(scale.min_normal)] = scale.name
    for end, name in ends.items():
        axes.axvspan(left, min(end, right), color=ZONE, alpha=0.12, linewidth=0, zorder=0)
        if named:
            text = f"{name} subnormal"
            axes.text(end, 0.98, f"{text} ", fontsize=7, ha="right", va="top", transform=_mixed(axes))
            named = False
    axes.set_xlim(left, right)


def _mixed(axes: Axes) -> Any:
    """Data along x, shares of the axes along y."""
    return axes.get_xaxis_transform()
