"""Matrix steps of any model, compiled: the integers of :mod:`fp4sim.kernels.reference.mma` as limbs of 32 bits.

An accumulator is int64[LIMBS] in two's complement spread over limbs: limb i counts 2^(BASE + 32 i), and holds carries until it
is settled into a sign and limbs below 2^32. It spans every product of bfloat16 numbers, so nothing is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fp4sim.kernels.cpu.jit import inlined, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.mma.model import MmaModel
    from fp4sim.mma.operands import Factors

LIMBS, BASE = 24, -340
_LOW = 0xFFFFFFFF
_NEVER = -(1 << 20)  # an exponent that anchors nothing
_CUTS = {"rz": 0, "rne": 1, "rna": 2, "floor": 3}
_ANCHORING = {"products": 0, "dots": 1, "scales": 2, "any-scale": 3}


def multiply(a: Factors, b: Factors, c: NDArray[np.uint32], model: MmaModel, rows: slice) -> NDArray[np.uint32]:
    """Rows of D, (batch, rows, n), as float32 bits; rows and columns with a NaN scale are not looked at."""
    out = c[:, rows].copy()
    operand = (a.significand, a.exponent, a.scale, a.scale_exponent)
    arguments: list[Any] = [np.ascontiguousarray(part[:, rows]) for part in operand]
    arguments += [b.significand, b.exponent, b.scale, b.scale_exponent]
    arguments += [a.atom, max(1, model.group // a.atom), a.step // a.atom, a.unit + b.unit, _rule(model), out]
    _wide(*arguments)
    return out


class Rule(NamedTuple):
    """A model's corners as the kernel reads them; flags are 0 or 1."""

    exact: int
    bits: int
    c_bits: int
    floor: int  # as a quantum's exponent
    anchoring: int
    by_value: int
    after: int
    align: int
    dot_cut: int
    result: int
    flush_c: int
    normalise_c: int
    flush: int
    negative_zero: int


def _rule(model: MmaModel) -> Rule:
    bits = model.fraction or 0
    return Rule(
        exact=int(model.fraction is None),
        bits=bits,
        c_bits=model.window_c or 0,
        floor=_NEVER if model.floor is None else model.floor - bits,
        anchoring=_ANCHORING[model.anchoring],
        by_value=int(model.anchor == "value"),
        after=int(model.c_place == "after"),
        align=_CUTS[model.align],
        dot_cut=_CUTS[model.dot],
        result=_CUTS[model.result],
        flush_c=int(model.subnormal_c == "flushed"),
        normalise_c=int(model.subnormal_c == "normalised"),
        flush=int(model.flush_result),
        negative_zero=int(model.negative_zero),
    )


@inlined
def _clear(acc: Any) -> None:
    for limb in range(LIMBS):
        acc[limb] = 0


@inlined
def _leading(value: Any) -> Any:
    """The place of a positive number's leading bit."""
    place = 0
    while value >> (place + 1) > 0:
        place += 1
    return place


@inlined
def _add(acc: Any, value: Any, unit: Any) -> None:
    """Add ``value * 2^unit``, |value| < 2^31."""
    place = unit - BASE
    index, shift = place >> 5, place & 31
    high = value >> (32 - shift) if shift else value >> 32
    acc[index] += (value << shift) & np.int64(_LOW)
    acc[index + 1] += high


@inlined
def _settle(acc: Any) -> Any:
    """Carry; make it a magnitude and say whether it was negative."""
    carry = np.int64(0)
    for limb in range(LIMBS):
        carry += acc[limb]
        acc[limb] = carry & np.int64(_LOW)
        carry >>= 32
    if carry < 0:
        carry = np.int64(1)
        for limb in range(LIMBS):
            carry += acc[limb] ^ np.int64(_LOW)
            acc[limb] = carry & np.int64(_LOW)
            carry >>= 32
        return True
    return False


