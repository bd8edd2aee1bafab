"""Is an estimator unbiased? From sums over draws to the squared bias, its interval and a verdict.

Everything is relative to the energy ||x||^2. With N draws the error of the mean is bias^2 + variance / N, so its plain
square mistakes noise for bias. Products of *different* batches' mean deviations have the bias^2 as their expectation: their
mean U, over all pairs, is the unbiased estimate used here (a U-statistic; it may come out negative). The component of the
bias along x bounds it from below by Cauchy and Schwarz, and shows with far fewer draws.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.stats.draw_statistics import MIN_BATCHES, batch_level

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fp4sim.stats.draw_statistics import DrawStatistics

CONFIDENCE = 0.95
MARGIN = 1e-4  # of the relative bias: a hundredth of a per cent of ||x||

# An estimator without randomness has a variance of zero; this much of its mse is rounding.
_ROUNDING = 1e-12


class Verdict(Enum):
    """What the interval of the relative bias says about a margin."""

    BIASED = "biased"
    UNBIASED = "unbiased"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval; the ends are None where there are too few batches for one."""

    estimate: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Judgement:
    """A verdict in one line. ``draws_needed``: about how many draws would decide, None if decided or not foreseeable."""

    verdict: Verdict
    sentence: str
    draws_needed: int | None = None


@dataclass(frozen=True)
class BiasEstimate:
    """What the draws say about an estimator; a quantity that has no value is None, its reason in ``undefined``.

    ``bias2``: ||E x_hat - x||^2 / ||x||^2, corrected for the variance of the mean. ``relative_bias``: its root, ends clipped
    at 0. ``variance``: of one draw, E||x_hat - E x_hat||^2 / ||x||^2. ``mse``: their sum, E||x_hat - x||^2 / ||x||^2.
    ``alignment``: <E x_hat, x> / <x, x>. ``misalignment``: 1 - E of <x_g, x_hat_g> / <x_g, x_g> over groups g, Quartet's
    1 - E[1/S] (arXiv 2505.14669). ``exact``: all batches are equal, so the bias is known and not estimated.
    """

    draws: int
    batches: int
    elements: int
    exact: bool
    bias2: Interval | None
    relative_bias: Interval | None
    variance: Interval | None
    mse: Interval | None
    alignment: Interval | None
    misalignment: Interval | None
    undefined: Mapping[str, str] = field(default_factory=dict)

    def verdict(self, margin: float = MARGIN) -> Judgement:
        """Judge the relative bias: above ``margin``, below it, or not known from this many draws."""
        if not 0 < margin < math.inf:
            raise UsageError(f"the margin of the relative bias must be a positive number, not {margin}")
        bias = self.relative_bias
        if bias is None:
            return Judgement(Verdict.UNDECIDED, f"undecided: {self.undefined['relative_bias']}")
        if self.batches < MIN_BATCHES or bias.low is None or bias.high is None:
            few = f"undecided: {self.draws} draws make {self.batches} batches, an interval to trust needs {MIN_BATCHES}"
            return Judgement(Verdict.UNDECIDED, few, max(MIN_BATCHES, self._draws_needed(margin) or 0))
        if bias.low > margin:
            amount = f"{bias.estimate:.3g}" + ("" if self.exact else f", at least {bias.low:.3g}")
            return Judgement(Verdict.BIASED, f"biased: the relative bias is {amount}, above the margin of {margin:.3g}")
        if bias.high < margin:
            most = f"unbiased to margin: the relative bias is at most {bias.high:.3g}, below {margin:.3g}"
            return Judgement(Verdict.UNBIASED, most)
        between = f"between {bias.low:.3g} and {bias.high:.3g}, the margin is {margin:.3g}"
        needed = self._draws_needed(margin)
        more = f"; about {needed:,} draws would decide" if needed else ""
        return Judgement(Verdict.UNDECIDED, f"undecided: the relative bias is {between}{more}", needed)

    def _draws_needed(self, margin: float) -> int | None:
        """Draws at which twice the interval's half-width, room for the estimate's own noise, fits beside the margin.

        Around a bias of zero the half-width of bias^2 falls as 1/N. Around a bias that is seen it falls as 1/sqrt(N).
        """
        found = self.bias2
        if found is None or found.low is None or found.high is None or found.high == found.low:
            return None
        half = found.estimate - found.low
        gap = abs(found.estimate - margin**2)
        ratio = 2 * half / margin**2
        if found.low > 0:
            ratio = (2 * half / gap) ** 2 if gap else math.inf
        return max(self.draws + 1, math.ceil(self.draws * ratio)) if math.isfinite(ratio) else None


