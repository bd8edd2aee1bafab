"""Sums of rows in float32, in the order in which PyTorch's CPU adds a contiguous row of up to 512 values.

Columns j, j + m, j + 2m, ... are added in turn into accumulator j of m: 32 from 32 columns on, else 4. The 32 are then joined
by lanes of 8 (accumulators j, j + 8, j + 16, j + 24 in turn), and what is left is added in turn. Rows are filled with zeros
to a multiple of m. Where fp4sim's own sums are float64 this order serves dialects that sum in float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WIDE, _LANES, _NARROW = 32, 8, 4


def row_sums(terms: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums along the last axis, float32."""
    count = terms.shape[-1]
    width = _WIDE if count >= _WIDE else _NARROW
    padded = np.zeros((*terms.shape[:-1], -(-count // width) * width), np.float32)
    padded[..., :count] = terms
    sums = _in_turn(padded.reshape(*terms.shape[:-1], -1, width), -2)
    if width == _WIDE:
        sums = _in_turn(sums.reshape(*terms.shape[:-1], -1, _LANES), -2)
    return _in_turn(sums, -1)


def _in_turn(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """One after the other, in float32."""
    moved = np.moveaxis(values, axis, 0)
    total = moved[0]
    with np.errstate(all="ignore"):
        for value in moved[1:]:
            total = total + value
    return np.asarray(total, np.float32)