@inlined
def _round_away(acc: Any, place: Any, cut: Any, negative: Any, odd: Any) -> Any:
    """Whether what lies below bit ``place`` of a settled accumulator rounds its rest away from zero."""
    if cut == 0 or place <= 0:
        return False
    half_index, half_shift = (place - 1) >> 5, (place - 1) & 31
    half = (acc[half_index] >> half_shift) & 1
    rest = (acc[half_index] & ((np.int64(1) << half_shift) - 1)) != 0
    for limb in range(half_index):
        rest |= acc[limb] != 0
    if cut == 3:
        return negative and (half == 1 or rest)
    return half == 1 and (rest or cut == 2 or odd == 1)


@inlined
def _cut_small(value: Any, drop: Any, cut: Any) -> Any:
    """``value`` over 2^drop, drop > 0, as a whole number."""
    drop = min(drop, 62)
    if cut == 3:
        return value >> drop
    magnitude = abs(value)
    whole, rest, half = magnitude >> drop, magnitude & ((np.int64(1) << drop) - 1), np.int64(1) << (drop - 1)
    if cut != 0 and (rest > half or (rest == half and (cut == 2 or whole & 1 == 1))):
        whole += 1
    return -whole if value < 0 else whole


@inlined
def _split(word: Any, rule: Any) -> Any:
    """Signed significand, unit and anchoring exponent of finite float32 bits."""
    field, mantissa = (word >> 23) & 0xFF, word & 0x7FFFFF
    magnitude = mantissa | (0x800000 if field > 0 else 0)
    exponent = max(field, 1) - 127
    if field == 0 and rule.flush_c:
        magnitude = np.int64(0)
    if field == 0 and rule.normalise_c and magnitude > 0:
        exponent = _leading(magnitude) - 149
    return (-magnitude if word >> 31 else magnitude), max(field, 1) - 150, exponent


@inlined
def _rounded(acc: Any, cut: Any, rule: Any) -> Any:
    """Bits of an accumulator as float32."""
    negative = _settle(acc)
    top = LIMBS - 1
    while top >= 0 and acc[top] == 0:
        top -= 1
    if top < 0:
        return np.int64(0)
    sign = np.int64(0x80000000) if negative else np.int64(0)
    quantum = max(BASE + 32 * top + _leading(acc[top]) - 23, -149)
    place = quantum - BASE
    index, shift = place >> 5, place & 31
    word = (acc[index] >> shift) | ((acc[index + 1] << (32 - shift)) & np.int64(_LOW))
    if shift == 0:
        word = acc[index]
    word &= 0xFFFFFF
    if _round_away(acc, place, cut, negative, word & 1):
        word += 1
    if word == 0:
        return sign if rule.negative_zero else np.int64(0)
    if word >> 24:
        word, quantum = word >> 1, quantum + 1
    if word >> 23 == 0:
        return np.int64(0) if rule.flush else sign | word
    if quantum + 150 >= 255:
        return sign | np.int64(0x7F800000)
    return sign | ((quantum + 150) << 23) | (word & 0x7FFFFF)


@inlined
def _gather(acc: Any, value: Any, unit: Any, first: Any, count: Any) -> Any:
    """A group's exact sum, settled; whether it is negative."""
    _clear(acc)
    for term in range(first, first + count):
        _add(acc, value[term], unit[term])
    return _settle(acc)


@inlined
def _anchor_of(acc: Any, value: Any, unit: Any, first: Any, count: Any) -> Any:
    """The exponent of the leading bit of a group's sum."""
    _gather(acc, value, unit, first, count)
    for top in range(LIMBS - 1, -1, -1):
        if acc[top] != 0:
            return BASE + 32 * top + _leading(acc[top])
    return np.int64(_NEVER)


