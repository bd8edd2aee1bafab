"""SNR per tensor under each format: a panel for each module type, layers along it."""

from __future__ import annotations

import math
from collections import defaultdict
from statistics import median
from typing import TYPE_CHECKING, Any

from fp4sim.report.cells import count_of
from fp4sim.report.figures.labels import ALL, distinct_labels, entry_label, name_label, position_of
from fp4sim.report.figures.style import (
    add_note,
    colour,
    dash,
    figure_style,
    legend,
    mark,
    message,
    name_axes,
    panels,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fp4sim.report.model import CompareResult, TensorResult

CAPTION = (
    "SNR of every tensor under each format, layer by layer; higher is better, 6 dB are one bit. Look for module types that"
    " sit below the others, for single layers that drop, and for a format that wins on one type and loses on another."
)
MOST_PANELS = 12
_OTHERS = "other modules, in order"
_NAMED = 12  # tensors that each get their name below the axis
_TICK_LIMIT = 20
_FEW = 12  # points of a line that each get a mark

Placed = list[tuple[int, "TensorResult"]]


def figure(result: CompareResult) -> Figure:
    """Draw the SNR of a CompareResult's tensors. Tensors of one type and layer (experts) are a median in a band."""
    with figure_style():
        groups = _groups(result.tensors)
        if not groups:
            return message("No tensor was compared.")
        drawn, grid = panels(len(groups), sharey=True)
        handles: dict[int, Any] = {}
        for axes, (title, placed) in zip(grid, groups.items(), strict=True):
            axes.set_title(name_label(title))
            for i in range(len(result.formats)):
                handle = _draw(axes, placed, i, joined=title != _OTHERS)
                if handle is not None:
                    handles.setdefault(i, handle)
            axes.locator_params(axis="x", integer=True)
        if not handles:
            return message("No tensor has an SNR: all are zero, or without any error.")
        alone = list(groups) == [ALL]
        name_axes(grid, "tensor" if alone else "layer", "SNR, dB")
        if _OTHERS in groups:
            grid[-1].set_xlabel("tensor")
        if alone and len(result.tensors) <= _NAMED:
            names = distinct_labels([result.label(tensor) for tensor in result.tensors], _TICK_LIMIT)
            grid[0].set_xticks(range(len(names)), names, rotation=30, ha="right", rotation_mode="anchor")
        order = sorted(handles)
        legend(drawn, [handles[i] for i in order], [entry_label(result.formats[i].short) for i in order])
        _note(drawn, result)
    return drawn


def _groups(tensors: Sequence[TensorResult]) -> dict[str, Placed]:
    """Tensors by module type with their place along the axis; one group where names tell no layers."""
    places = [position_of(tensor.name) for tensor in tensors]
    layered: dict[str, Placed] = defaultdict(list)
    others: Placed = []
    for tensor, place in zip(tensors, places, strict=True):
        if place.layer is None:
            others.append((0, tensor))
        else:
            layered[place.module].append((place.layer, tensor))
    by_count = sorted(layered, key=lambda module: -len(layered[module]))
    room = MOST_PANELS - 1 if others or len(by_count) > MOST_PANELS else MOST_PANELS
    for module in by_count[room:]:
        others += layered.pop(module)
    if not any(len(placed) > 1 for placed in layered.values()):
        return {ALL: _numbered(tensors)} if tensors else {}
    return {**layered, **({_OTHERS: _numbered([tensor for _, tensor in others])} if others else {})}


def _numbered(tensors: Sequence[TensorResult]) -> Placed:
    return list(enumerate(tensors))


def _draw(axes: Axes, placed: Placed, index: int, *, joined: bool) -> Any:
    """One format's line: the median of each place, in a band from least to most where a place has several.

    Places that have nothing to do with each other are not ``joined``: marks alone.
    """
    values: dict[int, list[float]] = defaultdict(list)
    for place, tensor in placed:
        value = tensor.results[index].value("snr_db")
        if value is not None and math.isfinite(value):
            values[place].append(value)
    if not values:
        return None
    x = sorted(values)
    tint, every = colour(index), max(1, len(x) // _FEW) if joined else 1
    if any(len(values[place]) > 1 for place in x):
        low, high = [min(values[place]) for place in x], [max(values[place]) for place in x]
        axes.fill_between(x, low, high, color=tint, alpha=0.15, linewidth=0)
    style: dict[str, Any] = {"marker": mark(index), "markersize": 3.5, "markevery": every, "linewidth": 1.0}
    (line,) = axes.plot(
        x, [median(values[place]) for place in x], color=tint, linestyle=dash(index) if joined else "none", **style
    )
    return line


def _note(drawn: Figure, result: CompareResult) -> None:
    without = sum(
        any((value := row.value("snr_db")) is None or math.isinf(value) for row in tensor.results)
        for tensor in result.tensors
    )
    if without:
        add_note(
            drawn, f"{count_of(without, 'tensor')} without an SNR (all zero, or no error at all) not drawn in full."
        )
