"""What repeated draws of an estimator accumulate: squared deviations, batch means and the norms of means of 4^L draws.

A draw's deviation is d = float64(x_hat) - float64(x), exact unless their exponents are more than 29 apart. Deviations go
up a counter to base 4: level L holds the sum of the current group of 4^L draws; four full groups make one of the next
level. So the norm of the mean over 1, 4, 16, … draws is known for every group of that many (the concentration curve), and
N draws need about log4(N) arrays. Groups of one level are also the *batches*, 16 to 63 of them (fewer draws than 16: one
each), whose means are kept: their Gram matrix is what an unbiased estimate of the squared bias and its interval are made
of (:mod:`fp4sim.stats.bias`).

A tensor is worked through cell by cell, every cell with all draws; statistics of cells merge with ``+``, in the order of
the cells. The order of sums within a cell is stated in :mod:`fp4sim.stats.draw_kernels`; on a GPU
:mod:`fp4sim.gpu.draw_kernels` adds the same terms.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.stats.draw_statistics import ZONES, DrawStatistics, batch_level

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T", np.float32, np.uint8)


class DrawSums:
    """Accumulates the draws of one cell; not for several threads at once, but different cells' are independent.

    ``x``: float32 (n,), kept, not copied. ``draws``: how many times :meth:`add` will be called. ``zones``: uint8 (n,) below
    ``zone_count``, or None: one zone (Z = 1, whatever ``zone_count`` says). ``group``: elements a group of the misalignment;
    the last may be short. ``kernels``: the module whose passes are used, with arrays of its own kind for x, zones and draws;
    None is the compiled :mod:`fp4sim.stats.draw_kernels`. Memory: 8 * (log4(draws) + 1) + 4 * B bytes an element, up to
    252 of them for the batches.
    """

    def __init__(
        self,
        x: NDArray[np.float32],
        draws: int,
        *,
        zones: NDArray[np.uint8] | None = None,
        zone_count: int = len(ZONES),
        group: int = 128,
        kernels: Any = None,
    ) -> None:
        if draws < 1 or group < 1:
            raise UsageError(f"{draws} draws in groups of {group} elements: both must be at least 1")
        self._run = _compiled() if kernels is None else kernels
        self._arrays = self._run.arrays()
        self._x = _checked(x, np.float32, "x", x.size)
        self._zone_count = 1 if zones is None else zone_count
        if zones is None:
            self._zones = self._arrays.zeros(x.size, np.uint8)
        else:
            self._zones = _checked(zones, np.uint8, "zones", x.size)
            if not 1 <= zone_count < 255 or (x.size and int(zones.max()) >= zone_count):
                raise UsageError(f"zones must be below zone_count, here {zone_count}, and that below 255")
        self._units = self._run.unit_zones(self._zones)
        self._draws, self._added, self._group = draws, 0, group
        self._batch_level = batch_level(draws)
        levels = 0
        while 4 ** (levels + 1) <= draws:
            levels += 1
        # Level 0 needs a sum of its own only where a single draw is a batch; the last is for what never fills a group.
        self._sums = [self._arrays.empty(x.size if level else 0) for level in range(levels + 2)]
        self._curve = [self._arrays.empty((draws // 4**level, self._zone_count)) for level in range(levels + 1)]
        self._prepare_batches()

    def _prepare_batches(self) -> None:
        x, empty, batches = self._x, self._arrays.empty, self._draws // 4**self._batch_level
        self._means = empty((batches, x.size), np.float32)
        self._along, self._misaligned = empty((batches, self._zone_count)), empty(batches)
        energies = empty(-(-x.size // self._group))
        self._run.group_energies(x, self._group, energies)
        energetic = energies > 0
        self._groups = int(energetic.sum())
        self._inverse = np.where(energetic, 1.0 / np.where(energetic, energies, 1.0), 0.0)
        self._energy = empty(self._zone_count)
        self._run.merge_group(x.astype(np.float64), True, self._sums[1], self._units, self._zones, self._energy)
        # Means are stored in units of a power of two near max |x|, so that float32 loses nothing of a tiny tensor.
        amax = float(np.abs(x).max()) if x.size else 0.0
        self._unit = math.ldexp(1.0, math.frexp(amax)[1]) if 0 < amax < math.inf else 1.0

    def add(self, xhat: NDArray[np.float32]) -> None:
        """Take the next draw: float32 (n,)."""
        if self._added == self._draws:
            raise UsageError(f"all {self._draws} draws have been added")
        draw = _checked(xhat, np.float32, "a draw", self._x.size)
        first = self._added % 4 == 0
        self._run.add_draw(self._x, draw, first, self._sums[1], self._units, self._zones, self._curve[0][self._added])
        if self._batch_level == 0:
            with np.errstate(invalid="ignore"):
                deviation = draw.astype(np.float64) - self._x
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
        self._run.merge_group(total, index % 4 == 0, self._sums[level + 1], self._units, self._zones, norms)
        norms[...] = norms * 16.0**-level  # of the mean, not the sum: exact

    def _close_batch(self, total: NDArray[np.float64], index: int) -> None:
        scale, inverse, along = 4.0**-self._batch_level, self._inverse, self._along[index]
        means = (self._group, inverse, self._units, self._zones, self._means[index], along)
        self._misaligned[index] = self._groups + self._run.close_batch(self._x, total, scale, 1.0 / self._unit, *means)

    def result(self) -> DrawStatistics:
        """The statistics, once every draw has been added."""
        self._require_all()
        batches, square, host = self._misaligned.size, self._unit * self._unit, self._run.on_host
        zones = host(self._zones)
        grams = self._arrays.empty((self._zone_count, batches, batches))
        for zone in range(self._zone_count):
            inside = self._zones == zone
            self._run.gram(self._means if bool(inside.all()) else self._means[:, inside].copy(order="C"), grams[zone])
        curve = tuple(map(host, self._curve))
        return DrawStatistics(
            draws=self._draws,
            batch_draws=4**self._batch_level,
            elements=np.bincount(zones, minlength=self._zone_count).astype(np.float64),
            energy=host(self._energy),
            square=curve[0].sum(axis=0),
            gram=host(grams) * square,
            along=np.ascontiguousarray(host(self._along).T),
            curve=curve,
            misaligned=host(self._misaligned),
            groups=self._groups,
        )

    def mean(self) -> NDArray[np.float64]:
        """The mean deviation of every element over all draws: float64 (n,)."""
        self._require_all()
        total = self._arrays.zeros(self._x.size)
        for level in range(1, len(self._sums)):
            if self._draws // 4 ** (level - 1) % 4:  # else it is empty, or has been merged
                total += self._sums[level]
        return np.asarray(self._run.on_host(total)) / self._draws

    def _require_all(self) -> None:
        if self._added < self._draws:
            raise UsageError(f"only {self._added} of {self._draws} draws have been added")


def _compiled() -> Any:
    from fp4sim.stats import draw_kernels

    return draw_kernels


def _checked(array: NDArray[T], dtype: type[T], name: str, size: int) -> NDArray[T]:
    if array.dtype != dtype or array.shape != (size,) or not array.flags.c_contiguous:
        given = f"{'' if array.flags.c_contiguous else 'strided '}{array.dtype} of {array.shape}"
        raise UsageError(f"{name} must be a C-contiguous {np.dtype(dtype).name} array of ({size},), not {given}")
    return array