@inlined
def _add_group(total: Any, acc: Any, value: Any, unit: Any, first: Any, count: Any, quantum: Any, align: Any) -> None:
    """Cut a group's sum at the quantum and add it."""
    if count == 1:
        drop = quantum - unit[first]
        if drop <= 0:
            _add(total, value[first], unit[first])
        else:
            _add(total, _cut_small(value[first], drop, align), quantum)
        return
    negative = _gather(acc, value, unit, first, count)
    place = quantum - BASE
    if place > 0:
        index, shift = place >> 5, place & 31
        away = _round_away(acc, place, align, negative, (acc[index] >> shift) & 1)
        for limb in range(index):
            acc[limb] = 0
        acc[index] = ((acc[index] >> shift) + (1 if away else 0)) << shift
    for limb in range(LIMBS):
        total[limb] += -acc[limb] if negative else acc[limb]


@inlined
def _step(
    total: Any, acc: Any, value: Any, unit: Any, exponent: Any, terms: Any, group: Any, word: Any, rule: Any
) -> Any:
    """The bits of C after a step."""
    c_value, c_unit, c_exponent = _split(word, rule)
    _clear(total)
    quantum = np.int64(_NEVER)
    if not rule.exact:
        quantum = rule.floor if rule.after or c_value == 0 else c_exponent - rule.c_bits
        if rule.by_value:
            for first in range(0, terms, group):
                quantum = max(quantum, _anchor_of(acc, value, unit, first, group) - rule.bits)
        else:
            for term in range(terms):
                quantum = max(quantum, exponent[term] - rule.bits)
    for first in range(0, terms, group):
        _add_group(total, acc, value, unit, first, group, quantum, rule.align)
    if rule.after:
        dot = _rounded(total, rule.dot_cut, rule)
        if dot & 0x7FFFFFFF == 0x7F800000:
            return dot
        dot_value, dot_unit, _ = _split(dot, rule)
        _clear(total)
        _add(total, dot_value, dot_unit)
        _add(total, c_value, c_unit)
    elif quantum <= c_unit:
        _add(total, c_value, c_unit)
    else:
        _add(total, _cut_small(c_value, quantum - c_unit, rule.align), quantum)
    return _rounded(total, rule.result, rule)


@kernel
def _wide(
    a: Any, ae: Any, sa: Any, xa: Any, b: Any, be: Any, sb: Any, xb: Any,
    atom: Any, group: Any, terms: Any, units: Any, rule: Any, out: Any,
) -> None:  # fmt: skip
    total, acc = np.zeros(LIMBS, np.int64), np.zeros(LIMBS, np.int64)
    value, unit, exponent = np.zeros(terms, np.int64), np.zeros(terms, np.int64), np.zeros(terms, np.int64)
    for batch in range(out.shape[0]):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                word = np.int64(out[batch, i, j])
                for start in range(0, sa.shape[2], terms):
                    if word & 0x7FFFFFFF >= 0x7F800000:
                        break
                    for term in range(terms):
                        t = start + term
                        dot, nonzero = np.int64(0), False
                        for k in range(t * atom, (t + 1) * atom):
                            product = np.int64(a[batch, i, k]) * np.int64(b[batch, j, k])
                            dot += product
                            nonzero |= product != 0
                        scale = np.int64(sa[batch, i, t]) * np.int64(sb[batch, j, t])
                        e = np.int64(xa[batch, i, t]) + np.int64(xb[batch, j, t])
                        if atom == 1:
                            e += np.int64(ae[batch, i, t]) + np.int64(be[batch, j, t])
                        value[term], unit[term] = dot * scale, e - units
                        anchors = nonzero if rule.anchoring == 3 else scale != 0
                        if rule.anchoring == 0:
                            anchors = anchors and nonzero
                        elif rule.anchoring == 1:
                            anchors = anchors and dot != 0
                        exponent[term] = e if anchors else _NEVER
                    word = _step(total, acc, value, unit, exponent, terms, group, word, rule)
                if word & 0x7FFFFFFF > 0x7F800000:
                    word = np.int64(0x7FFFFFFF)
                out[batch, i, j] = word