@dataclass(frozen=True)
class ConcentrationPoint:
    """The error of the mean of ``draws`` draws over the energy, as the mean of ``groups`` such means."""

    draws: int
    error: float
    standard_error: float | None
    groups: int


@dataclass(frozen=True)
class Concentration:
    """How the error of a mean falls with its draws, and the fit floor + slope / N: bias^2 and the variance of a draw."""

    points: tuple[ConcentrationPoint, ...]
    floor: float | None
    slope: float | None

    def fit(self, draws: int) -> float | None:
        """The expected relative error of the mean of ``draws`` draws."""
        return None if self.floor is None or self.slope is None else self.floor + self.slope / draws


def estimate_bias(statistics: DrawStatistics) -> BiasEstimate:
    """Estimate bias and variance over all zones of the statistics (``statistics.zone(z)`` picks one)."""
    s = statistics.total()
    energy, batches = float(s.energy[0]), s.batches
    names = ("bias2", "relative_bias", "variance", "mse", "alignment", "misalignment")
    values: dict[str, Interval] = {}
    undefined: dict[str, str] = {}
    exact = batches > 1 and bool((s.gram[0] == s.gram[0, 0, 0]).all())
    if not (math.isfinite(energy) and np.isfinite(s.square).all() and np.isfinite(s.gram).all()):
        undefined = dict.fromkeys(names, "not finite: the data or the draws hold NaN or Inf")
    elif energy == 0:
        undefined = dict.fromkeys(names, "x is all zero" if s.elements[0] else "no elements")
    else:
        values["alignment"] = _of_batches(1.0 + s.along[0] / energy)
        squares = s.batch_square[0] / (s.batch_draws * energy)
        mse = float(s.square[0]) / (s.draws * energy)
        values["mse"] = _of_batches(squares, mse)
        if s.groups:
            values["misalignment"] = _of_batches(1.0 - s.misaligned / s.groups)
        else:
            undefined["misalignment"] = "not kept by zone"
        if batches > 1:
            values |= _bias_and_variance(s, squares, mse, exact=exact)
            values["relative_bias"] = _at_least(values["relative_bias"], _shrinkage(s.along[0] / energy))
        else:
            undefined |= dict.fromkeys(names[:3], "one draw does not tell bias from variance")
    fields = {name: values.get(name) for name in names}
    return BiasEstimate(s.draws, batches, int(s.elements[0]), exact, **fields, undefined=undefined)


def concentration(statistics: DrawStatistics) -> Concentration:
    """The error of the mean of N = 4^L draws over the energy, all zones; no points where there is no energy."""
    s = statistics.total()
    energy, estimate = float(s.energy[0]), estimate_bias(s)
    if estimate.mse is None:
        return Concentration((), None, None)
    points = []
    for level, curve in enumerate(s.curve):
        errors = curve[:, 0] / energy
        spread = float(errors.std(ddof=1)) / math.sqrt(errors.size) if errors.size > 1 else None
        points.append(ConcentrationPoint(4**level, float(errors.mean()), spread, errors.size))
    floor = estimate.bias2.estimate if estimate.bias2 else None
    return Concentration(tuple(points), floor, estimate.variance.estimate if estimate.variance else None)


