"""Every kind of figure by name: which results it draws, what to look for in it, and the function that draws it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fp4sim.errors import UsageError
from fp4sim.io.files import shown
from fp4sim.report.figures import (
    concentration,
    fours,
    gemm_parts,
    heat,
    mismatch,
    occupancy,
    pareto,
    ratios,
    scale_bytes,
    scale_error,
    snr,
    sr_bias,
    sweep,
)
from fp4sim.report.figures.svg import svg as svg

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Kind:
    """A kind of figure.

    ``title``: a line for headings and lists. ``accepts``: the results that it draws, by the name in their schema
    (``compare`` for ``fp4sim.compare/1``). ``caption``: what to look for. ``build``: the result to a matplotlib figure.
    ``formats``: what is drawn where nobody says. ``most``: so many tensors fit, 0: any number.
    """

    name: str
    title: str
    accepts: tuple[str, ...]
    caption: str
    build: Callable[..., Figure]
    formats: str = "nvfp4,mxfp4"
    most: int = 0


_COMPARE, _BLOCKS = ("compare",), ("blocks",)
_MANY = "nvfp4,nvfp4+4over6,mxfp4,mxfp4@rceil,e1m2/16@e4m3"
_DRAWN = "nvfp4,nvfp4+sr,nvfp4+mseden"
_SWEPT = "nvfp4,nvfp4+sr,nvfp4+4over6+sr"

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("snr", "SNR by module type", _COMPARE, snr.CAPTION, snr.figure),
        Kind("pareto", "Error against bits per weight", _COMPARE, pareto.CAPTION, pareto.figure, _MANY),
        Kind("occupancy", "Code occupancy", _COMPARE, occupancy.CAPTION, occupancy.figure),
        Kind("scale-bytes", "Block scales", _COMPARE, scale_bytes.CAPTION, scale_bytes.figure),
        Kind(
            *("scale-error", "Error by block scale", _BLOCKS, scale_error.CAPTION, scale_error.figure),
            most=scale_error.MOST_TENSORS,
        ),
        Kind("heat", "Error over rows and blocks", _BLOCKS, heat.CAPTION, heat.figure, most=heat.MOST_PAIRS),
        Kind(
            *("ratios", "Elements within their blocks", _BLOCKS, ratios.CAPTION, ratios.figure),
            most=ratios.MOST_TENSORS,
        ),
        Kind("fours", "Blocks on 4 of four-over-six", _BLOCKS, fours.CAPTION, fours.figure, "nvfp4+4over6"),
        Kind(
            *("concentration", "Error of the mean of N draws", ("bias", "layer"), concentration.CAPTION),
            build=concentration.figure,
            formats=_DRAWN,
            most=concentration.MOST_PANELS,
        ),
        Kind("sweep", "Bias over the values of a block", ("sweep",), sweep.CAPTION, sweep.figure, _SWEPT),
        Kind(
            *("sr-bias", "Bias of stochastic rounding by position", ("rounding",), sr_bias.CAPTION, sr_bias.figure),
            formats="nvfp4+sr,nvfp4+sr:bits=8,nvfp4+sr:clip",
        ),
        Kind("gemm", "Error of a product's outputs", ("gemm",), gemm_parts.CAPTION, gemm_parts.figure),
        Kind("mismatch", "Where a kernel is wrong", ("verify",), mismatch.CAPTION, mismatch.figure, formats=""),
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
