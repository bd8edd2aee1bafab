"""How far a chain of matrix steps may lie from the exact sum: cut addends and rounded results, step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.mma.block_scaled import read_operands
from fp4sim.mma.instances import model_named
from fp4sim.mma.proof import SIGNIFICAND, Bounds, bounds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.mma.model import MmaModel
    from fp4sim.mma.operands import Factors

_LEAST_EXPONENT = -126
_DOUBLES = 2.0**-40  # of the sum of norms: more than float64 loses of a prefix
_VALUE_ANCHOR = 14  # bits by which the leading bit of 64 products may lie above their scales' exponent


def error_bound(
    a_packed: NDArray[np.uint8],
    b_packed: NDArray[np.uint8],
    c: NDArray[np.float32] | NDArray[np.uint32],
    a_scale: NDArray[np.uint8],
    b_scale: NDArray[np.uint8],
    *,
    scale_format: str,
    block: int,
    model: str | MmaModel = "blackwell",
) -> NDArray[np.float64]:
    """At least |D - (A Bᵀ + C)| of :func:`fp4sim.mma.block_scaled_mma` as one chain, of the shape of C.

    A step loses less than a quantum, 2^(anchor - F), of each group and of C, and less than an ulp of its result (half where a
    model rounds to nearest); under ``blackwell`` that is 5 * 2^(anchor - 35) and an ulp, always toward zero. Nothing where
    the quantum divides all addends and the result has at most 24 bits, so that a bound of 0 is a proof. Anchors and
    results are bounded from the exact prefixes and the rows' largest exponents.

    Infinite where the result may overflow; NaN where a NaN scale byte or a C that is not finite makes the question void.

    Raises:
        UsageError as :func:`fp4sim.mma.block_scaled_mma` does.
    """
    rule = model_named(model)
    a, b, words = read_operands(a_packed, b_packed, c, a_scale, b_scale, scale_format, block, rule)
    start = words.view(np.float32).astype(np.float64)
    with np.errstate(all="ignore"):
        out = _chain(a, b, start, rule)
    void = a.nan[:, :, None] | b.nan[:, None, :] | ~np.isfinite(start)
    return np.where(void, np.nan, out).reshape(np.shape(c))


@dataclass(eq=False)
class _State:
    """What is known after some steps; arrays (batch, m, n)."""

    prefix: NDArray[np.float64]  # the exact sum, up to ``slack``
    slack: NDArray[np.float64]
    error: NDArray[np.float64]


def _chain(a: Factors, b: Factors, c: NDArray[np.float64], model: MmaModel) -> NDArray[np.float64]:
    (left,), (right,) = bounds(a, model, [a.step]), bounds(b, model, [b.step])
    state = _State(c.copy(), np.abs(c) * _DOUBLES, np.zeros(c.shape))
    for number in range(left.own.shape[-1]):
        _step(state, _products(a, b, number), left, right, number, c, model, a.step // model.group)
    return np.where(np.abs(state.prefix) + state.slack + state.error >= 2.0**128, np.inf, state.error)


def _products(a: Factors, b: Factors, number: int) -> NDArray[np.float64]:
    """Sums of a step's products."""
    x, y = (_doubles(part.steps(slice(number, number + 1))) for part in (a, b))
    return np.asarray(x @ y.swapaxes(1, 2))


def _doubles(x: Factors) -> NDArray[np.float64]:
    exponent = x.scale_exponent.astype(np.int64) - x.unit + (x.exponent if x.atom == 1 else 0)
    scale = np.ldexp(x.scale.astype(np.float64), exponent)
    elements = x.significand.reshape(*scale.shape, x.atom) * scale[..., None]
    return np.asarray(elements.reshape(x.significand.shape))


def _step(
    state: _State, dot: NDArray[np.float64], left: Bounds, right: Bounds, number: int,
    c: NDArray[np.float64], model: MmaModel, groups: int,
) -> None:  # fmt: skip
    """Take a state through a step."""
    before = np.abs(state.prefix) + state.slack + state.error
    norms = left.norm[:, :, None, number] * right.norm[:, None, :, number]
    top = left.top[:, :, None, number].astype(np.int64) + right.top[:, None, :, number]
    unit = np.ldexp(1.0, left.unit[:, :, None, number] + right.unit[:, None, :, number])
    whole = np.trunc(c / unit) * unit == c  # then so are all accumulators
    quantum = _quantum(before, top, model)
    cut = np.where(whole & (quantum <= unit), 0.0, (groups + 1) * quantum)
    state.prefix, state.slack = state.prefix + dot, state.slack + norms * _DOUBLES
    lost = cut + model.flushes * 2.0**_LEAST_EXPONENT
    if model.c_place == "after":
        lost += _rounded(np.abs(dot) + norms * _DOUBLES + cut, unit, whole & (cut == 0), model.dot)
    size = np.abs(state.prefix) + state.slack + state.error + lost
    state.error = state.error + lost + _rounded(size, unit, whole & (cut == 0), model.result)


def _quantum(accumulator: NDArray[np.float64], top: NDArray[np.int64], model: MmaModel) -> NDArray[np.float64]:
    """At least the quantum of a step, 0 where nothing is aligned; ``accumulator`` bounds C's magnitude."""
    if model.fraction is None or model.window_c is None:
        return np.zeros(accumulator.shape)
    groups = top + (_VALUE_ANCHOR if model.anchor == "value" else 0) - model.fraction
    own = np.where(accumulator > 0, np.maximum(_exponent(accumulator), _LEAST_EXPONENT) - model.window_c, -1000)
    floor = -1000 if model.floor is None else model.floor - model.fraction
    return np.ldexp(1.0, np.maximum(np.maximum(groups, own), max(floor, -1000)))


def _rounded(
    size: NDArray[np.float64], unit: NDArray[np.float64], whole: NDArray[np.bool_], cut: str
) -> NDArray[np.float64]:
    """At least what rounding a number of at most ``size`` to float32 loses; nothing of few whole units."""
    ulp = np.ldexp(1.0, np.maximum(_exponent(size), _LEAST_EXPONENT) - (SIGNIFICAND - 1))
    exact = whole & (size <= 2.0**SIGNIFICAND * unit) & (unit >= 2.0**-149)
    return np.where(exact, 0.0, ulp / 2 if cut in ("rne", "rna") else ulp)


def _exponent(x: NDArray[np.float64]) -> NDArray[np.int64]:
    """floor(log2 x) of positive numbers; little for 0."""
    return np.where(x > 0, np.frexp(x)[1].astype(np.int64) - 1, -1000)
