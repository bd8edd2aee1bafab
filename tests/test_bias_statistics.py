"""Statistics over draws: sums against a NumPy twin, and intervals that hold what they promise."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import fields

import numpy as np
import pytest
from scipy import stats

from fp4sim.errors import UsageError
from fp4sim.stats.bias import Interval, Verdict, concentration, estimate_bias, mean_of_pairs
from fp4sim.stats.draw_statistics import DrawStatistics, batch_level
from fp4sim.stats.draws import DrawSums
from fp4sim.stats.sums import merge_lanes

REPETITIONS = 200
MOST_MISSES = int(stats.binom.ppf(0.999, REPETITIONS, 0.05))


def gather(x: np.ndarray, draws: Iterable[np.ndarray], count: int, **options: object) -> DrawStatistics:
    sums = DrawSums(x, count, **options)
    for draw in draws:
        sums.add(draw)
    return sums.result()


def noisy(x: np.ndarray, mean: np.ndarray, scale: float, count: int, rng: np.random.Generator) -> Iterable[np.ndarray]:
    """Draws of mean + noise; the noise's square is scale^2 of x's on average."""
    sigma = np.float32(scale * math.sqrt(np.square(x, dtype=np.float64).mean()))
    return (mean + sigma * rng.standard_normal(x.size, np.float32) for _ in range(count))


def by_lanes(values: np.ndarray, offset: int = 0) -> float:
    """The documented order: lane i % 16 in ascending order, then halving; ``offset`` is the first value's i."""
    padded = np.zeros(-(-(offset + values.size) // 16) * 16)
    padded[offset : offset + values.size] = values
    return float(merge_lanes(np.add.accumulate(padded.reshape(-1, 16))[-1]))


class Twin:
    """DrawStatistics by the book, every draw kept."""

    def __init__(self, x: np.ndarray, draws: np.ndarray, zones: np.ndarray, zone_count: int, group: int) -> None:
        self.wide, self.zones, self.zone_count, self.group = x.astype(np.float64), zones, zone_count, group
        level = [draw.astype(np.float64) - self.wide for draw in draws]
        self.curve, self.groups = [], []
        while level:
            self.groups.append(level)
            size = 16.0 ** -(len(self.groups) - 1)
            self.curve.append(np.array([self.zone_sums(total * total) * size for total in level]))
            quads = (level[i : i + 4] for i in range(0, len(level) // 4 * 4, 4))
            level = [((a + b) + c) + d for a, b, c, d in quads]
        chosen = batch_level(len(draws))
        self.means = [total * 4.0**-chosen for total in self.groups[chosen]]

    def zone_sums(self, values: np.ndarray) -> np.ndarray:
        return np.array([by_lanes(np.where(self.zones == z, values, 0.0)) for z in range(self.zone_count)])

    def along(self) -> np.ndarray:
        return np.array([self.zone_sums(self.wide * mean) for mean in self.means]).T

    def misaligned(self) -> tuple[list[float], int]:
        starts = range(0, self.wide.size, self.group)
        cuts = [(slice(start, start + self.group), start % 16) for start in starts]
        energies = [by_lanes(self.wide[cut] ** 2, offset) for cut, offset in cuts]
        found = []
        for mean in self.means:
            total = 0.0
            for (cut, offset), energy in zip(cuts, energies, strict=True):
                total += by_lanes((self.wide * mean)[cut], offset) * (1 / energy) if energy else 0.0
            found.append(sum(e > 0 for e in energies) + total)
        return found, sum(e > 0 for e in energies)

    def gram(self, zone: int) -> np.ndarray:
        inside = self.zones == zone
        rows = np.array([mean[inside].astype(np.float32) for mean in self.means]).astype(np.float64)
        entries = itertools.product(rows, rows)
        steps = range(0, rows.shape[1], 1024)
        flat = [sum((by_lanes((a * b)[i : i + 1024]) for i in steps), 0.0) for a, b in entries]
        return np.array(flat).reshape(len(rows), -1)


def awkward(n: int, draws: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x with a zero group, draws, and zones: blocks of 16 first, mixed later."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(n).astype(np.float32)
    x[n // 2 : n // 2 + 40] = 0
    zones = np.repeat(rng.integers(0, 3, -(-n // 16)), 16)[:n].astype(np.uint8)
    zones[n - n // 4 :] = rng.integers(0, 3, n // 4)
    return x, (x + rng.standard_normal((draws, n)).astype(np.float32) / 8).astype(np.float32), zones


@pytest.mark.parametrize("n", [1, 15, 2085])
@pytest.mark.parametrize("count", [1, 2, 3, 15, 16, 17, 64, 77])
def test_sums_equal_the_twin_exactly(n: int, count: int) -> None:
    x, draws, zones = awkward(n, count, n + count)
    sums = DrawSums(x, count, zones=zones, group=20)
    for draw in draws:
        sums.add(draw)
    s, twin = sums.result(), Twin(x, draws, zones, 3, 20)
    assert (s.draws, s.batches * s.batch_draws <= count, s.zones) == (count, True, 3)
    assert s.batches == count if count < 64 else 16 <= s.batches <= 63
    np.testing.assert_array_equal(s.elements, np.bincount(zones, minlength=3))
    np.testing.assert_array_equal(s.energy, twin.zone_sums(twin.wide**2))
    assert len(s.curve) == len(twin.curve) == 1 + int(math.log(count, 4) + 1e-9)
    for found, expected in zip(s.curve, twin.curve, strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(s.along, twin.along())
    misaligned, groups = twin.misaligned()
    assert (s.misaligned.tolist(), s.groups) == (misaligned, groups)
    for zone in range(3):
        np.testing.assert_array_equal(s.gram[zone], twin.gram(zone))
    np.testing.assert_allclose(s.square, twin.curve[0].sum(axis=0), rtol=1e-13)
    deviations = draws.astype(np.float64) - x
    np.testing.assert_allclose(sums.mean(), deviations.mean(axis=0), rtol=1e-12, atol=1e-15)
    ratios = [
        sum(xg @ dg / (xg @ xg) for xg, dg in zip(np.split(twin.wide, cut), np.split(d, cut), strict=True) if xg.any())
        for cut in [range(20, n, 20)]
        for d in draws[: s.batch_draws].astype(np.float64)
    ]
    assert s.misaligned[0] == pytest.approx(np.mean(ratios), rel=1e-12)


def test_a_thousand_draws_and_what_is_left_over() -> None:
    x, draws, _ = awkward(300, 1000, 5)
    draws[1000 - 1000 % 16 :] += 100
    s = gather(x, draws, 1000, group=300)
    assert (s.batch_draws, s.batches, [c.shape for c in s.curve]) == (16, 62, [(1000 // 4**k, 1) for k in range(5)])
    d = draws.astype(np.float64) - x
    assert s.square[0] == pytest.approx((d**2).sum(), rel=1e-13)
    means = d[:992].reshape(62, 16, 300).mean(axis=1)
    np.testing.assert_allclose(s.gram[0], means @ means.T, rtol=0, atol=1e-6 * (means**2).sum(axis=1).max())
    np.testing.assert_allclose(s.batch_square[0], (d[:992] ** 2).reshape(62, -1).sum(axis=1), rtol=1e-13)
    alignment = 1 + means @ x.astype(np.float64) / (x.astype(np.float64) @ x)
    np.testing.assert_allclose(1 + s.along[0] / s.energy[0], alignment, rtol=1e-12)
    np.testing.assert_allclose(s.misaligned, alignment, rtol=1e-12)


def test_cells_merge_to_the_whole_and_zones_to_the_total() -> None:
    x, draws, zones = awkward(4096, 70, 9)
    whole = gather(x, draws, 70, zones=zones)
    cut = slice(0, 1024), slice(1024, 3072), slice(3072, 4096)
    parts = [gather(x[c], draws[:, c], 70, zones=zones[c]) for c in cut]
    merged = parts[0] + parts[1] + parts[2]
    for field in fields(DrawStatistics):
        got, expected = getattr(merged, field.name), getattr(whole, field.name)
        for a, b in zip(got, expected, strict=True) if field.name == "curve" else [(got, expected)]:
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12, err_msg=field.name)
    plain = gather(x, draws, 70)
    assert plain.zones == 1
    np.testing.assert_allclose(whole.total().gram, plain.gram, rtol=1e-12, atol=1e-12)
    assert estimate_bias(whole).misalignment == estimate_bias(plain).misalignment
    alone = gather(x[zones == 1], np.ascontiguousarray(draws[:, zones == 1]), 70)
    np.testing.assert_allclose(whole.zone(1).gram, alone.gram, rtol=1e-12, atol=1e-12)
    zone = estimate_bias(whole.zone(1))
    assert zone.bias2.estimate == pytest.approx(estimate_bias(alone).bias2.estimate, rel=1e-9)
    assert (zone.misalignment, zone.undefined["misalignment"]) == (None, "not kept by zone")


def test_a_tiny_tensor_has_the_bias_of_a_large_one() -> None:
    x, draws, _ = awkward(256, 16, 3)
    large = gather(x, draws, 16)
    small = gather(np.ldexp(x, -100), np.ldexp(draws, -100), 16)
    np.testing.assert_array_equal(np.ldexp(small.gram, 200), large.gram)
    subnormal = np.ldexp(np.round(x * 64), -149).astype(np.float32)
    half = gather(subnormal, [subnormal / np.float32(2)] * 16, 16)
    assert estimate_bias(half).alignment.estimate == pytest.approx(0.5, rel=0.01)
    assert half.gram[0, 0, 1] / half.energy[0] == pytest.approx(0.25, rel=0.02)


def test_misuse_is_refused() -> None:
    x = np.ones(32, np.float32)
    sums = DrawSums(x, 2)
    for wrong in (x[:16], x.astype(np.float64), np.ones(64, np.float32)[::2]):
        with pytest.raises(UsageError, match="a draw must be a C-contiguous float32 array"):
            sums.add(wrong)
    sums.add(x)
    with pytest.raises(UsageError, match="only 1 of 2 draws"):
        sums.result()
    sums.add(x)
    with pytest.raises(UsageError, match="all 2 draws"):
        sums.add(x)
    for options in ({"zones": np.full(32, 3, np.uint8)}, {"zones": np.zeros(31, np.uint8)}, {"group": 0}):
        with pytest.raises(UsageError):
            DrawSums(x, 2, **options)
    with pytest.raises(UsageError, match="cannot be merged"):
        sums.result() + gather(x, [x] * 3, 3)
    with pytest.raises(UsageError, match="zone 1 does not exist"):
        sums.result().zone(1)


@pytest.mark.parametrize("count", [4, 5, 9])
@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_variance_of_u_by_brute_force(count: int, offset: float) -> None:
    rng = np.random.default_rng(count)
    m = rng.standard_normal((count, 3)) + offset
    gram = m @ m.T
    pairs = list(itertools.permutations(range(count), 2))
    u = np.mean([gram[p] for p in pairs])
    disjoint = np.mean([gram[p] * gram[q] for p in pairs for q in pairs if not set(p) & set(q)])
    degenerate = np.var([gram[p] for p in pairs if p[0] < p[1]], ddof=1) / math.comb(count, 2)
    found, variance = mean_of_pairs(gram)
    assert found == pytest.approx(u, rel=1e-12)
    assert variance == pytest.approx(max(u * u - disjoint, degenerate), rel=1e-9)


def test_variance_of_u_is_unbiased_where_there_is_bias() -> None:
    rng = np.random.default_rng(11)
    found = [mean_of_pairs(m @ m.T) for m in rng.standard_normal((4000, 8, 4)) + 1.5]
    assert np.mean([v for _, v in found]) == pytest.approx(np.var([u for u, _ in found]), rel=0.1)


def independent(rng: np.random.Generator, n: int) -> Callable[[], np.ndarray]:
    return lambda: np.float32(0.15) * rng.standard_normal(n, np.float32)


def rotated(rng: np.random.Generator, n: int) -> Callable[[], np.ndarray]:
    """Noise of very different sizes, mixed in groups of 128 by one orthogonal matrix with random signs."""
    mix = np.linalg.qr(rng.standard_normal((128, 128)))[0].astype(np.float32)
    sizes = np.exp(1.2 * rng.standard_normal((n // 128, 128))).astype(np.float32)
    sizes *= np.float32(0.15) / np.sqrt(np.square(sizes).mean())
    return lambda: ((sizes * rng.standard_normal(sizes.shape, np.float32)) @ mix).reshape(-1)


def missed(interval: Interval, truth: float) -> bool:
    return not interval.low <= truth <= interval.high


@pytest.mark.parametrize("shape", [independent, rotated])
@pytest.mark.parametrize("bias", [0.0, 0.1])
def test_intervals_cover(shape: Callable[..., Callable[[], np.ndarray]], bias: float) -> None:
    n, count, misses, widths, found = 4096, 64, Counter(), [], []
    for seed in range(REPETITIONS):
        rng = np.random.default_rng([seed, int(bias * 100)])
        x = rng.standard_normal(n).astype(np.float32)
        noise, mean = shape(rng, n), x * np.float32(1 + bias)
        s = gather(x, (mean + noise() for _ in range(count)), count)
        e = estimate_bias(s)
        variance = n * 0.15**2 / s.energy[0]
        truth = {"bias2": bias**2, "relative_bias": bias, "variance": variance, "mse": variance + bias**2}
        truth |= {"alignment": 1 + bias, "misalignment": -bias}
        misses.update(name for name, value in truth.items() if missed(getattr(e, name), value))
        found.append(e.bias2.estimate)
        widths.append((e.bias2.high - e.bias2.low) / 2 / stats.t.ppf(0.975, 15))
        plain = (x.astype(np.float64) @ x) * e.mse.estimate / count / s.energy[0]
        misses["plain"] += plain > bias**2 + (e.bias2.high - e.bias2.low) / 2
    assert max(misses[name] for name in misses if name != "plain") <= MOST_MISSES, misses
    assert misses["bias2"] > 0, "an interval that never misses is too wide"
    assert np.mean(widths) == pytest.approx(np.std(found), rel=0.2)
    assert abs(np.mean(found) - bias**2) < 4 * np.std(found) / math.sqrt(REPETITIONS)
    if bias == 0:
        assert misses["plain"] > MOST_MISSES, "the square of the mean, not corrected, must fail this test"


def test_a_large_bias_does_not_blur_the_variance() -> None:
    rng = np.random.default_rng(8)
    x = rng.standard_normal(4096).astype(np.float32)
    e = estimate_bias(gather(x, noisy(x, x * np.float32(1.5), 0.01, 64, rng), 64))
    assert not missed(e.variance, 1e-4)
    assert e.variance.high - e.variance.low < (e.mse.high - e.mse.low) / 10


def test_power_and_width_are_as_theory_says() -> None:
    """A relative bias of 5e-4, 4,096 draws, a relative variance of 0.02: 4.5 standard errors."""
    n, count, variance, bias = 1 << 14, 4096, 0.02, 5e-4
    rng = np.random.default_rng(1)
    x = rng.standard_normal(n).astype(np.float32)
    direction = rng.standard_normal(n)
    direction *= bias * math.sqrt(x.astype(np.float64) @ x) / math.sqrt(direction @ direction)
    draws = noisy(x, x.astype(np.float64) + direction, math.sqrt(variance), count, rng)
    sums = {size: DrawSums(x, size) for size in (256, 1024, 4096)}
    for k, draw in enumerate(draws):
        for size, one in sums.items():
            if k < size:
                one.add(draw.astype(np.float32))
    for size, one in sums.items():
        e = estimate_bias(one.result())
        theory = math.sqrt(2 * 16 / 15 / n * (variance / size) ** 2 + 4 * bias**2 * variance / n / size)
        assert (e.bias2.estimate - e.bias2.low) / stats.t.ppf(0.975, 15) == pytest.approx(theory, rel=0.25)
        assert not missed(e.bias2, bias**2)
        assert e.verdict().verdict is (Verdict.BIASED if size == 4096 else Verdict.UNDECIDED)
    assert "biased: the relative bias is 0.0005" in e.verdict().sentence
    mean = sums[4096].mean() @ direction / (direction @ direction)
    assert mean == pytest.approx(1, abs=5 * math.sqrt(variance / n / count) / bias)


def test_verdict_foresees_its_draws() -> None:
    rng = np.random.default_rng(4)
    x = rng.standard_normal(2048).astype(np.float32)
    few = estimate_bias(gather(x, noisy(x, x, 0.1, 64, rng), 64)).verdict(2e-3)
    assert few.verdict is Verdict.UNDECIDED
    assert f"about {few.draws_needed:,} draws would decide" in few.sentence
    assert 64 < few.draws_needed < 4000
    many = estimate_bias(gather(x, noisy(x, x, 0.1, few.draws_needed, rng), few.draws_needed)).verdict(2e-3)
    assert (many.verdict, many.draws_needed) == (Verdict.UNBIASED, None)
    assert many.sentence.startswith("unbiased to margin")
    with pytest.raises(UsageError):
        estimate_bias(gather(x, [x] * 16, 16)).verdict(0)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 15])
def test_few_draws_decide_nothing(count: int) -> None:
    rng = np.random.default_rng(count)
    x = rng.standard_normal(1024).astype(np.float32)
    e = estimate_bias(gather(x, noisy(x, x * np.float32(1.5), 0.01, count, rng), count))
    judged = e.verdict()
    assert (judged.verdict, judged.draws_needed is None) == (Verdict.UNDECIDED, count == 1)
    assert e.alignment.estimate == pytest.approx(1.5, rel=0.01)
    if count == 1:
        assert e.bias2 is e.variance is None
        assert judged.sentence == "undecided: one draw does not tell bias from variance"
        assert (e.mse.low, e.mse.high) == (None, None)
    else:
        assert judged.sentence == f"undecided: {count} draws make {count} batches, an interval to trust needs 16"
        assert e.bias2.estimate == pytest.approx(0.25, rel=0.01)
        assert (e.bias2.low is None) == (count < 4)


@pytest.mark.parametrize("count", [2, 16, 17, 64, 1000])
@pytest.mark.parametrize("bias", [0.0, 5e-5, 0.01])
def test_without_randomness_the_bias_is_exact(count: int, bias: float) -> None:
    rng = np.random.default_rng(7)
    x = np.round(rng.standard_normal(500).astype(np.float32), 3)
    draw = x * np.float32(1 + bias)
    e = estimate_bias(gather(x, [draw] * count, count))
    true = float(np.square(draw.astype(np.float64) - x).sum() / np.square(x, dtype=np.float64).sum())
    assert e.exact
    assert e.variance == Interval(0.0, 0.0, 0.0)
    for interval in (e.bias2, e.relative_bias, e.alignment, e.mse, e.misalignment):
        assert interval.low == interval.high == interval.estimate
    assert e.bias2.estimate == pytest.approx(true, rel=1e-12, abs=0)
    expected = Verdict.BIASED if bias > 1e-4 else Verdict.UNBIASED
    assert e.verdict().verdict is (Verdict.UNDECIDED if count < 16 else expected)
    if bias and count >= 16:
        assert e.verdict(2 * e.relative_bias.estimate).verdict is Verdict.UNBIASED
        assert e.verdict(e.relative_bias.estimate).draws_needed is None


def test_draws_that_alternate_are_not_taken_for_constant() -> None:
    x = np.ones(64, np.float32)
    e = estimate_bias(gather(x, [x * np.float32(1 + (-1) ** k / 4) for k in range(64)], 64))
    assert e.exact
    assert (e.bias2.estimate, e.variance.estimate) == (0, 0.0625)


@pytest.mark.parametrize(
    ("x", "draw", "reason"),
    [(0.0, 1.0, "x is all zero"), (1.0, math.nan, "not finite: the data or the draws hold NaN or Inf")],
)
@pytest.mark.parametrize("count", [1, 20])
def test_what_has_no_value_says_why(x: float, draw: float, reason: str, count: int) -> None:
    s = gather(np.full(64, x, np.float32), [np.full(64, draw, np.float32)] * count, count)
    e = estimate_bias(s)
    for name in ("bias2", "relative_bias", "variance", "mse", "alignment", "misalignment"):
        assert (getattr(e, name), e.undefined[name]) == (None, reason)
    assert e.verdict().sentence == f"undecided: {reason}"
    assert concentration(s).points == ()
    assert concentration(s).fit(4) is None


def test_concentration_follows_its_fit() -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal(4096).astype(np.float32)
    curve = concentration(gather(x, noisy(x, x * np.float32(1.02), 0.2, 500, rng), 500))
    assert [(p.draws, p.groups) for p in curve.points] == [(1, 500), (4, 125), (16, 31), (64, 7), (256, 1)]
    assert curve.floor == pytest.approx(4e-4, rel=0.05)
    assert curve.slope == pytest.approx(0.04, rel=0.01)
    for point in curve.points:
        assert point.error == pytest.approx(4e-4 + 0.04 / point.draws, rel=0.1)
        assert abs(point.error - curve.fit(point.draws)) < 5 * (point.standard_error or 0.1 * point.error)
    assert curve.points[-1].standard_error is None
