"""Every kind of figure by name: which results it draws, what to look for in it, and the function that draws it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fp4sim.errors import UsageError
from fp4sim.io.files import shown
from fp4sim.report.figures import (
    concentration,
    fours,
    heat,
    occupancy,
    pareto,
    ratios,
    scale_bytes,
    scale_error,
    snr,
)
from fp4sim.report.figures.svg import svg as svg

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Kind:
    """A kind of figure.

    ``accepts``: the results that it draws, by the name in their schema (``compare`` for ``fp4sim.compare/1``). ``caption``:
    what to look for. ``build``: the result to a matplotlib figure. ``title``: a line for headings and lists.
    """

    name: str
    title: str
    accepts: tuple[str, ...]
    caption: str
    build: Callable[..., Figure]


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("snr", "SNR by module type", ("compare",), snr.CAPTION, snr.figure),
        Kind("pareto", "Error against bits per weight", ("compare",), pareto.CAPTION, pareto.figure),
        Kind("occupancy", "Code occupancy", ("compare",), occupancy.CAPTION, occupancy.figure),
        Kind("scale-bytes", "Block scales", ("compare",), scale_bytes.CAPTION, scale_bytes.figure),
        Kind("scale-error", "Error by block scale", ("blocks",), scale_error.CAPTION, scale_error.figure),
        Kind("heat", "Error over rows and blocks", ("blocks",), heat.CAPTION, heat.figure),
        Kind("ratios", "Elements within their blocks", ("blocks",), ratios.CAPTION, ratios.figure),
        Kind("fours", "Blocks on 4 of four-over-six", ("blocks",), fours.CAPTION, fours.figure),
        Kind("concentration", "Means of N draws", ("bias", "layer"), concentration.CAPTION, concentration.figure),
    )
}


def result_kind(result: Any) -> str:
    """The name in a result's schema: ``compare``, ``bias``, … Empty for what is no result."""
    schema = getattr(result, "schema", "")
    return schema.split("/")[0].removeprefix("fp4sim.") if isinstance(schema, str) else ""


def kinds_for(result: Any) -> tuple[Kind, ...]:
    """The kinds that a result can feed, in the order in which a report shows them."""
    name = result_kind(result)
    return tuple(kind for kind in KINDS.values() if name in kind.accepts)


def kind_named(name: str) -> Kind:
    """A kind by name. Raises UsageError listing what there is."""
    if name not in KINDS:
        raise UsageError(f"no figure '{shown(name, 40)}'; there are {', '.join(KINDS)}")
    return KINDS[name]
