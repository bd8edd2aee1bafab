"""The exact mean squared error of a format's grid on N(0, 1), and the largest value at which it is least.

With magnitudes 0 = g0 < g1 < … < gn of a format scaled so that gn = c, and the midpoints between them as thresholds,

    E(x − q)² = 1 − 4 Σ g_i (φ(t_i) − φ(t_i+1)) + 2 Σ g_i² (Φ(t_i+1) − Φ(t_i)),    t_0 = 0, t_n+1 = ∞

over the positive half, by ∫ x φ = −φ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.errors import UsageError

if TYPE_CHECKING:
    from fp4sim.floats import FloatFormat


@dataclass(frozen=True)
class GaussianOptimum:
    """``largest``: the format's largest value in standard deviations; ``mse``: the mean squared error there."""

    largest: float
    mse: float


def gaussian_mse(fmt: FloatFormat, largest: float) -> float:
    """E(x − q)² of x ~ N(0, 1) rounded to the nearest value of ``fmt``, scaled to ``largest`` and saturating there."""
    from scipy.special import ndtr

    if not (fmt.has_zero and 0 < largest < math.inf):
        raise UsageError(
            f"{fmt} at {largest}: the error is defined for formats with a zero and a positive largest value"
        )
    grid = fmt.magnitudes() * (largest / fmt.max)
    edges = np.concatenate([[0.0], (grid[1:] + grid[:-1]) / 2, [np.inf]])
    density = np.exp(-np.square(edges) / 2) / math.sqrt(2 * math.pi)
    moment, mass = -np.diff(density), np.diff(ndtr(edges))
    return float(1 - 4 * (grid * moment).sum() + 2 * (np.square(grid) * mass).sum())


def gaussian_optimum(fmt: FloatFormat) -> GaussianOptimum:
    """The largest value at which :func:`gaussian_mse` is least: scanned, then found by Brent's method."""
    from scipy.optimize import minimize_scalar

    scan = np.geomspace(0.5, 64, 200)
    at = int(np.argmin([gaussian_mse(fmt, float(c)) for c in scan]))
    around = (float(scan[max(at - 1, 0)]), float(scan[min(at + 1, scan.size - 1)]))
    found = minimize_scalar(lambda c: gaussian_mse(fmt, c), bounds=around, method="bounded", options={"xatol": 1e-10})
    return GaussianOptimum(float(found.x), float(found.fun))
