"""How many blocks four-over-six puts on 4: a bar for each tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fp4sim.report.figures.labels import distinct_labels, entry_label
from fp4sim.report.figures.style import WIDTH, add_note, colour, dash, figure_style, legend, mark, message, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fp4sim.report.blocks_model import BlocksResult

CAPTION = (
    "Share of the blocks whose largest element is mapped to 4 instead of 6 because that leaves less error. Gaussian data lies"
    " near 45 %; tensors far below have one large element a block, for which the choice gains little."
)
_MOST_NAMED = 24
_TICK_LIMIT = 26


def figure(result: BlocksResult) -> Figure:
    """Draw every tensor of a BlocksResult under its formats with ``+4over6``; in order where there are many."""
    chosen = [i for i, info in enumerate(result.formats) if any(t.results[i].fours is not None for t in result.tensors)]
    with figure_style():
        if not chosen:
            return message("No format chooses between 4 and 6; one that does is nvfp4+4over6.")
        named = len(result.tensors) <= _MOST_NAMED
        drawn = new_figure(WIDTH, 0.9 + 0.2 * len(result.tensors) if named else 2.8)
        axes = drawn.subplots()
        handles: list[Any] = []
        for i in chosen:
            share = fours_share(result, i)
            style: dict[str, Any] = {"color": colour(i), "marker": mark(i), "markersize": 4}
            places = list(range(len(share)))
            if named:
                handles += axes.plot(share, places, linestyle="none", **style)
            else:
                style |= {"markevery": max(1, len(share) // 24), "linewidth": 1.0, "linestyle": dash(i)}
                handles += axes.plot(places, sorted(share), **style)
        if named:
            labels = distinct_labels([result.label(tensor) for tensor in result.tensors], _TICK_LIMIT)
            axes.set_yticks(range(len(labels)), labels)
            axes.set_ylim(len(labels) - 0.5, -0.5)
            axes.set_xlim(0, 100)
            axes.set_xlabel("blocks on 4, %")
        else:
            axes.set_ylim(0, 100)
            axes.set_xlabel("tensors, in order of the share")
            axes.set_ylabel("blocks on 4, %")
        legend(drawn, handles, [entry_label(result.formats[i].short) for i in chosen])
        if len(chosen) < len(result.formats):
            add_note(drawn, f"{len(result.formats) - len(chosen)} of {len(result.formats)} formats do not choose.")
    return drawn


def fours_share(result: BlocksResult, index: int) -> list[float]:
    """Percent of each tensor's blocks on 4 under a format; NaN where a tensor has no block."""
    rows = [tensor.results[index] for tensor in result.tensors]
    counted = [(row.fours or 0, row.blocks - row.nonfinite_blocks) for row in rows]
    return [100 * fours / blocks if blocks else float("nan") for fours, blocks in counted]
