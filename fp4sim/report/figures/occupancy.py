"""How often each of the 16 codes occurs, a panel for each format, in the order of their values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.errors import Fp4simError
from fp4sim.grammar import parse
from fp4sim.report.figures.labels import name_label
from fp4sim.report.figures.style import add_note, colour, figure_style, message, name_axes, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fp4sim.report.model import CompareResult, FormatInfo

CAPTION = (
    "Share of all elements on each code, in the order of the codes' values. Look for codes that are hardly used (bits paid"
    " for nothing), for a tall zero (small values flushed), and for full outermost codes (clipping)."
)
_MOST_CODES = 16


def figure(result: CompareResult) -> Figure:
    """Draw the total occupancy of a CompareResult's formats of up to 4 bits."""
    shown = [
        (info, total.metrics.occupancy, i)
        for i, (info, total) in enumerate(zip(result.formats, result.totals, strict=False))
        if 0 < len(total.metrics.occupancy) <= _MOST_CODES and any(total.metrics.occupancy)
    ]
    with figure_style():
        if not shown:
            return message("No format of 4 bits has codes to count.")
        drawn, grid = panels(len(shown), sharey=True)
        for axes, (info, counts, i) in zip(grid, shown, strict=True):
            _draw(axes, info, counts, i)
        name_axes(grid, "value / block scale", "elements, %")
        if len(shown) < len(result.formats):
            add_note(drawn, f"{len(result.formats) - len(shown)} of {len(result.formats)} formats without such codes.")
    return drawn


def _draw(axes: Axes, info: FormatInfo, counts: tuple[int, ...], index: int) -> None:
    names = code_labels(info.spec, len(counts))
    order = sorted(range(len(counts)), key=lambda code: _place(code, len(counts)))
    total = sum(counts)
    axes.bar(range(len(order)), [100 * counts[code] / total for code in order], color=colour(index), width=0.85)
    ticks = range(len(order))
    axes.set_xticks(ticks, [names[code] for code in order], rotation=90, fontsize=7)
    axes.set_title(name_label(info.short))
    axes.grid(visible=False, axis="x")


def code_labels(spec: str, codes: int) -> list[str]:
    """The values of codes in units of the block scale; their numbers in hexadecimal where a code has two meanings."""
    try:
        parsed = parse(spec)
        values = None if parsed.has("if4") else [float(value) for value in parsed.element.values()]
    except Fp4simError:
        values = None
    if values is None or len(values) != codes:
        return [f"{code:x}" for code in range(codes)]
    return [f"{value:g}".replace("-", "−") for value in values]


def _place(code: int, codes: int) -> int:
    """Sign-magnitude codes in order of value: the negative ones from the largest magnitude down to −0, then +0 up."""
    half = codes // 2
    return half - 1 - (code - half) if code >= half else code + half
