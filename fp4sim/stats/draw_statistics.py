"""What repeated draws of an estimator add up to, and how the draws of several cells merge; see :mod:`fp4sim.stats.draws`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Zones of elements, by the scale of their block.
ZONES = ("normal", "subnormal", "zero_scale")
NORMAL, SUBNORMAL, ZERO_SCALE = range(3)

MIN_BATCHES = 16


def batch_level(draws: int) -> int:
    """The level whose groups are the batches: the largest L with 16 * 4^L <= draws, 0 below 16 draws."""
    level = 0
    while MIN_BATCHES * 4 ** (level + 1) <= draws:
        level += 1
    return level


@dataclass(frozen=True)
class DrawStatistics:
    """Sums over the draws for a cell or, merged, a tensor. Z zones, B batches of ``batch_draws`` draws; all float64.

    ``elements``, ``energy``: (Z,), the number of elements and the sum of x^2. ``square``: (Z,), d^2 over all draws, those
    after the last batch too. ``gram``: (Z, B, B), <m_a, m_b> of the batches' mean deviations, which are rounded to
    float32. ``along``: (Z, B), <m_b, x>. ``curve``: one a level L, (N // 4^L, Z), the squared norm of each group's mean.
    ``misaligned``: (B,), the sum over groups g of consecutive elements, those with energy, of a batch's mean
    <x_g, x_hat_g> / <x_g, x_g>; ``groups`` counts them. It does not know zones: statistics of one zone have 0 groups.
    """

    draws: int
    batch_draws: int
    elements: NDArray[np.float64]
    energy: NDArray[np.float64]
    square: NDArray[np.float64]
    gram: NDArray[np.float64]
    along: NDArray[np.float64]
    curve: tuple[NDArray[np.float64], ...]
    misaligned: NDArray[np.float64]
    groups: int

    @property
    def zones(self) -> int:
        """How many zones the arrays have."""
        return self.energy.size

    @property
    def batches(self) -> int:
        """How many batches there are; draws after the last one are in none."""
        return self.misaligned.size

    @property
    def batch_square(self) -> NDArray[np.float64]:
        """(Z, B): the sum of d^2 over the draws of each batch."""
        inside = self.curve[0][: self.batches * self.batch_draws]
        return np.ascontiguousarray(inside.reshape(self.batches, self.batch_draws, self.zones).sum(axis=1).T)

    def __add__(self, other: DrawStatistics) -> DrawStatistics:
        if (self.draws, self.zones) != (other.draws, other.zones):
            sizes = f"{self.draws} draws in {self.zones} zones and {other.draws} draws in {other.zones}"
            raise UsageError(f"statistics of {sizes} cannot be merged: they must agree in both")
        return DrawStatistics(
            self.draws,
            self.batch_draws,
            self.elements + other.elements,
            self.energy + other.energy,
            self.square + other.square,
            self.gram + other.gram,
            self.along + other.along,
            tuple(a + b for a, b in zip(self.curve, other.curve, strict=True)),
            self.misaligned + other.misaligned,
            self.groups + other.groups,
        )

    def zone(self, zone: int) -> DrawStatistics:
        """One zone alone (Z = 1), without misalignment."""
        if not 0 <= zone < self.zones:
            raise UsageError(f"zone {zone} does not exist: there are {self.zones}")
        return self._picked(slice(zone, zone + 1), np.zeros_like(self.misaligned), 0)

    def total(self) -> DrawStatistics:
        """All zones added in order (Z = 1)."""
        result = self._picked(slice(0, 1), self.misaligned, self.groups)
        for zone in range(1, self.zones):
            result = result + self.zone(zone)
        return result

    def _picked(self, keep: slice, misaligned: NDArray[np.float64], groups: int) -> DrawStatistics:
        return DrawStatistics(
            self.draws,
            self.batch_draws,
            self.elements[keep],
            self.energy[keep],
            self.square[keep],
            self.gram[keep],
            self.along[keep],
            tuple(level[:, keep] for level in self.curve),
            misaligned,
            groups,
        )
