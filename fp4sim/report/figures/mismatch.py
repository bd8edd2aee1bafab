"""Where a kernel's codes differ from the right ones, by how many steps its scales do, and how near to a tie it went wrong."""

from __future__ import annotations

import math
from textwrap import fill
from typing import TYPE_CHECKING, Any

from fp4sim.errors import UsageError
from fp4sim.io.files import shown
from fp4sim.report.cells import count_of
from fp4sim.report.figures.labels import name_label
from fp4sim.report.figures.style import COLOURS, WIDTH, add_note, figure_style, message, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fp4sim.report.verify_model import CaseResult, VerifyResult

CAPTION = (
    "Above: share of wrong codes over the tensor, blank where all are right; whole rows or columns point to layout"
    " and indexing, speckles to rounding. Lower left: by how many steps wrong scales are off; one side alone points to"
    " a rounding rule or an off-by-one. Lower right: how far from a tie elements lie whose codes do not even follow"
    " from the kernel's own scales; all on the tie is the tie rule, near it another order of operations."
)
_STEPS = ("less", *(f"{step:+d}" for step in range(-8, 0)), *(f"{step:+d}" for step in range(1, 9)), "more")


def figure(result: VerifyResult, *, case: str | None = None) -> Figure:
    """Draw one case of a VerifyResult: the one named, else that with the most wrong codes and scales. Raises UsageError."""
    chosen = _chosen(result, case)
    with figure_style():
        if chosen is None or chosen.code_map is None:
            return message("Every code and scale is right." if chosen is None else _no_map(chosen))
        drawn = new_figure(WIDTH, 4.4)
        places: Any = drawn.subfigures(2, 1, height_ratios=(1.35, 1))
        top, bottom = places
        _draw_map(top.subplots(), top, chosen)
        left, right = bottom.subplots(1, 2)
        _draw_steps(left, chosen)
        _draw_ties(right, chosen)
        others = sum(not one.ok for one in result.cases) - 1
        if others > 0:
            add_note(drawn, f"{count_of(others, 'more case')} with mismatches not drawn.")
    return drawn


def _chosen(result: VerifyResult, name: str | None) -> CaseResult | None:
    if name is not None:
        for one in result.cases:
            if one.name == name:
                return one
        known = ", ".join(shown(one.name or "(unnamed)", 40) for one in result.cases[:8])
        raise UsageError(f"no case '{shown(name, 40)}'; there are {known}")
    failed = [one for one in result.cases if not one.ok]
    return max(failed, key=_wrong, default=None)


def _wrong(case: CaseResult) -> int:
    return sum(case.counts[part].wrong for part in ("codes", "scales") if part in case.counts)


def _no_map(case: CaseResult) -> str:
    return f"{name_label(case.name)}: no code or scale was compared bit by bit, so there is no map of them."


def _draw_map(axes: Axes, place: Any, case: CaseResult) -> None:
    found = case.code_map
    assert found is not None
    cells = [
        [100 * wrong / found.share(row, col) if wrong else math.nan for col, wrong in enumerate(line)]
        for row, line in enumerate(found.cells)
    ]
    most = max((cell for line in cells for cell in line if cell > 0), default=1.0)
    extent = (0, found.columns, found.rows, 0)
    colours: dict[str, Any] = {"cmap": "cividis_r", "vmin": 0, "vmax": most}
    image = axes.imshow(cells, extent=extent, aspect="auto", interpolation="none", **colours)
    axes.set_title(f"{name_label(case.name, 50)}\n{_counts(case)}" if case.name else _counts(case))
    axes.set_xlabel("element along the quantized axis")
    axes.set_ylabel("row")
    axes.grid(visible=False)
    axes.locator_params(integer=True)
    place.colorbar(image, ax=axes, label="wrong codes, %").outline.set_visible(False)


def _counts(case: CaseResult) -> str:
    parts = [(part, case.counts[part]) for part in ("codes", "scales") if part in case.counts]
    return ", ".join(f"{count.wrong:,} of {count.total:,} {part} wrong" for part, count in parts)


def _draw_steps(axes: Axes, case: CaseResult) -> None:
    found = [i for i, step in enumerate(_STEPS) if step in case.scale_deltas]
    axes.set_title("wrong scales")
    if not found:
        _say(axes, "none" if "scales" in case.counts else "scales were not compared")
        return
    steps = _STEPS[found[0] : found[-1] + 1]
    labels = [{"less": "≤−9", "more": "≥9"}.get(step, step.replace("-", "−")) for step in steps]
    axes.bar(range(len(steps)), [case.scale_deltas.get(step, 0) for step in steps], color=COLOURS[1], width=0.8)
    axes.set_xticks(range(len(steps)), labels, rotation=90 if len(steps) > 6 else 0)
    axes.set_xlim(min(-1, len(steps) / 2 - 2.5), max(len(steps), len(steps) / 2 + 1.5))
    axes.set_xlabel("steps off")
    axes.set_ylabel("blocks")
    _whole_ticks(axes)


def _draw_ties(axes: Axes, case: CaseResult) -> None:
    counts = case.tie_distances
    axes.set_title("wrong codes")
    if not any(counts):
        _say(axes, "all follow from their scales" if case.counts["codes"].wrong else "none")
        return
    tie, rest = counts[0], counts[1:]
    width = 0.5 / len(rest)
    axes.bar([width * (i + 0.5) for i in range(len(rest))], rest, width=width, color=COLOURS[0])
    axes.bar([-1.5 * width], [tie], width=width, color=COLOURS[1])
    axes.set_xticks([-1.5 * width, 0.25, 0.5], ["tie", "0.25", "0.5"])
    axes.set_xlabel("distance from a tie, gaps")
    axes.set_ylabel("elements")
    _whole_ticks(axes)


def _say(axes: Axes, text: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, fill(text, 18), ha="center", va="center", transform=axes.transAxes)


def _whole_ticks(axes: Axes) -> None:
    axes.locator_params(axis="y", integer=True, nbins=5)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.grid(visible=False, axis="x")
