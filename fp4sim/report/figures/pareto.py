"""Error against storage: each format a point, and the formats that no other beats on both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fp4sim.report.figures.labels import entry_label
from fp4sim.report.figures.style import (
    GUIDE,
    WIDTH,
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
    from matplotlib.figure import Figure

    from fp4sim.report.model import CompareResult

CAPTION = (
    "Relative squared error of all tensors together against the bits that an element takes, scales included; lower left is"
    " better. Formats on the grey step are beaten by none on both counts."
)


def figure(result: CompareResult) -> Figure:
    """Draw the totals of a CompareResult."""
    points = [
        (info.bits_per_element, total.metrics.rel_mse, i)
        for i, (info, total) in enumerate(zip(result.formats, result.totals, strict=False))
    ]
    known = [(bits, error, i) for bits, error, i in points if error is not None and error > 0]
    with figure_style():
        if not known:
            return message("No format has a relative error: nothing was compared, or nothing was lost.")
        drawn = new_figure(WIDTH, 3.2)
        axes = drawn.subplots()
        front = frontier([(bits, error) for bits, error, _ in known])
        axes.step(*zip(*front, strict=True), where="post", color=GUIDE, linewidth=1.2, zorder=1)
        handles: dict[str, Any] = {}
        for bits, error, i in known:
            (handle,) = axes.plot([bits], [error], linestyle="none", marker=mark(i), color=colour(i), markersize=6)
            handles[entry_label(result.formats[i].short)] = handle
        axes.set_xlabel("bits per weight")
        axes.set_ylabel("relative squared error, Σe²/Σx²")
        axes.margins(0.12, 0.12)
        log_axis(axes)
        legend(drawn, list(handles.values()), list(handles))
        if len(known) < len(points):
            add_note(drawn, f"{len(points) - len(known)} of {len(points)} formats without error not drawn.")
    return drawn


def frontier(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other beats or equals in both coordinates, in order of the first."""
    found: list[tuple[float, float]] = []
    for bits, error in sorted(set(points)):
        if not found or error < found[-1][1]:
            found.append((bits, error))
    return found
