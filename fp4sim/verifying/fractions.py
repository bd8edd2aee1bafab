"""Where scaled values lie between two codes: the code below, and the exact position above it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.floats import FloatFormat


def neighbours(
    scaled: NDArray[np.float32], fmt: FloatFormat
) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.bool_]]:
    """The magnitude code at or below |scaled|, the position in [0, 1) to the next one, and what exceeds the maximum."""
    grid = fmt.magnitudes()
    with np.errstate(invalid="ignore"):
        size = np.abs(np.nan_to_num(scaled.astype(np.float64), nan=grid[-1], posinf=2 * grid[-1], neginf=2 * grid[-1]))
    low = np.minimum(np.searchsorted(grid, size, side="right") - 1, grid.size - 1)
    gap = np.append(np.diff(grid), 1.0)[low]
    fraction = np.where(low == grid.size - 1, 0.0, (size - grid[low]) / gap)
    return low.astype(np.uint8), fraction, size > grid[-1]
