"""How elements are spread within their blocks, and where the format's grid lies; a panel for each format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.errors import Fp4simError
from fp4sim.grammar import parse
from fp4sim.report.cells import count_of
from fp4sim.report.figures.labels import NAME_LIMIT, WIDE_LIMIT, distinct_labels, name_label
from fp4sim.report.figures.style import INK, add_note, colour, figure_style, message, name_axes, panels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fp4sim.report.block_records import BlockErrors
    from fp4sim.report.blocks_model import BlocksResult

CAPTION = (
    "Elements by their size relative to the largest of their block. Lines: where the format's values lie at the median block"
    " scale; the ladder: between which places each moves over 90 % of the blocks. Look for much mass in wide gaps (large"
    " errors), below half the first value (flushed to zero), and for values beyond 1 (never used)."
)
MOST_PANELS = 6
MOST_TENSORS = 6
_POINTS = 60  # bins that are drawn


def figure(result: BlocksResult) -> Figure:
    """Draw the first 6 pairs of tensor and format of a BlocksResult."""
    pairs = [
        (result.label(tensor), info, found, i)
        for tensor in result.tensors
        for i, (info, found) in enumerate(zip(result.formats, tensor.results, strict=True))
        if sum(found.ratios)
    ]
    shown = pairs[:MOST_PANELS]
    with figure_style():
        if not shown:
            return message("No block holds anything but zeros.")
        drawn, grid = panels(len(shown), height=1.6)
        names = list(dict.fromkeys(name for name, _, _, _ in shown))
        titles = dict(zip(names, distinct_labels(names, NAME_LIMIT), strict=True))
        one_tensor = len(names) == 1
        for axes, (name, info, found, i) in zip(grid, shown, strict=True):
            _draw(axes, found, info.spec, i)
            short = name_label(info.short)
            axes.set_title(short if one_tensor else f"{titles[name]}\n{short}")
        name_axes(grid, "|x| / amax of the block", "elements, %")
        if one_tensor:
            drawn.suptitle(name_label(shown[0][0], WIDE_LIMIT), fontsize=9)
        left_out = result.left_out * len(result.formats) + len(pairs) - len(shown)
        if left_out:
            add_note(drawn, f"{count_of(left_out, 'more pair')} of tensor and format not drawn.")
    return drawn


def shares(ratios: Sequence[int]) -> list[float]:
    """Percent of the elements in each of the 60 bins that are drawn."""
    width, total = _width(ratios), sum(ratios)
    return [100 * sum(ratios[start : start + width]) / total for start in range(0, len(ratios), width)]


def _width(ratios: Sequence[int]) -> int:
    return max(1, len(ratios) // _POINTS)


def _draw(axes: Axes, found: BlockErrors, spec: str, index: int) -> None:
    """One panel. Its height is that of the tallest bin but the last, which holds every block's amax."""
    drawn = shares(found.ratios)
    axes.stairs(drawn, [i / len(drawn) for i in range(len(drawn) + 1)], fill=True, color=colour(index), alpha=0.85)
    top = max(drawn[:-1]) or drawn[-1]
    values = grid_of(spec, found.reach)
    step = 0.6 * top / max(len(values), 8)
    for rung, (middle, low, high) in enumerate(values):
        axes.axvline(middle, color=INK, linewidth=0.6, alpha=0.4)
        y = 1.08 * top + rung * step
        axes.plot([low, max(high, low + 0.008)], [y, y], color=INK, linewidth=2.0, solid_capstyle="butt")
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.75 * top)
    share = f"amax\n{drawn[-1]:.1f} %"
    axes.text(0.97, 0.9 * top, share, ha="right", va="top", fontsize=7)


def grid_of(spec: str, reach: tuple[float, float, float] | None) -> list[tuple[float, float, float]]:
    """The element's positive values over amax: at the median scale, and between 5 % and 95 % of the blocks."""
    if reach is None:
        return []
    try:
        values = parse(spec).element.magnitudes()
    except Fp4simError:
        return []
    low, middle, high = reach
    return [(float(value) / middle, float(value) / high, float(value) / low) for value in values if value > 0]
