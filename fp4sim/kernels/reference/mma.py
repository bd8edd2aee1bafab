"""The definition of a matrix step: Python integers, one output at a time.

A number is ``significand * 2^exponent`` with an integer significand of any size, so nothing is lost before a model says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fp4sim.mma.model import Cut, MmaModel
    from fp4sim.mma.operands import Factors

NAN, INF, SIGN = 0x7FFFFFFF, 0x7F800000, 0x80000000


@dataclass(frozen=True)
class Term:
    """The exact sum of some products under one scale: its value, the exponent it anchors at, and whether it does."""

    significand: int
    unit: int  # the value is significand * 2^unit
    exponent: int
    anchors: bool


def multiply(a: Factors, b: Factors, c: NDArray[np.uint32], model: MmaModel) -> NDArray[np.uint32]:
    """D of shape (batch, m, n), as float32 bits, from C of the same shape."""
    out = np.empty_like(c)
    for place in np.ndindex(c.shape):
        batch, row, column = place
        out[place] = _chain(_terms(a, (batch, row), b, (batch, column), model), int(c[place]), model)
        if a.nan[batch, row] or b.nan[batch, column]:
            out[place] = NAN
    return out


def add(x: NDArray[np.uint32], y: NDArray[np.uint32], plain: MmaModel) -> NDArray[np.uint32]:
    """Float32 bits of sums, rounded to nearest even; a NaN has the bits of NAN. ``plain``: a model that keeps subnormals."""
    words = [_add(*pair, plain) for pair in zip(x.ravel().tolist(), y.ravel().tolist(), strict=True)]
    return np.array(words, np.uint32).reshape(x.shape)


def _add(x: int, y: int, plain: MmaModel) -> int:
    infinite = [word for word in (x, y) if word & ~SIGN == INF]
    if max(x & ~SIGN, y & ~SIGN) > INF or len(set(infinite)) == 2:
        return NAN
    if infinite:
        return infinite[0]
    if x == y == SIGN:
        return SIGN
    (left, unit, _), (right, other, _) = _split(x, plain), _split(y, plain)
    least = min(unit, other)
    return _to_float32((left << unit - least) + (right << other - least), least, "rne", plain)


def _terms(
    a: Factors, row: tuple[int, int], b: Factors, column: tuple[int, int], model: MmaModel
) -> list[list[list[Term]]]:
    """The terms of one output: steps of groups of terms."""
    products = a.significand[row].astype(np.int64) * b.significand[column]
    atoms = products.reshape(-1, a.atom)
    scales = a.scale[row].astype(np.int64) * b.scale[column]
    exponents = a.scale_exponent[row].astype(np.int64) + b.scale_exponent[column]
    if a.atom == 1:
        exponents = exponents + a.exponent[row] + b.exponent[column]
    nonzero = (atoms != 0).any(axis=1)
    dots = atoms.sum(axis=1)
    anchors = {
        "products": nonzero & (scales != 0),
        "dots": (dots != 0) & (scales != 0),
        "scales": scales != 0,
        "any-scale": nonzero,
    }[model.anchoring]
    unit = a.unit + b.unit
    rows = zip((dots * scales).tolist(), exponents.tolist(), anchors.tolist(), strict=True)
    terms = [Term(value, exponent - unit, exponent, flag) for value, exponent, flag in rows]
    group, step = max(1, model.group // a.atom), a.step // a.atom
    return [
        [terms[first : first + group] for first in range(start, start + step, group)]
        for start in range(0, len(terms), step)
    ]


def _chain(steps: Sequence[Sequence[Sequence[Term]]], c: int, model: MmaModel) -> int:
    """The bits of D after all steps."""
    for groups in steps:
        if c & ~SIGN >= INF:
            return c if c & ~SIGN == INF else NAN
        c = _step(groups, c, model)
    return c if c & ~SIGN <= INF else NAN


def _step(groups: Sequence[Sequence[Term]], c: int, model: MmaModel) -> int:
    if model.c_place == "fused":
        return _to_float32(*_aligned_sum(groups, c, model), model.result, model)
    dot = _to_float32(*_aligned_sum(groups, 0, model), model.dot, model)
    if dot & ~SIGN == INF:
        return dot
    value, unit, _ = _split(dot, model)
    c_value, c_unit, _ = _split(c, model)
    least = min(unit, c_unit)
    return _to_float32((value << unit - least) + (c_value << c_unit - least), least, model.result, model)


def _aligned_sum(groups: Sequence[Sequence[Term]], c: int, model: MmaModel) -> tuple[int, int]:
    """The sum of the cut addends as significand and unit."""
    c_value, c_unit, c_exponent = _split(c, model)
    addends = [*map(_exact_sum, groups), (c_value, c_unit)]
    if model.fraction is not None and model.window_c is not None:
        quanta = [exponent - model.fraction for exponent in _anchors(groups, model)]
        if c_value:
            quanta.append(c_exponent - model.window_c)
        elif model.floor is not None:
            quanta.append(model.floor - model.fraction)
        if quanta:
            quantum = max(quanta)
            addends = [(_cut(value, unit, quantum, model.align), quantum) for value, unit in addends]
    least = min(unit for _, unit in addends)
    return sum(value << unit - least for value, unit in addends), least


def _anchors(groups: Sequence[Sequence[Term]], model: MmaModel) -> list[int]:
    """The exponents that groups anchor at."""
    if model.anchor == "exponent":
        return [term.exponent for group in groups for term in group if term.anchors]
    return [_leading(value, unit) for value, unit in map(_exact_sum, groups) if value]


def _exact_sum(group: Sequence[Term]) -> tuple[int, int]:
    least = min(term.unit for term in group)
    return sum(term.significand << term.unit - least for term in group), least


def _leading(value: int, unit: int) -> int:
    """The exponent of the leading bit."""
    return abs(value).bit_length() - 1 + unit


def _split(bits: int, model: MmaModel) -> tuple[int, int, int]:
    """Signed significand, unit and anchoring exponent of a finite float32."""
    field, mantissa = bits >> 23 & 0xFF, bits & 0x7FFFFF
    magnitude = mantissa | (1 << 23 if field else 0)
    if not field and model.subnormal_c == "flushed":
        magnitude = 0
    exponent = max(field, 1) - 127
    if not field and magnitude and model.subnormal_c == "normalised":
        exponent = _leading(magnitude, -149)
    return -magnitude if bits & SIGN else magnitude, max(field, 1) - 150, exponent


def _cut(value: int, unit: int, quantum: int, cut: Cut) -> int:
    """``value * 2^unit`` as a whole number of 2^quantum."""
    drop = quantum - unit
    if drop <= 0:
        return value << -drop
    if cut == "floor":
        return value >> drop
    magnitude, rest = abs(value) >> drop, abs(value) & ((1 << drop) - 1)
    half = 1 << (drop - 1)
    away = cut != "rz" and (rest > half or (rest == half and (cut == "rna" or magnitude & 1 == 1)))
    return (magnitude + away) * (-1 if value < 0 else 1)


def _to_float32(value: int, unit: int, cut: Cut, model: MmaModel) -> int:
    """Bits of ``value * 2^unit`` cut to float32; zero is +0 and too large is infinite, whatever the cut."""
    if value == 0:
        return 0
    sign = SIGN if value < 0 else 0
    quantum = max(_leading(value, unit) - 23, -149)
    significand = abs(_cut(value, unit, quantum, cut))
    if significand == 0:
        return sign if model.negative_zero else 0
    if significand >> 24:
        significand, quantum = significand >> 1, quantum + 1
    if significand >> 23 == 0:
        return 0 if model.flush_result else sign | significand
    return sign | (min(quantum + 150, 255) << 23 | significand & 0x7FFFFF if quantum + 150 < 255 else INF)
