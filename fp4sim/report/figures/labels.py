"""Names in figures: short, on one line and harmless; and what kind of module a tensor belongs to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fp4sim.report.cells import tensor_name

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME_LIMIT = 26  # of a title over half the figure's width
WIDE_LIMIT = 56  # over all of it
ENTRY_LIMIT = 44  # of a legend: the width of a figure
ALL = "all tensors"

_LEAVES = ("weight", "w", "kernel", "data", "bias")


def name_label(name: str, limit: int = NAME_LIMIT) -> str:
    """A tensor's name as a title or a tick shows it."""
    return tensor_name(name, limit)


def distinct_labels(names: Sequence[str], limit: int) -> list[str]:
    """Names as ticks beside one another show them: without the parts between dots that all begin and end with."""
    parts = [name.split(".") for name in names]
    room = min((len(part) for part in parts), default=1) - 1  # of each something is left
    first = 0
    while len(names) > 1 and first < room and len({part[first] for part in parts}) == 1:
        first += 1
    last = 0
    while len(names) > 1 and last < room - first and len({part[-1 - last] for part in parts}) == 1:
        last += 1
    if first and all(len(part) - last - first == 1 and _is_number(part[first]) for part in parts):
        first -= 1  # a number alone says nothing
    return [name_label(".".join(part[first : len(part) - last]), limit) for part in parts]


def entry_label(spec: str) -> str:
    """A spec as a legend shows it."""
    return tensor_name(spec, ENTRY_LIMIT)


@dataclass(frozen=True)
class Position:
    """The module type of a tensor, and the number of its layer (None: it has none)."""

    module: str
    layer: int | None


def position_of(name: str) -> Position:
    """Read module type and layer from a name: what follows the first number of its path, further numbers dropped.

    ``model.layers.3.mlp.experts.7.up_proj.weight`` is layer 3 of ``mlp.experts.up_proj``; ``blk.0.attn_q.weight`` layer 0 of
    ``attn_q``. Without a number the type is the last two parts.
    """
    parts = [part for part in re.split(r"[./]", name) if part]
    while len(parts) > 1 and (parts[-1].lower() in _LEAVES):
        parts.pop()
    first = next((i for i, part in enumerate(parts) if _is_number(part)), None)
    if first is None:
        return Position(".".join(parts[-2:]), None)
    rest = [part for part in parts[first + 1 :] if not _is_number(part)]
    before = [part for part in parts[:first] if not _is_number(part)]
    return Position(".".join(rest or before[-2:]), int(parts[first]))


def _is_number(part: str) -> bool:
    return part.isascii() and part.isdigit() and len(part) < 10