def mean_of_pairs(gram: NDArray[np.float64]) -> tuple[float, float | None]:
    """U, the mean of the off-diagonal entries of a Gram matrix (B, B), and the variance of U, None if B < 4.

    The unbiased estimate of Var U is U^2 - mean of G_ab G_cd over disjoint pairs {a, b}, {c, d}. It does not change when a
    constant is taken from G, so U is: then only sums of rows and of squares remain, and nothing cancels.

    Without bias U is degenerate: its pairs are uncorrelated and its variance is that of a pair over the number of pairs,
    2 var(G_ab) / (B (B - 1)). That is the floor: the unbiased estimate scatters about it and may be negative, and the
    jackknife, which sees rows as independent, would be twice as large.
    """
    count = gram.shape[0]
    pairs = count * (count - 1)  # ordered
    off = ~np.eye(count, dtype=bool)
    first = float(gram[0, 1])
    u = first + float((gram - first)[off].sum()) / pairs
    if count < 4:
        return u, None
    centred = np.where(off, gram - u, 0.0)
    squares, rows = float((centred**2).sum()), float((centred.sum(axis=1) ** 2).sum())
    unbiased = (4 * rows - 2 * squares) / (pairs * (count - 2) * (count - 3))
    degenerate = 2 * squares / (pairs - 2) / pairs
    return u, max(unbiased, degenerate)


def _bias_and_variance(
    s: DrawStatistics, squares: NDArray[np.float64], mse: float, *, exact: bool
) -> dict[str, Interval]:
    """The quantities made of products of batches; ``squares``: (B,), each batch's relative mean square."""
    gram = s.gram[0] / float(s.energy[0])
    batches = s.batches
    u, spread = mean_of_pairs(gram)
    if exact:
        # Not from the Gram matrix, whose rows are rounded to float32.
        u, spread = float(s.curve[batch_level(s.draws)][0, 0]) / float(s.energy[0]), 0.0
    half = None if spread is None else t_quantile(batches - 1) * math.sqrt(spread)
    # A square is not negative: where U fell below zero by chance, its interval must not follow it there.
    bias2 = Interval(u, None if half is None else u - half, None if half is None else max(u, 0.0) + half)
    # To first order in the batches, U is its mean plus twice the scatter of the rows' means.
    rows = (gram.sum(axis=1) - np.diagonal(gram)) / (batches - 1)
    variance = mse - u
    if exact and abs(variance) <= _ROUNDING * mse:
        variance = 0.0
    return {
        "bias2": bias2,
        "relative_bias": Interval(_root(u), *(None if end is None else _root(end) for end in (bias2.low, bias2.high))),
        "variance": _of_batches(squares - 2 * rows, variance),
    }


def _of_batches(values: NDArray[np.float64], estimate: float | None = None) -> Interval:
    """The mean of values (B,), or the given estimate, with a t interval from the values' scatter."""
    count = values.size
    moved = values - values[0]  # equal values scatter by exactly 0
    if estimate is None:
        estimate = float(values[0] + moved.mean())
    if count < 2:
        return Interval(estimate, None, None)
    half = t_quantile(count - 1) * float(moved.std(ddof=1)) / math.sqrt(count)
    return Interval(estimate, estimate - half, estimate + half)


def _shrinkage(along: NDArray[np.float64]) -> float:
    """A lower bound of the relative bias: its component along x, |alignment - 1|, which far fewer draws show.

    One-sided at half of the error probability, because U's own lower end may err with the other half.
    """
    if along.size < MIN_BATCHES:
        return 0.0
    half = t_quantile(along.size - 1, (1 + CONFIDENCE) / 2) * float(along.std(ddof=1)) / math.sqrt(along.size)
    return max(0.0, abs(float(along.mean())) - half)


def _at_least(bias: Interval, bound: float) -> Interval:
    """An interval whose estimate and ends are not below a bound."""
    if bias.low is None or bias.high is None or bound <= bias.low:
        return bias
    return Interval(max(bias.estimate, bound), bound, max(bias.high, bound))


def t_quantile(degrees: int, confidence: float = CONFIDENCE) -> float:
    """The two-sided quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.5 + confidence / 2))


def _root(square: float) -> float:
    return math.sqrt(max(square, 0.0))
