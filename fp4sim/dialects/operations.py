"""The formulas that dialects are made of, each a function with its text, so that two dialects share or exchange them.

A amax of the tensor-scale group, a of the block, F the bound on block scales, v what amax maps to in the element, c = fl(1/v),
s the block scale after its cast; every operation is rounded to float32 in the order written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from fp4sim.dialects.base import TensorFactors
from fp4sim.dialects.target import FLT_MAX, Target
from fp4sim.rcp import approximate_reciprocal

if TYPE_CHECKING:
    from numpy.typing import NDArray

ONE = np.float32(1)


@dataclass(frozen=True)
class TensorRule:
    """The factors of tensor-scale groups from their amax. ``divisor``: libraries store its reciprocal."""

    text: str
    run: Callable[[Target, NDArray[np.float32]], TensorFactors]
    divisor: bool = False


@dataclass(frozen=True)
class ScaleRule:
    """The block scale before its cast."""

    text: str
    run: Callable[[Target, NDArray[np.float32], TensorFactors], NDArray[np.float32]]


@dataclass(frozen=True)
class FactorRule:
    """What x is multiplied by (``divides``: divided by), from the block scale's value.

    ``before``: x is multiplied by the tensor's encode factor first, in an operation of its own.
    """

    text: str
    run: Callable[[NDArray[np.float32], TensorFactors], NDArray[np.float32]]
    divides: bool = False
    before: bool = False


@dataclass(frozen=True)
class TwoScales:
    """Four over six: the block scale that maps amax to 6 and the one that maps it to 4, before their casts.

    ``order``: how errors are compared, see :mod:`fp4sim.kernels.reference.choose`.
    """

    six: ScaleRule
    four: ScaleRule
    order: Literal["exact", "product"] = "exact"


def flushed(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Subnormals as zeros of their sign (-ftz=true)."""
    return np.where(np.abs(x) < np.float32(2.0**-126), np.copysign(np.float32(0), x), x)


def element_max(target: Target) -> np.float32:
    """v as float32."""
    return np.float32(target.element_max)


# --- Tensor scales ----------------------------------------------------------------------------------------------------


def given(stored: NDArray[np.float32]) -> TensorFactors:
    """A decode multiplier that the caller fixed."""
    with np.errstate(all="ignore"):
        return TensorFactors(np.fmin(ONE / stored, FLT_MAX), stored, stored)


def _te(target: Target, amax: NDArray[np.float32]) -> TensorFactors:
    encode = np.asarray(np.fmin(target.reach / amax, FLT_MAX), np.float32)
    encode = np.where((amax == 0) | (encode == 0), ONE, encode)
    stored = np.where(amax == 0, ONE, amax / target.reach)
    return TensorFactors(encode, np.asarray(ONE / encode, np.float32), stored)


def _multiplier(target: Target, amax: NDArray[np.float32]) -> TensorFactors:
    p = np.asarray(amax / target.reach, np.float32)
    return TensorFactors(np.asarray(ONE / p), p, p)


def _divisor(target: Target, amax: NDArray[np.float32]) -> TensorFactors:
    g = np.where(amax == 0, ONE, target.reach / amax)
    decode = np.asarray(ONE / g, np.float32)
    return TensorFactors(g, decode, decode)


TE_TENSOR = TensorRule("S = min((F·v)/A, FLT_MAX), 1 if A = 0", _te)
MULTIPLIER = TensorRule("p = A/(F·v)", _multiplier)
DIVISOR = TensorRule("g = (F·v)/A, 1 if A = 0", _divisor, divisor=True)


# --- Block scales -----------------------------------------------------------------------------------------------------


def _te_scale(target: Target, amax: NDArray[np.float32], factors: TensorFactors) -> NDArray[np.float32]:
    return np.asarray(np.fmin(amax * (factors.encode * target.inverse), FLT_MAX))


def _quotient(target: Target, amax: NDArray[np.float32], factors: TensorFactors) -> NDArray[np.float32]:
    return np.asarray(amax / element_max(target) / factors.decode)


def _approximate(target: Target, amax: NDArray[np.float32], factors: TensorFactors) -> NDArray[np.float32]:
    return np.asarray(factors.encode * (amax * approximate_reciprocal(element_max(target))))


def _inverse(target: Target, amax: NDArray[np.float32], factors: TensorFactors) -> NDArray[np.float32]:
    return np.asarray(factors.encode * (amax * target.inverse))


def _divided_first(target: Target, amax: NDArray[np.float32], factors: TensorFactors) -> NDArray[np.float32]:
    return np.asarray(amax / element_max(target) * factors.encode)


def _two(ratio: float) -> Callable[[Target, NDArray[np.float32], TensorFactors], NDArray[np.float32]]:
    """(a/v)·g times 1 or 1.5, at most FLT_MAX."""

    def run(target: Target, amax: NDArray[np.float32], factors: TensorFactors) -> NDArray[np.float32]:
        return np.asarray(np.fmin(_divided_first(target, amax, factors) * np.float32(ratio), FLT_MAX))

    return run


def _quotient_of_four(target: Target, amax: NDArray[np.float32], factors: TensorFactors) -> NDArray[np.float32]:
    return np.asarray(amax / element_max(target) * np.float32(1.5) / factors.decode)


TE_SCALE = ScaleRule("min(a·(S·c), FLT_MAX)", _te_scale)
QUOTIENT = ScaleRule("(a/v)/p", _quotient)
APPROXIMATE = ScaleRule("g·(a·r(v))", _approximate)
INVERSE = ScaleRule("g·(a·c)", _inverse)
DIVIDED_FIRST = ScaleRule("(a/v)·g", _divided_first)
TWO_BY_PRODUCT = TwoScales(ScaleRule("(a/v)·g", _two(1)), ScaleRule("((a/v)·g)·1.5", _two(1.5)))
TWO_BY_QUOTIENT = TwoScales(QUOTIENT, ScaleRule("((a/v)·1.5)/p", _quotient_of_four), "product")


# --- Factors of elements ----------------------------------------------------------------------------------------------


def _te_factor(value: NDArray[np.float32], factors: TensorFactors) -> NDArray[np.float32]:
    return np.asarray(np.fmin(ONE / (value * factors.decode), FLT_MAX))


def _approximate_factor(value: NDArray[np.float32], factors: TensorFactors) -> NDArray[np.float32]:
    return approximate_reciprocal(np.asarray(value * approximate_reciprocal(factors.encode)))


def _product(value: NDArray[np.float32], factors: TensorFactors) -> NDArray[np.float32]:
    return np.asarray(value * factors.decode)


TE_FACTOR = FactorRule("x·min(1/(s·(1/S)), FLT_MAX)", _te_factor)
APPROXIMATE_FACTOR = FactorRule("x·r(s·r(g))", _approximate_factor)
PRODUCT = FactorRule("x/(s·p)", _product, divides=True)
