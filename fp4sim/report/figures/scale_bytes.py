"""Which scale bytes the blocks use, and how near they come to the ends of the encoding; a panel for each format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.errors import Fp4simError
from fp4sim.grammar import parse
from fp4sim.report.figures.labels import name_label
from fp4sim.report.figures.style import INK, ZONE, add_note, colour, figure_style, log_axis, message, name_axes, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fp4sim.floats import FloatFormat
    from fp4sim.report.model import CompareResult, FormatInfo

CAPTION = (
    "Share of blocks on each scale byte, on a logarithmic axis. Shaded: zero (the whole block is lost), subnormal (the scale"
    " itself is coarse) and the largest scale (saturated). Mass in a shaded zone is error that no element rounding mends."
)
_MARGIN = 6


def figure(result: CompareResult) -> Figure:
    """Draw the totals of a CompareResult's formats whose scales are bytes."""
    shown = []
    for i, (info, total) in enumerate(zip(result.formats, result.totals, strict=False)):
        counts = {int(code): count for code, count in total.metrics.scale_histogram.items() if count}
        scale = scale_of(info.spec)
        if counts and scale is not None:
            shown.append((info, counts, scale, i))
    with figure_style():
        if not shown:
            return message("No format has block scales of 8 bits.")
        drawn, grid = panels(len(shown), sharey=True)
        floor = 50 / max(sum(counts.values()) for _, counts, _, _ in shown)
        for axes, (info, counts, scale, i) in zip(grid, shown, strict=True):
            _draw(axes, info, counts, scale, i, floor)
        name_axes(grid, "scale byte", "blocks, %")
        if len(shown) < len(result.formats):
            add_note(drawn, f"{len(result.formats) - len(shown)} of {len(result.formats)} formats without scale bytes.")
    return drawn


def scale_of(spec: str) -> FloatFormat | None:
    """The scale encoding of a spec; None where it has none or is not understood (a result of a later version)."""
    try:
        return parse(spec).scale
    except Fp4simError:
        return None


def zones(scale: FloatFormat) -> list[tuple[str, int, int]]:
    """Zones of an encoding: name, first and last code."""
    found = [("saturated", scale.max_code, scale.max_code)]
    if scale.has_zero:
        found = [("zero", 0, 0), ("subnormal", 1, (1 << scale.mantissa_bits) - 1), *found]
    return [zone for zone in found if zone[1] <= zone[2]]


def _draw(axes: Axes, info: FormatInfo, counts: dict[int, int], scale: FloatFormat, index: int, floor: float) -> None:
    total = sum(counts.values())
    low, high = (0, scale.max_code) if scale.has_zero else (max(0, min(counts) - _MARGIN), max(counts) + _MARGIN)
    for name, first, last in zones(scale):
        if last >= low and first <= high:
            axes.axvspan(first - 0.5, last + 0.5, color=ZONE, alpha=0.10 if name == "subnormal" else 0.22, linewidth=0)
            place = "right" if name == "saturated" else "left"
            x = last + 0.5 if place == "right" else first - 0.5
            y = 0.97 if name != "subnormal" else 0.84
            axes.text(x, y, name, ha=place, va="top", fontsize=7, color=INK, transform=axes.get_xaxis_transform())
    codes = range(min(counts), max(counts) + 1)
    shares = [100 * counts.get(code, 0) / total for code in codes]
    edges = [code - 0.5 for code in (*codes, codes.stop)]
    axes.stairs(shares, edges, fill=True, baseline=floor, color=colour(index))
    axes.set_ylim(floor, 150)
    log_axis(axes)
    axes.set_xlim(low - 0.5, high + 0.5)
    axes.set_title(name_label(info.short))
    axes.locator_params(axis="x", integer=True)
    axes.grid(visible=False, axis="x")
