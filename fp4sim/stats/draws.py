"""What repeated draws of an estimator accumulate: squared deviations, batch means and the norms of means of 4^L draws.

A draw's deviation is d = float64(x_hat) - float64(x), exact unless their exponents are more than 29 apart. Deviations go
up a counter to base 4: level L holds the sum of the current group of 4^L draws; four full groups make one of the next
level. So the norm of the mean over 1, 4, 16, … draws is known for every group of that many (the concentration curve), and
N draws need about log4(N) arrays. Groups of one level are also the *batches*, 16 to 63 of them (fewer draws than 16: one
each), whose means are kept: their Gram matrix is what an unbiased estimate of the squared bias and its interval are made
of (:mod:`fp4sim.stats.bias`).

A tensor is worked through cell by cell, every cell with all draws; statistics of cells merge with ``+``, in the order of
the cells. The order of sums within a cell is stated in :mod:`fp4sim.stats.draw_kernels`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.stats.draw_kernels import add_draw, close_batch, gram, group_energies, merge_group, unit_zones

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T", np.float32, np.uint8)

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


class DrawSums:
    """Accumulates the draws of one cell; not for several threads at once, but different cells' are independent.

    ``x``: float32 (n,), kept, not copied. ``draws``: how many times :meth:`add` will be called. ``zones``: uint8 (n,) below
    ``zone_count``, or None: one zone (Z = 1, whatever ``zone_count`` says). ``group``: elements a group of the misalignment;
    the last may be short. Memory: 8 * (log4(draws) + 1) + 4 * B bytes an element, up to 252 of them for the batches.
    """

    def __init__(
        self,
        x: NDArray[np.float32],
        draws: int,
        *,
        zones: NDArray[np.uint8] | None = None,
        zone_count: int = len(ZONES),
        group: int = 128,
    ) -> None:
        if draws < 1 or group < 1:
            raise UsageError(f"{draws} draws in groups of {group} elements: both must be at least 1")
        self._x = _checked(x, np.float32, "x", x.size)
        self._zone_count = 1 if zones is None else zone_count
        if zones is None:
            self._zones = np.zeros(x.size, np.uint8)
        else:
            self._zones = _checked(zones, np.uint8, "zones", x.size)
            if not 1 <= zone_count < 255 or (x.size and int(zones.max()) >= zone_count):
                raise UsageError(f"zones must be below zone_count, here {zone_count}, and that below 255")
        self._units = unit_zones(self._zones)
        self._draws, self._added, self._group = draws, 0, group
        self._batch_level = batch_level(draws)
        levels = 0
        while 4 ** (levels + 1) <= draws:
            levels += 1
        # Level 0 needs a sum of its own only where a single draw is a batch; the last is for what never fills a group.
        self._sums = [np.empty(x.size if level else 0) for level in range(levels + 2)]
        self._curve = [np.empty((draws // 4**level, self._zone_count)) for level in range(levels + 1)]
        self._prepare_batches()

    def _prepare_batches(self) -> None:
        x, batches = self._x, self._draws // 4**self._batch_level
        self._means = np.empty((batches, x.size), np.float32)
        self._along, self._misaligned = np.empty((batches, self._zone_count)), np.empty(batches)
        self._inverse = np.empty(-(-x.size // self._group))
        group_energies(x, self._group, self._inverse)
        energetic = self._inverse > 0
        self._groups = int(np.count_nonzero(energetic))
        np.divide(1.0, self._inverse, out=self._inverse, where=energetic)
        self._energy = np.empty(self._zone_count)
        merge_group(x.astype(np.float64), True, self._sums[1], self._units, self._zones, self._energy)
        # Means are stored in units of a power of two near max |x|, so that float32 loses nothing of a tiny tensor.
        amax = float(np.abs(x).max(initial=0))
        self._unit = math.ldexp(1.0, math.frexp(amax)[1]) if 0 < amax < math.inf else 1.0

    def add(self, xhat: NDArray[np.float32]) -> None:
        """Take the next draw: float32 (n,)."""
        if self._added == self._draws:
            raise UsageError(f"all {self._draws} draws have been added")
        draw = _checked(xhat, np.float32, "a draw", self._x.size)
        first = self._added % 4 == 0
        add_draw(self._x, draw, first, self._sums[1], self._units, self._zones, self._curve[0][self._added])
        if self._batch_level == 0:
            with np.errstate(invalid="ignore"):
                deviation = np.subtract(draw, self._x, dtype=np.float64)
            self._close_batch(deviation, self._added)
        self._added += 1
        level, groups = 1, self._added
        while groups % 4 == 0:
            groups //= 4
            self._merge(level, groups - 1)
            level += 1

    def _merge(self, level: int, index: int) -> None:
        """Record group ``index`` of a level, now full, and add it to the next level."""
        norms, total = self._curve[level][index], self._sums[level]
        if level == self._batch_level:
            self._close_batch(total, index)
        merge_group(total, index % 4 == 0, self._sums[level + 1], self._units, self._zones, norms)
        norms *= 16.0**-level  # of the mean, not the sum: exact

    def _close_batch(self, total: NDArray[np.float64], index: int) -> None:
        scale, inverse, along = 4.0**-self._batch_level, self._inverse, self._along[index]
        means = (self._group, inverse, self._units, self._zones, self._means[index], along)
        self._misaligned[index] = self._groups + close_batch(self._x, total, scale, 1.0 / self._unit, *means)

    def result(self) -> DrawStatistics:
        """The statistics, once every draw has been added."""
        self._require_all()
        batches, square = self._misaligned.size, self._unit * self._unit
        grams = np.empty((self._zone_count, batches, batches))
        for zone in range(self._zone_count):
            inside = self._zones == zone
            gram(self._means if inside.all() else np.ascontiguousarray(self._means[:, inside]), grams[zone])
        return DrawStatistics(
            draws=self._draws,
            batch_draws=4**self._batch_level,
            elements=np.bincount(self._zones, minlength=self._zone_count).astype(np.float64),
            energy=self._energy,
            square=self._curve[0].sum(axis=0),
            gram=grams * square,
            along=np.ascontiguousarray(self._along.T),
            curve=tuple(self._curve),
            misaligned=self._misaligned,
            groups=self._groups,
        )

    def mean(self) -> NDArray[np.float64]:
        """The mean deviation of every element over all draws: float64 (n,)."""
        self._require_all()
        total = np.zeros(self._x.size)
        for level in range(1, len(self._sums)):
            if self._draws // 4 ** (level - 1) % 4:  # else it is empty, or has been merged
                total += self._sums[level]
        return total / self._draws

    def _require_all(self) -> None:
        if self._added < self._draws:
            raise UsageError(f"only {self._added} of {self._draws} draws have been added")


def _checked(array: NDArray[T], dtype: type[T], name: str, size: int) -> NDArray[T]:
    if array.dtype != dtype or array.shape != (size,) or not array.flags.c_contiguous:
        given = f"{'' if array.flags.c_contiguous else 'strided '}{array.dtype} of {array.shape}"
        raise UsageError(f"{name} must be a C-contiguous {np.dtype(dtype).name} array of ({size},), not {given}")
    return array
