"""The compiled passes over draws. Each reads its arrays once; :class:`fp4sim.stats.draws.DrawSums` calls them in turn.

The order of every sum by zone is: lane ``i % 16`` of the zone adds its elements i in ascending order, and the lanes are
merged by halving (0+8, 1+9, … then 0+4 …). It depends on nothing but the array, so no machine, thread count or vector
width changes a digit. Elements come in units of 16; where a unit lies in one zone (a block of 16 or 32 has one scale, so
nearly always) it is added as a vector, else element by element, in the same order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.kernels.cpu.jit import inlined, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNIT = 16
MIXED = 255  # the zone of a unit that lies in several

# Elements per step: short enough for the first-level cache, long enough that LLVM's alias checks do not count.
_STEP = 1024
# Columns per step of the Gram matrix: 63 rows of float64 in the second-level cache.
_GRAM_STEP = 1024


def arrays() -> Any:
    """The library whose arrays these kernels take."""
    return np


def on_host(array: NDArray[Any]) -> NDArray[Any]:
    """The array itself."""
    return array


def unit_zones(zones: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The zone of every whole unit of 16 elements, or ``MIXED``: uint8 (n // 16,) of zones uint8 (n,)."""
    units = zones[: zones.size // UNIT * UNIT].reshape(-1, UNIT)
    return np.where((units == units[:, :1]).all(axis=1), units[:, 0], np.uint8(MIXED))


@inlined
def _halve(lanes: Any, base: Any) -> Any:
    """The sum of 16 lanes by halving; destroys them."""
    for half in (8, 4, 2, 1):
        for j in range(half):
            lanes[base + j] += lanes[base + j + half]
    return lanes[base]


@inlined
def _add_lanes(values: Any, start: Any, size: Any, units: Any, zones: Any, lanes: Any) -> None:
    """Add values[:size], which belong to elements start (a multiple of 16) and following, to their zones' lanes."""
    first, whole = start // 16, size // 16
    for unit in range(whole):
        zone = units[first + unit]
        if zone != MIXED:
            for j in range(16):
                lanes[zone * 16 + j] += values[unit * 16 + j]
        else:
            for j in range(unit * 16, unit * 16 + 16):
                lanes[zones[start + j] * 16 + j % 16] += values[j]
    for j in range(whole * 16, size):
        lanes[zones[start + j] * 16 + j % 16] += values[j]


@kernel
def add_draw(x: Any, draw: Any, first: bool, total: Any, units: Any, zones: Any, out: Any) -> None:
    """Add the deviation draw - x to ``total`` and write its squared norm by zone to ``out``.

    x, draw: float32 (n,). total: float64 (n,), overwritten if ``first``. units: :func:`unit_zones`. zones: uint8 (n,).
    out: float64 (Z,).
    """
    squares, lanes = np.empty(_STEP), np.zeros(out.size * 16)
    for start in range(0, x.size, _STEP):
        size = min(_STEP, x.size - start)
        old, new, sums = x[start : start + size], draw[start : start + size], total[start : start + size]
        if first:
            for j in range(size):
                d = np.float64(new[j]) - np.float64(old[j])
                sums[j] = d
                squares[j] = d * d
        else:
            for j in range(size):
                d = np.float64(new[j]) - np.float64(old[j])
                sums[j] += d
                squares[j] = d * d
        _add_lanes(squares, start, size, units, zones, lanes)
    for zone in range(out.size):
        out[zone] = _halve(lanes, zone * 16)


@kernel
def merge_group(group: Any, first: bool, total: Any, units: Any, zones: Any, out: Any) -> None:
    """Add ``group`` to ``total`` and write the squared norm of ``group`` by zone to ``out``.

    group, total: float64 (n,); the rest as in :func:`add_draw`.
    """
    squares, lanes = np.empty(_STEP), np.zeros(out.size * 16)
    for start in range(0, group.size, _STEP):
        size = min(_STEP, group.size - start)
        new, sums = group[start : start + size], total[start : start + size]
        if first:
            for j in range(size):
                sums[j] = new[j]
                squares[j] = new[j] * new[j]
        else:
            for j in range(size):
                sums[j] += new[j]
                squares[j] = new[j] * new[j]
        _add_lanes(squares, start, size, units, zones, lanes)
    for zone in range(out.size):
        out[zone] = _halve(lanes, zone * 16)


@kernel
def close_batch(
    x: Any, total: Any, scale: float, step: float, group: int, inverse: Any, units: Any, zones: Any, mean: Any, out: Any
) -> float:
    """Write the mean of a batch, ``total * scale``, and its products with x.

    x: float32 (n,). total: float64 (n,). mean: float32 (n,), in units of 1/step. out: float64 (Z,), <mean, x> by zone.
    Returns the sum over groups g of <x_g, mean_g> * inverse[g]; a group's products are added in 16 lanes as a zone's
    are, groups in order. ``inverse``: float64, one a group of ``group`` elements.
    """
    products, lanes, part = np.empty(_STEP), np.zeros(out.size * 16), np.zeros(16)
    ratios, index, left = 0.0, 0, group
    for start in range(0, x.size, _STEP):
        size = min(_STEP, x.size - start)
        old, sums, means = x[start : start + size], total[start : start + size], mean[start : start + size]
        for j in range(size):
            m = sums[j] * scale
            means[j] = np.float32(m * step)
            products[j] = np.float64(old[j]) * m
        _add_lanes(products, start, size, units, zones, lanes)
        for j in range(size):
            part[j % 16] += products[j]
            left -= 1
            if left == 0 or start + j + 1 == x.size:
                ratios += _halve(part, 0) * inverse[index]
                part[:] = 0.0
                index, left = index + 1, group
    for zone in range(out.size):
        out[zone] = _halve(lanes, zone * 16)
    return ratios


@kernel
def group_energies(x: Any, group: int, out: Any) -> None:
    """Write the sum of x^2 of every ``group`` elements (the last group may be short), in 16 lanes each."""
    part = np.zeros(16)
    for index in range(out.size):
        part[:] = 0.0
        for i in range(index * group, min(index * group + group, x.size)):
            part[i % 16] += np.float64(x[i]) * np.float64(x[i])
        out[index] = _halve(part, 0)


@kernel
def gram(rows: Any, out: Any) -> None:
    """Write <rows_a, rows_b>: rows float32 (B, n), out float64 (B, B), symmetric.

    Products are added in 16 lanes over 1,024 columns at a time, these sums in order. Equal rows give equal entries, which
    a matrix product of a library does not promise and an estimator without randomness relies on.
    """
    count, n = rows.shape
    wide, lanes = np.zeros((count, _GRAM_STEP)), np.zeros(16)
    out[:] = 0.0
    for start in range(0, n, _GRAM_STEP):
        size = min(_GRAM_STEP, n - start)
        for a in range(count):
            wide[a, :size] = rows[a, start : start + size]
            wide[a, size:] = 0.0
        for a in range(count):
            for b in range(a + 1):
                left, right = wide[a], wide[b]
                lanes[:] = 0.0
                for unit in range(0, size, 16):
                    for j in range(16):
                        lanes[j] += left[unit + j] * right[unit + j]
                out[a, b] += _halve(lanes, 0)
    for a in range(count):
        for b in range(a):
            out[b, a] = out[a, b]
