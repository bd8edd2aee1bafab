"""Scales that depend on more than their own block: shared by several, or taken of a neighbour's maximum."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.verifying import arithmetic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.verifying.explain.evidence import Evidence

Prediction = tuple[str, str, "NDArray[np.unsignedinteger]"]


def predictions(e: Evidence) -> Iterator[Prediction]:
    """(cause, sentence, scale codes) of all blocks."""
    amax = e.amax.reshape(-1, e.across)
    for count in (2, 4, 8):
        if e.across % count == 0:
            shared = amax.reshape(amax.shape[0], -1, count).max(axis=2).repeat(count, axis=1)
            width = e.x.shape[1] * count
            yield "scale.block_size", f"scales are shared by blocks of {width} elements", _scales(e, shared)
    yield (
        "scale.block_size",
        "scales are shared by whole rows",
        _scales(e, np.broadcast_to(amax.max(1)[:, None], amax.shape)),
    )
    for count in (16, 128):
        if amax.shape[0] % count == 0:
            tall = amax.reshape(-1, count, e.across).max(axis=1).repeat(count, axis=0)
            yield "scale.block_size", f"scales are shared by {count} rows", _scales(e, tall)
    for step, which in ((-1, "next"), (1, "previous")):
        moved = np.roll(e.amax, step)
        yield "scale.neighbour", f"the scale is taken of the {which} block's amax", _scales(e, moved)
    both = np.maximum(amax, np.roll(amax, 1, axis=1))
    yield "scale.running_amax", "the block maximum is not reset: it includes the previous block's", _scales(e, both)
    running = np.maximum.accumulate(amax, axis=1)
    yield "scale.running_amax", "the block maximum is not reset within a row", _scales(e, running)


def _scales(e: Evidence, amax: NDArray[np.float32]) -> NDArray[np.unsignedinteger]:
    return arithmetic.scales_of(e.spec, np.ascontiguousarray(amax).reshape(-1), e.factors, e.dtype).codes
