"""Does stochastic rounding go up as often as it should? Counts against the fractional position, by chi-square.

A value at fraction f between two codes goes up with probability f. With b random bits, added below the last bit kept and
carried, it is p = floor(f * 2^b) / 2^b: the bits of f below them have no say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

CANDIDATE_BITS = (*range(1, 17), 32)

# A normal approximation of a count is good from here on: Cochran's rule.
_MIN_EXPECTED = 5.0


@dataclass(frozen=True)
class ChiSquare:
    """A test's outcome. ``p_value`` is 0 where a certain outcome was missed, None where there is nothing to test."""

    statistic: float
    degrees: int
    p_value: float | None
    reason: str | None = None


def carry_probability(fraction: NDArray[np.float64], bits: int) -> NDArray[np.float64]:
    """How often a fraction in [0, 1] goes up with so many random bits: float64, exact, of any shape."""
    return np.ldexp(np.floor(np.ldexp(fraction, bits)), -bits)


def rounding_test(
    up: NDArray[np.integer], trials: NDArray[np.integer] | int, fraction: NDArray[np.float64], bits: int
) -> ChiSquare:
    """Test the counts of going up, (cells,) of (cells,) or equally many trials, against fractions (cells,) and ``bits``.

    Cells are independent and their probabilities known, so each has one degree of freedom. Cells that expect fewer than 5
    ups or downs are pooled in order until a pool's variance is 5; what is left joins the last pool, else the last cell.
    """
    counts, tried = _checked(up, trials, fraction, bits)
    p = carry_probability(fraction, bits)
    certain = (p == 0) | (p == 1)
    missed = certain & (counts != p * tried)
    if missed.any():
        cell = int(np.flatnonzero(missed)[0])
        always = "always" if p[cell] else "never"
        told = f"cell {cell} at fraction {fraction[cell]:.9g} must {always} go up with {bits} random bits"
        went = f"it did {counts[cell]:.0f} times in {tried[cell]:.0f}"
        return ChiSquare(float("inf"), int(np.count_nonzero(~certain)), 0.0, f"{told}, {went}")
    tested = ~certain & (tried > 0)
    expected = (tried * p)[tested]
    difference, variance = _pooled(counts[tested] - expected, expected, (tried * (1 - p))[tested])
    if not variance.size:
        return ChiSquare(0.0, 0, None, "no cell has an uncertain outcome and 5 expected ups and downs, pooled or not")
    from scipy.special import chdtrc

    statistic = float((difference**2 / variance).sum())
    return ChiSquare(statistic, variance.size, float(chdtrc(variance.size, statistic)))


def random_bits_used(
    up: NDArray[np.integer],
    trials: NDArray[np.integer] | int,
    fraction: NDArray[np.float64],
    *,
    least_p: float = 1e-3,
) -> tuple[int, ...]:
    """Which numbers of random bits, of 1 to 16 and 32, the counts are compatible with: p above ``least_p``.

    More bits differ by less: telling b from b + 1 takes about 4^b trials, so with fewer all from some number on remain.
    Numbers that leave nothing to test remain too.
    """
    tests = {bits: rounding_test(up, trials, fraction, bits) for bits in CANDIDATE_BITS}
    return tuple(bits for bits, test in tests.items() if test.p_value is None or test.p_value > least_p)


def _pooled(
    difference: NDArray[np.float64], ups: NDArray[np.float64], downs: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Differences and variances of the large cells, then of the pools of small ones."""
    variance = ups * downs / (ups + downs)
    small = np.minimum(ups, downs) < _MIN_EXPECTED
    differences, variances = difference[~small].tolist(), variance[~small].tolist()
    pool, width = 0.0, 0.0
    for d, v in zip(difference[small].tolist(), variance[small].tolist(), strict=True):
        pool, width = pool + d, width + v
        if width >= _MIN_EXPECTED:
            differences.append(pool)
            variances.append(width)
            pool, width = 0.0, 0.0
    if variances:
        differences[-1] += pool
        variances[-1] += width
    return np.array(differences), np.array(variances)


def _checked(
    up: NDArray[np.integer], trials: NDArray[np.integer] | int, fraction: NDArray[np.float64], bits: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Counts and trials as float64, which holds them exactly below 2^53."""
    tried = np.asarray(trials)
    if up.ndim != 1 or fraction.shape != up.shape or tried.shape not in ((), up.shape):
        shapes = f"{up.shape}, {tried.shape} and {fraction.shape}"
        raise UsageError(f"up, trials and fraction must be one number a cell, not of the shapes {shapes}")
    if not 1 <= bits <= 52:
        raise UsageError(f"{bits} random bits: 1 to 52 can be tested")
    if not ((fraction >= 0) & (fraction <= 1)).all():
        raise UsageError("fractions must lie in [0, 1]")
    if (up < 0).any() or (up > tried).any():
        raise UsageError("a cell cannot go up more often than it was tried, nor less often than never")
    return up.astype(np.float64), np.broadcast_to(tried, up.shape).astype(np.float64)
