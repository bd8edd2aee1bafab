"""The chi-square test of stochastic rounding: right probabilities pass, wrong ones and wrong bits do not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from fp4sim.errors import UsageError
from fp4sim.stats.chi_square import random_bits_used, rounding_test

REPETITIONS = 200
MOST_MISSES = int(stats.binom.ppf(0.999, REPETITIONS, 0.05))


def counts(fraction: np.ndarray, trials: int, bits: int, rng: np.random.Generator) -> np.ndarray:
    return rng.binomial(trials, np.floor(fraction * 2**bits) / 2**bits)


def test_chi_square_against_scipy() -> None:
    rng = np.random.default_rng(3)
    fraction = rng.uniform(0.1, 0.9, 50)
    up = counts(fraction, 400, 8, rng)
    p = np.floor(fraction * 256) / 256
    tables = [stats.chisquare([u, 400 - u], [400 * q, 400 * (1 - q)]).statistic for u, q in zip(up, p, strict=True)]
    found = rounding_test(up, 400, fraction, 8)
    assert (found.degrees, found.reason) == (50, None)
    assert found.statistic == pytest.approx(sum(tables), rel=1e-12)
    assert found.p_value == pytest.approx(stats.chi2.sf(sum(tables), 50), rel=1e-9)
    assert found == rounding_test(up, np.full(50, 400), fraction, 8)


@pytest.mark.parametrize("trials", [12, 400])
def test_chi_square_holds_its_level(trials: int) -> None:
    rng = np.random.default_rng(trials)
    p_values = []
    for _ in range(REPETITIONS):
        fraction = rng.random(300)
        p_values.append(rounding_test(counts(fraction, trials, 32, rng), trials, fraction, 32).p_value)
    assert sum(p < 0.05 for p in p_values) <= MOST_MISSES
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3
    wrong = np.full(300, 0.5 + 0.4 / math.sqrt(trials))  # a noncentrality of 0.6 a cell: 8 standard deviations
    wrong = rounding_test(counts(np.full(300, 0.5), trials, 32, rng), trials, wrong, 32)
    assert wrong.p_value < 1e-3


def test_small_cells_are_pooled() -> None:
    fraction = np.array([0.5, 1 / 64, 1 / 64, 1 / 64, 63 / 64, 1 / 64])
    up, trials = np.array([60, 5, 0, 1, 95, 2]), np.array([100, 128, 128, 128, 100, 64])
    found = rounding_test(up, trials, fraction, 6)
    small = (up - trials * fraction)[1:4].sum() + (95 - 100 * 63 / 64), (128 * 3 + 100) / 64 * 63 / 64
    pool = (small[0] + 2 - 1) ** 2 / (small[1] + 63 / 64)
    assert found.degrees == 2
    assert found.statistic == pytest.approx((60 - 50) ** 2 / 25 + pool, rel=1e-12)
    none = rounding_test(up[1:2], trials[1:2], fraction[1:2], 6)
    assert (none.p_value, none.degrees) == (None, 0)
    assert "no cell" in none.reason


def test_certain_cells_must_be_exact() -> None:
    fraction, trials = np.array([0.0, 1.0, 0.01, 0.5]), 1000
    assert rounding_test(np.array([0, 1000, 0, 500]), trials, fraction, 4).p_value == 1
    for up in ([1, 1000, 0, 500], [0, 999, 0, 500], [0, 1000, 10, 500]):
        found = rounding_test(np.array(up), trials, fraction, 4)
        assert (found.p_value, found.statistic) == (0, math.inf)
        assert "go up with 4 random bits" in found.reason


def test_random_bits_used() -> None:
    rng = np.random.default_rng(6)
    fraction = rng.random(2000)
    for bits in (1, 4, 6):
        assert random_bits_used(counts(fraction, 4096, bits, rng), 4096, fraction) == (bits,)
    assert random_bits_used(counts(fraction, 4096, 32, rng), 4096, fraction)[-1] == 32
    coarse = np.floor(fraction * 8) / 8
    assert random_bits_used(counts(coarse, 4096, 32, rng), 4096, coarse) == (*range(3, 17), 32)


def test_chi_square_refuses_nonsense() -> None:
    half = np.array([0.5])
    for up, trials, fraction, bits in [
        (np.array([5]), 4, half, 8),
        (np.array([-1]), 4, half, 8),
        (np.array([1]), 4, np.array([np.nan]), 8),
        (np.array([1]), 4, half, 0),
        (np.array([1, 2]), 4, half, 8),
    ]:
        with pytest.raises(UsageError):
            rounding_test(up, trials, fraction, bits)
