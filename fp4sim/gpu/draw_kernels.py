"""The passes over draws of :mod:`fp4sim.stats.draw_kernels` on the GPU, with the same names and arguments.

Elementwise arithmetic is the same to the bit. Sums are taken by halving, filled up with zeros to a power of two: a fixed
order, whatever the GPU, though not the CPU's, so they agree to rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fp4sim.kernels.cuda import load
from fp4sim.kernels.cuda.arrays import on_host, zeros

__all__ = ["add_draw", "arrays", "close_batch", "gram", "group_energies", "merge_group", "on_host", "unit_zones"]


def arrays() -> Any:
    """The library whose arrays these functions take."""
    return load.get_cupy()


def unit_zones(zones: Any) -> Any:
    """Nothing that is needed here: whether all elements are in zone 0."""
    return not bool(zones.any())


def add_draw(x: Any, draw: Any, first: bool, total: Any, units: Any, zones: Any, out: Any) -> None:
    """Add the deviation draw - x to ``total`` and write its squared norm by zone to ``out``."""
    deviation = draw.astype(np.float64) - x
    total[...] = deviation if first else total + deviation
    _by_zone(deviation * deviation, units, zones, out)


def merge_group(group: Any, first: bool, total: Any, units: Any, zones: Any, out: Any) -> None:
    """Add ``group`` to ``total`` and write the squared norm of ``group`` by zone to ``out``."""
    total[...] = group if first else total + group
    _by_zone(group * group, units, zones, out)


def close_batch(
    x: Any, total: Any, scale: float, step: float, group: int, inverse: Any, units: Any, zones: Any, mean: Any, out: Any
) -> Any:
    """Write the mean of a batch and its products with x by zone; the sum over groups of <x, mean> * inverse."""
    exact = total * scale
    mean[...] = (exact * step).astype(np.float32)
    products = x.astype(np.float64) * exact
    _by_zone(products, units, zones, out)
    return _halved(_groups(products, group) * inverse)


def group_energies(x: Any, group: int, out: Any) -> None:
    """Write the sum of x^2 of every ``group`` elements; the last group may be short."""
    wide = x.astype(np.float64)
    out[...] = _groups(wide * wide, group)


def gram(rows: Any, out: Any) -> None:
    """Write <rows_a, rows_b>: rows float32 (B, n), out float64 (B, B), symmetric; equal rows give equal entries."""
    wide = rows.astype(np.float64)
    for a in range(rows.shape[0]):
        products = _halved(wide[: a + 1] * wide[a])
        out[a, : a + 1] = products
        out[: a + 1, a] = products


def _by_zone(values: Any, one_zone: bool, zones: Any, out: Any) -> None:
    out[...] = 0
    for zone in range(1 if one_zone else out.size):
        out[zone] = _halved(values if one_zone else np.where(zones == zone, values, 0.0))


def _groups(values: Any, group: int) -> Any:
    """Sums of each ``group`` of consecutive values."""
    count = -(-values.size // group)
    whole = zeros((count * group,), np.float64)
    whole[: values.size] = values
    return _halved(whole.reshape(count, group))


def _halved(values: Any) -> Any:
    """Sums of the last axis."""
    size = values.shape[-1]
    half = 1 << (max(size, 1) - 1).bit_length()
    if half == size:
        total = values
    else:
        total = zeros((*values.shape[:-1], half), np.float64)
        total[..., :size] = values
    while half > 1:
        half //= 2
        total = total[..., :half] + total[..., half:]
    return total[..., 0]
