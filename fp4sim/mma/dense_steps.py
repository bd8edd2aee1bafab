"""Steps of dense instructions, one product a group, in NumPy's 64-bit integers: many outputs at once and nothing compiled.

The rule is that of :mod:`fp4sim.kernels.reference.mma`, for models of groups of 1 that keep at most 40 bits; and results may
keep fewer bits than float32 does, as Hopper's FP8 instructions are reported to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.floats import FloatFormat
    from fp4sim.mma.model import Cut, MmaModel

MOST_BITS = 40
_NONE = -(1 << 20)

Ints = "NDArray[np.int64]"


@dataclass(frozen=True)
class Rival:
    """A model of a dense instruction, and the mantissa bits that its results keep."""

    model: MmaModel
    result_bits: int = 23


def dense_steps(
    a: NDArray[Any], b: NDArray[Any], c: NDArray[np.uint32], fmt: FloatFormat, rival: Rival
) -> NDArray[np.uint32]:
    """Bits of c[i] + a[i] . b[i] for finite codes (n, k) and finite C (n,), by steps of the model's length."""
    model, length = rival.model, a.shape[1]
    (sig_a, exp_a), (sig_b, exp_b) = (_decode(x, fmt, model) for x in (a, b))
    products, exponents = sig_a * sig_b, exp_a + exp_b
    step = model.step_length(length, length)
    d = c.copy()
    for start in range(0, length, step):
        part = slice(start, start + step)
        d = _step(products[:, part], exponents[:, part], 2 * fmt.mantissa_bits, d, rival)
    return d


def _decode(codes: NDArray[Any], fmt: FloatFormat, model: MmaModel) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Signed significands in units of 2^(exponent - mantissa_bits), and exponents."""
    words, bits = codes.astype(np.int64), fmt.mantissa_bits
    field, mantissa = words >> bits & ((1 << fmt.exponent_bits) - 1), words & ((1 << bits) - 1)
    significand = mantissa + np.where(field > 0, 1 << bits, 0)
    exponent = np.maximum(field, 1) - fmt.bias
    if model.elements == "normalised":
        lead = np.where(significand > 0, np.frexp(significand.astype(np.float64))[1] - 1, bits)
        significand, exponent = significand << (bits - lead), exponent - (bits - lead)
    sign = words >> (bits + fmt.exponent_bits) & 1
    return np.where(sign == 1, -significand, significand), exponent


def _step(
    products: NDArray[np.int64], exponents: NDArray[np.int64], unit: int, c: NDArray[np.uint32], rival: Rival
) -> NDArray[np.uint32]:
    model = rival.model
    fraction, window, floor = int(model.fraction or MOST_BITS), int(model.window_c or MOST_BITS), model.floor
    after = model.c_place == "after"
    c_value, c_exponent = _split(np.zeros_like(c) if after else c)
    anchors = np.where(products != 0, exponents, _NONE).max(axis=1) - fraction
    own = np.where(c_value != 0, c_exponent - window, _NONE if floor is None else floor - fraction)
    quantum = np.maximum(np.maximum(anchors, own), -400)
    total = _cut(c_value, c_exponent - 23 - quantum, model.align)
    total = total + _cut(products, exponents - unit - quantum[:, None], model.align).sum(axis=1)
    bits = _to_float(total, quantum, model.dot if after else model.result, rival.result_bits)
    return _add(bits, c, model.result) if after else bits


def _split(bits: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    words = bits.astype(np.int64)
    field = words >> 23 & 0xFF
    value = (words & 0x7FFFFF) + np.where(field > 0, 1 << 23, 0)
    return np.where(words >> 31 == 1, -value, value), np.maximum(field, 1) - 127


def _cut(value: NDArray[np.int64], shift: NDArray[np.int64], cut: Cut) -> NDArray[np.int64]:
    """``value * 2^shift`` as an integer."""
    left, drop = np.clip(shift, 0, MOST_BITS), np.clip(-shift, 0, 62)
    if cut == "floor":
        return np.where(shift >= 0, value << left, value >> drop)
    magnitude = np.abs(value)
    kept, rest = magnitude >> drop, magnitude & ((np.int64(1) << drop) - 1)
    half = np.where(drop > 0, np.int64(1) << np.maximum(drop - 1, 0), np.int64(1) << 62)
    if cut == "rne":
        kept = kept + ((rest > half) | ((rest == half) & (kept & 1 == 1)))
    elif cut == "rna":
        kept = kept + (rest >= half)
    return np.where(shift >= 0, value << left, np.where(value < 0, -kept, kept))


def _to_float(total: NDArray[np.int64], quantum: NDArray[np.int64], cut: Cut, bits: int) -> NDArray[np.uint32]:
    """Bits of ``total * 2^quantum`` with ``bits`` mantissa bits; zero is +0 and too large is infinite."""
    lead = np.frexp(total.astype(np.float64))[1] - 1 + quantum
    target = np.maximum(lead - bits, -149)
    kept = _cut(total, quantum - target, cut)
    with np.errstate(over="ignore"):
        value = np.ldexp(kept.astype(np.float64), target).astype(np.float32)
    return (value + np.float32(0)).view(np.uint32)


def _add(dot: NDArray[np.uint32], c: NDArray[np.uint32], cut: Cut) -> NDArray[np.uint32]:
    """float32 sums rounded once, to nearest even or toward zero: by way of a double rounded to odd."""
    x, y = (bits.view(np.float32).astype(np.float64) for bits in (dot, c))
    total = x + y
    error = (x - (total - (total - x))) + (y - (total - x))
    raw = total.view(np.int64)
    toward = np.where((error > 0) == (total > 0), 0, -1)
    odd = np.where((error != 0) & (raw & 1 == 0), np.where(toward == 0, raw | 1, (raw - 1) | 1), raw)
    if cut == "rz":
        odd = odd & ~np.int64((1 << 29) - 1)
    with np.errstate(over="ignore"):
        return (odd.view(np.float64).astype(np.float32) + np.float32(0)).view(np.uint32)
