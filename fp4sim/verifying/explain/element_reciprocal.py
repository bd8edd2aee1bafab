"""An approximate reciprocal: the factor on x is off by a few ulp, the same for every block with the same scale."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.verifying import arithmetic
from fp4sim.verifying.explain.hypothesis import Hypothesis
from fp4sim.verifying.explain.scale_math import is_float_scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.verifying.explain.evidence import Evidence

_ULPS = (0, 1, -1, 2, -2)


def propose(e: Evidence) -> Iterator[Hypothesis]:
    """One offset in ulp for each scale code, where there is one tensor scale."""
    if e.codes is None or not is_float_scale(e) or e.want_scales.itemsize > 1 or np.unique(e.encode).size != 1:
        return
    scales = e.want_scales if e.scales is None else e.scales
    wrong = np.stack([(_codes(e, np.int64(ulp)) != e.codes).sum(axis=1) for ulp in _ULPS])
    size = int(scales.max()) + 1
    per_scale = np.stack([np.bincount(scales, weights=row, minlength=size) for row in wrong])
    offset = np.array(_ULPS)[per_scale.argmin(axis=0)]
    if not offset.any():
        return

    def predict(e: Evidence) -> NDArray[np.unsignedinteger]:
        scales = e.want_scales if e.scales is None else e.scales
        return _codes(e, offset[np.minimum(scales, size - 1)])

    sentence = "the factor on x is off by one or two ulp for some scales: an approximate reciprocal (fast math)"
    yield Hypothesis("code.approximate_reciprocal", sentence, predict, loose=True)


def _codes(e: Evidence, ulps: NDArray[np.int64] | np.int64) -> NDArray[np.unsignedinteger]:
    bits = np.ascontiguousarray(e.factor).view(np.int32).astype(np.int64)
    usable = np.isfinite(e.factor) & (e.factor > np.finfo(np.float32).tiny * 4) & (e.factor < 1e38)
    moved = np.where(usable, bits + ulps, bits).astype(np.int32).view(np.float32)
    return arithmetic.encode(e.start, moved, arithmetic.cast_of(e.spec))
