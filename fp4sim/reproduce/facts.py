"""Figures that no spec string measures: constants by exact integration, vectors bit for bit, small simulations."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.reproduce.model import Measurement

_DIMENSIONS, _STEPS = 1000, 400
_POINTS = 1 << 20  # of an interval


@dataclass(frozen=True)
class Fact:
    """``definition``: in words; ``measure(seed, *arguments)``."""

    definition: str
    measure: Callable[..., Measurement]


def fact(name: str) -> Fact:
    """Look one up. Raises UsageError."""
    if name not in FACTS:
        raise UsageError(f"no fact '{name}'; there are {', '.join(FACTS)}")
    return FACTS[name]


def _optimum(seed: int, name: str) -> Measurement:
    return Measurement(_gaussian(name).largest)


def _optimal_mse(seed: int, name: str) -> Measurement:
    return Measurement(_gaussian(name).mse)


def _gaussian(name: str) -> Any:
    from fp4sim.floats import element_format
    from fp4sim.stats.gaussian import gaussian_optimum

    return gaussian_optimum(element_format(name))


def _dge_vector(seed: int, expected: Sequence[float]) -> Measurement:
    """How many of the released kernel's twenty derivatives come out bit for bit; the second half mirrors the first."""
    import ml_dtypes

    from fp4sim.estimators.dge import derivative_bf16

    x = np.linspace(-6, 6, 20).astype(ml_dtypes.bfloat16)
    found = np.asarray(derivative_bf16(x.astype(np.float64), k=5.0, cap=3.0), np.float64)
    wanted = np.array([*expected, *reversed(expected)]).astype(ml_dtypes.bfloat16).astype(np.float64)
    return Measurement(float((found == wanted).sum()), elements=x.size)


def _slopes(k: float, cap: float) -> tuple[Any, Any]:
    """f' at places of half an interval, denser by v^k towards its singular middle, and the weights of their mean."""
    from fp4sim.estimators.dge import derivative

    v = (np.arange(_POINTS) + 0.5) / _POINTS
    return derivative(0.25 + 0.25 * v**k, k=k, cap=cap), k * v ** (k - 1)  # the interval from 0 to 0.5


def _dge_mean(seed: int, k: float, cap: float) -> Measurement:
    slopes, weights = _slopes(k, cap)
    return Measurement(float((slopes * weights).mean()), elements=_POINTS)


def _dge_capped(seed: int, k: float, cap: float) -> Measurement:
    slopes, weights = _slopes(k, cap)
    return Measurement(100 * float(((slopes >= cap) * weights).mean()), elements=_POINTS)


def _quadratic(seed: int, ratio: float, best_step: bool) -> Measurement:
    """Loss after a step over the loss before, on λ|w|²/2 with gradient noise of ratio·σ_crit = ratio·|g|/√(3d)."""
    rng = np.random.default_rng([seed, _DIMENSIONS])
    w = rng.standard_normal(_DIMENSIONS)
    deviation = ratio * float(np.linalg.norm(w)) / math.sqrt(3 * _DIMENSIONS)
    step = 1 / (1 + ratio**2 / 3) if best_step else 1.0
    noise = deviation * rng.standard_normal((_STEPS, _DIMENSIONS))
    losses = np.square(w - step * (w + noise)).sum(axis=1) / np.square(w).sum()
    return Measurement(
        float(losses.mean()), float(losses.std(ddof=1)) / math.sqrt(_STEPS), draws=_STEPS, elements=_DIMENSIONS
    )


def _ideal_speedup(seed: int, hidden: int, sequence: int) -> Measurement:
    return Measurement((24 * hidden + 5 * sequence + 36) / (6 * hidden + 5 * sequence + 36))


def _mean_of_draws(seed: int, spec: str, place: int, draws: int) -> Measurement:
    """An element of the mean of draws of e0 + 0.1 e1 in 128 values."""
    from fp4sim.drawing import Drawer
    from fp4sim.grammar import parse
    from fp4sim.io.source import ArrayTensor

    x = np.zeros((64, 128), np.float32)
    x[:, 0], x[:, 1] = 1, 0.1
    drawer = Drawer(ArrayTensor("e0 + 0.1 e1", x), parse(spec), seed=seed)
    found = np.stack([drawer.matrix(draw, "input")[:, place] for draw in range(draws)]).astype(np.float64).reshape(-1)
    error = float(found.std(ddof=1)) / math.sqrt(found.size)
    return Measurement(float(found.mean()), error, draws=found.size, elements=128)


FACTS: dict[str, Fact] = {
    "gaussian_optimum": Fact("largest value over σ at which the exact MSE on N(0, 1) is least", _optimum),
    "gaussian_mse": Fact("that least MSE", _optimal_mse),
    "dge_vector": Fact("derivatives in bfloat16 that are equal bit for bit, of 20", _dge_vector),
    "dge_mean": Fact("mean of min(f', cap) over an interval", _dge_mean),
    "dge_capped": Fact("share of an interval at the cap, %", _dge_capped),
    "quadratic": Fact("loss after a step over before, λ|w|²/2, d = 1000, noise k σ_crit", _quadratic),
    "ideal_speedup": Fact("(24h + 5s + 36)/(6h + 5s + 36)", _ideal_speedup),
    "mean_of_draws": Fact("mean of an element over draws of e0 + 0.1 e1 (d = 128)", _mean_of_draws),
}
