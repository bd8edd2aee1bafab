"""The inner products of scaled elements with themselves and with their codes' values, as EDEN's correction needs them.

Every product is exact in float64. The sums have one order: sixteen lanes (columns j, j + 16, j + 32, ... of the group, in
turn), then the lanes are added by halving (lane i with i + 8, then 4, 2, 1). Groups shorter than 16 are filled with zeros.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.kernels.reference.blocks import expand
from fp4sim.kernels.reference.encode import decode
from fp4sim.stats.sums import LANES, merge_lanes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.kernels.interface import ElementCast


def products(
    x: NDArray[np.float32],
    codes: NDArray[np.uint8],
    factor: NDArray[np.float32],
    tile: tuple[int, int],
    cast: ElementCast,
    group: int,
) -> NDArray[np.float64]:
    """See :meth:`fp4sim.kernels.interface.Kernels.products`."""
    scale = expand(factor, tile)
    with np.errstate(all="ignore"):
        scaled = np.asarray(x / scale if cast.divides else x * scale, np.float32).astype(np.float64)
        return np.stack([lane_sums(scaled * scaled, group), lane_sums(scaled * decode(codes, cast.fmt), group)])


def lane_sums(terms: NDArray[np.float64], group: int) -> NDArray[np.float64]:
    """Sums of each ``group`` of columns, (rows, cols/group), in the order stated above."""
    groups = terms.reshape(terms.shape[0], -1, group)
    padded = np.zeros((*groups.shape[:2], -(-group // LANES) * LANES))
    padded[..., :group] = groups
    lanes = padded.reshape(*groups.shape[:2], -1, LANES)
    return merge_lanes(np.cumsum(lanes, axis=2)[:, :, -1])
