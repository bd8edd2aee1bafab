"""A wrong tensor-scale factor, found from the scales themselves: is there one factor under which every scale is right?

A scale code is right for quantities between the two midpoints around it, so each block bounds the factor from both sides; a
factor in the overlap of nearly all these intervals reproduces the kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects.target import target_of
from fp4sim.verifying.explain.hypothesis import Hypothesis
from fp4sim.verifying.explain.scale_math import cast_scale, is_float_scale, quantity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.verifying.explain.evidence import Evidence

_ROUNDOFF = 4e-6  # closer to 1 than this, a factor is another order of operations, not another tensor scale
_LEAST = 8  # blocks that bound the factor


_FIXED: tuple[tuple[str, str, Callable[[Evidence], NDArray[np.float32]]], ...] = (
    (
        "scale.no_tensor_scale",
        "the tensor scale is left out of the block scales",
        lambda e: np.ones(e.encode.shape, np.float32),
    ),
    (
        "scale.tensor_scale_inverted",
        "amax is multiplied by the tensor scale where it should be divided by it",
        lambda e: e.stored,
    ),
)


@dataclass(frozen=True)
class _Known:
    cause: str
    sentence: str
    factor: float


def propose(e: Evidence) -> Iterator[Hypothesis]:
    """Known wrong factors first, then whatever factor fits."""
    if not is_float_scale(e) or e.spec.tensor_scale.mode == "none":
        return
    for cause, sentence, factor in _FIXED:
        implied = float(factor(e)[0]) / float(e.encode[0]) if e.encode[0] else None
        yield Hypothesis(cause, sentence, _with(factor), implied=implied)
    if e.scales is None or np.unique(e.encode).size != 1:
        return
    bounds = _interval(e, e.scales)
    if bounds is None:
        return
    low, high = bounds
    middle = float(np.sqrt(low * high))
    if not 0 < middle < np.inf:  # only scales that round up from anything above 0
        return
    if abs(middle - 1) < _ROUNDOFF or low <= 1 <= high:
        if low > 1 or high < 1:
            sentence = (
                "the factor on amax is off by its last bits: an approximate reciprocal or another order of operations"
            )
            yield Hypothesis("scale.operation_order", sentence, _times(middle))
        return
    for known in _known(e):
        if low * (1 - _ROUNDOFF) <= known.factor <= high * (1 + _ROUNDOFF):
            yield Hypothesis(
                known.cause, known.sentence, _times(min(max(known.factor, low), high)), implied=known.factor
            )
            return
    amax = float(e.group[0]) / middle
    sentence = (
        f"the tensor scale behind the block scales is {1 / middle:.6g} times the right one, as for an amax of {amax:.6g}"
        f" (the tensor's is {float(e.group[0]):.6g}): a stale or wrong tensor scale"
    )
    yield Hypothesis("scale.stale_tensor_scale", sentence, _times(middle), implied=middle)


def _known(e: Evidence) -> tuple[_Known, ...]:
    bound, top = target_of(e.spec).bound, e.spec.element.max
    rows = []
    for other in (256.0, 448.0, 240.0, 127.0, 1.0):
        if other != bound:
            text = f"the tensor scale maps amax to the block scale {other:g}, not to {bound:g}"
            rows.append(_Known("scale.tensor_bound", text, other / bound))
    rows.append(
        _Known("scale.tensor_element_max", f"the tensor scale leaves out the element's maximum {top:g}", 1 / top)
    )
    return tuple(rows)


def _with(factor: Callable[[Evidence], NDArray[np.float32]]) -> Callable[[Evidence], NDArray[np.unsignedinteger]]:
    return lambda e: cast_scale(e, e.amax * (factor(e) * target_of(e.spec).inverse))


def _times(factor: float) -> Callable[[Evidence], NDArray[np.unsignedinteger]]:
    def predict(e: Evidence) -> NDArray[np.unsignedinteger]:
        exact = e.amax.astype(np.float64) * e.encode.astype(np.float64) / target_of(e.spec).element_max * factor
        return cast_scale(e, exact.astype(np.float32))

    return predict


def _interval(e: Evidence, scales: NDArray[np.unsignedinteger]) -> tuple[float, float] | None:
    """The factors that put at least 95 % of the blocks on their scale: the overlap of most intervals, or None."""
    fmt = e.spec.scale
    assert fmt is not None
    value = quantity(e).astype(np.float64)
    usable = (value > 0) & np.isfinite(value) & (scales > 0) & (scales < fmt.max_code)
    if np.count_nonzero(usable) < _LEAST:
        return None
    grid, code = fmt.magnitudes(), scales[usable].astype(np.int64)
    if e.spec.rule == "down":
        below, above = grid[code], grid[code + 1]
    elif e.spec.rule == "up":
        below, above = grid[code - 1], grid[code]
    else:
        below, above = (grid[code] + grid[code - 1]) / 2, (grid[code] + grid[code + 1]) / 2
    lows, highs = np.sort(below / value[usable]), np.sort(above / value[usable])
    points = np.concatenate([lows, highs])
    inside = np.searchsorted(lows, points, "right") - np.searchsorted(highs, points, "left")
    most = int(inside.max())
    if most < 0.95 * lows.size:
        return None
    best = np.sort(points[inside == most])
    return float(best[0]), float(best[-1])
