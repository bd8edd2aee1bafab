"""Mergeable error sums: what one pass over a tensor accumulates, and the fixed order in which parts are merged.

A panel's rows are cut into units of 32 columns (the last one padded with zeros). Lane j of 16 adds, unit by unit in
row-major order, the sum of the unit's columns j and j + 16. Lanes are merged by halving (0+8, 1+9, … then 0+4 …), panels by
:class:`SumTree`. The order depends on the tensor's shape and block alone, so every backend, thread count and chunking
gives the same float64 digits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LANES = 16

# Rows of the float64 sums: x^2, x*x_hat, x_hat^2, e = x_hat - x, e^2, and e^2 by cause. Causes are exclusive, the first
# that applies: the block scale decodes to zero; |x * factor| exceeds the element's maximum; code 0 for a nonzero x; what
# remains is rounding.
X2, X_XHAT, XHAT2, E, E2, E2_SCALE_ZERO, E2_OVER, E2_FLUSHED = range(8)
# Rows of the counts: elements with x != 0 of each cause.
N_SCALE_ZERO, N_OVER, N_FLUSHED = range(3)
CAUSES = ("scale_zero", "over_maximum", "flushed", "rounding")


@dataclass(frozen=True)
class PanelSums:
    """Sums over one panel or, merged, a tensor.

    ``sums``: float64 (8,), rows as named above (E is the sum of x_hat - x). ``counts``: int64 (3,). ``occupancy``: int64,
    one bin a code (the sign bit apart: -0 is its own bin). ``worst``: the largest |x_hat - x| over its block's amax, and
    ``worst_index``: its flat index in the padded tensor (axis last), -1 if there is none.
    """

    elements: int
    sums: NDArray[np.float64]
    counts: NDArray[np.int64]
    occupancy: NDArray[np.int64]
    worst: float = -1.0
    worst_index: int = -1
    nonfinite: int = 0

    def __add__(self, other: PanelSums) -> PanelSums:
        first = self.worst >= other.worst
        return PanelSums(
            self.elements + other.elements,
            self.sums + other.sums,
            self.counts + other.counts,
            self.occupancy + other.occupancy,
            self.worst if first else other.worst,
            self.worst_index if first else other.worst_index,
            self.nonfinite + other.nonfinite,
        )

    @classmethod
    def from_lanes(
        cls,
        elements: int,
        sums: NDArray[np.float64],
        counts: NDArray[np.integer],
        occupancy: NDArray[np.int64],
        worst: float,
        worst_index: int,
    ) -> PanelSums:
        """Merge lanes: sums (8, 16), counts (3, 16); occupancy (codes,)."""
        return cls(elements, merge_lanes(sums), counts.sum(axis=1, dtype=np.int64), occupancy, worst, worst_index)


def merge_lanes(lanes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Add the last axis (16) by halving."""
    with np.errstate(invalid="ignore"):  # Inf - Inf, where NaN and Inf are let through
        while lanes.shape[-1] > 1:
            half = lanes.shape[-1] // 2
            lanes = lanes[..., :half] + lanes[..., half:]
    return lanes[..., 0]


@dataclass
class SumTree:
    """Adds parts in order as a binary counter does: equal-sized neighbours merge, so the tree is fixed by the count."""

    _levels: list[PanelSums | None] = field(default_factory=list)

    def add(self, part: PanelSums) -> None:
        """Append the next part."""
        for level, waiting in enumerate(self._levels):
            if waiting is None:
                self._levels[level] = part
                return
            part = waiting + part
            self._levels[level] = None
        self._levels.append(part)

    def total(self) -> PanelSums | None:
        """The merged sum, or None if nothing was added."""
        result: PanelSums | None = None
        for waiting in self._levels:
            if waiting is not None:
                result = waiting if result is None else waiting + result
        return result
