"""A chain of matrix steps around a BLAS: what is added to the accumulator where nothing is cut, and where something may be.

``advance`` takes a block of outputs through steps whose products a BLAS has summed, chunk by chunk. Outputs whose proof holds
(fp4sim/mma/proof.py) get the chunk's products added; the others, if few, are computed group by group, a step at a time. If they
are many, all take the chunk in steps: x = C + the step's products in float64, and the sum before the unit's last rounding lies
within a margin of x; if both ends of the margin round to one float32, that is the result. What is left, one output in some
hundred where scales are wide and none where they are not, is computed group by group.

*The margin.* With e the anchor and q = 2^(e - F) the quantum, each of the step's groups and C loses less than q. |products| of
a step of at most 64 sum to at most 64 * 36 * (15/8)^2 * 2^e < 2^(e + 13), so float64 rounds x and the ends of the margin by
less than 2^(e - 38): the margin is (groups + 1) q + 2^(e - 36). It is nothing where q divides C and all products: then no
addend is cut, all sums are whole numbers of q below 2^53, and x is exact. e is taken from bounds on the rows' exponents, which
only widens the margin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fp4sim.kernels.cpu.jit import inlined, kernel

if TYPE_CHECKING:
    from collections.abc import Callable

    from fp4sim.mma.model import MmaModel

MOST_ELEMENTS = 64  # of a step, see the margin
FEW = 24  # a chunk is left to its proof where at most one output in this many is not proven
_CUTS = {"rz": 0, "rne": 1, "floor": 2}
_ANCHORING = {"products": 0, "any-scale": 0, "dots": 1, "scales": 2}


def _unary(name: str) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def call(_context: Any, _value: Any) -> Any:
        def build(_c: Any, builder: Any, _s: Any, args: Any) -> Any:
            return builder.call(builder.module.declare_intrinsic(name, (ir.DoubleType(),)), args)

        return types.float64(types.float64), build

    return call


@intrinsic  # type: ignore[untyped-decorator]
def _bits(_context: Any, _value: Any) -> Any:
    return types.int64(types.float64), lambda _c, builder, _s, args: builder.bitcast(args[0], ir.IntType(64))


@intrinsic  # type: ignore[untyped-decorator]
def _float(_context: Any, _value: Any) -> Any:
    return types.float64(types.int64), lambda _c, builder, _s, args: builder.bitcast(args[0], ir.DoubleType())


_truncate, _rint, _floor = _unary("llvm.trunc"), _unary("llvm.rint"), _unary("llvm.floor")


@inlined
def _power(exponent: Any) -> Any:
    """2^exponent for -1023 < exponent < 1024."""
    return _float((exponent + np.int64(1023)) << np.int64(52))


@inlined
def _exponent(x: Any) -> Any:
    """The exponent that a float32 value anchors at."""
    return max(((_bits(x) >> np.int64(52)) & np.int64(0x7FF)) - np.int64(1023), np.int64(-126))


@inlined
def _to_float32(x: Any, nearest: Any) -> Any:
    """x as a number that float32 has, +0 for zeros; what is too large becomes infinite."""
    normal = _float(_bits(x) & np.int64(-1 << 29))
    small = _truncate(x * 2.0**149) * 2.0**-149
    kept = small if abs(x) < 2.0**-126 else normal
    return np.float64(np.float32(x if nearest else kept)) + 0.0


@inlined
def _cut(x: Any, align: Any) -> Any:
    return _truncate(x) if align == 0 else _rint(x) if align == 1 else _floor(x)


class Rule(NamedTuple):
    """A model's numbers, as the kernel reads them: arguments, because compiling it takes seconds."""

    bits: int
    c_bits: int
    floor: int  # as a quantum's exponent
    align: int
    anchoring: int
    nearest: bool
    addends: float  # of a step, C among them
    lowest: float  # units below this may be cut in an accumulator that is subnormal or 0
    widest: float  # accumulators of fewer units are not cut


def _rule(model: MmaModel, groups: int) -> Rule:
    bits, c_bits = int(model.fraction or 0), int(model.window_c or 0)
    floor = -420 if model.floor is None else model.floor - bits
    lowest = 2.0 ** max(-149, -126 - c_bits, floor)
    align, anchoring = _CUTS[model.align], _ANCHORING[model.anchoring]
    return Rule(bits, c_bits, floor, align, anchoring, model.result == "rne", groups + 1.0, lowest, 2.0**c_bits)


@inlined
def _one_step(
    total: Any, x: Any, sx: Any, ex: Any, y: Any, sy: Any, ey: Any, step: Any, unit: Any, part: Any, rule: Any
) -> Any:
    """The accumulator after a step of one output, as the model has it."""
    quantum = _exponent(total) - np.int64(rule.c_bits) if total != 0.0 else np.int64(rule.floor)
    for g in range(len(part)):
        group = step * len(part) + g
        p, q = x[16 * group : 16 * group + 16], y[16 * group : 16 * group + 16]
        dot, any_product = np.int32(0), np.int32(0)
        for k in range(16):
            product = np.int32(p[k]) * np.int32(q[k])
            dot += product
            any_product |= product
        part[g] = np.float64(dot) * (sx[group] * sy[group] * unit)
        e = np.int64(ex[group]) + np.int64(ey[group]) - np.int64(rule.bits)
        if (rule.anchoring == 0 and any_product == 0) or (rule.anchoring == 1 and dot == 0):
            e = np.int64(-16384)
        quantum = max(quantum, e)
    up, down = _power(-quantum), _power(quantum)
    whole = _cut(total * up, rule.align)
    for g in range(len(part)):
        whole += _cut(part[g] * up, rule.align)
    return _to_float32(whole * down, rule.nearest)


@inlined
def _mark(total: Any, u: Any, v: Any, r: Any, t: Any, limit: Any, bad: Any) -> Any:
    """Which outputs of a chunk are not proven, and how many; u and v are 2^unit, r and t norms in those units."""
    count = np.int64(0)
    for i in range(total.shape[0]):
        row, failed, own, norm = total[i], bad[i], u[i], r[i]
        for j in range(total.shape[1]):
            pair = own * v[j]
            scaled = np.float64(row[j]) * (1.0 / pair)
            fits = (abs(scaled) + norm * t[j] <= limit[0]) & (_truncate(scaled) == scaled)
            fits = fits & (limit[1] <= pair) & (pair <= limit[2])
            failed[j] = not fits
            count += not fits
    return count


@inlined
def _add_chunk(row: Any, products: Any, i: Any, own: Any, w: Any, failed: Any, sums: Any) -> None:
    """Add the products of a chunk to the proven outputs of row i: sums of integers that float32 has."""
    for j in range(len(row)):
        sums[j] = np.float32(0.0)
    for step in range(len(products)):
        added = products[step, i]
        for j in range(len(row)):
            sums[j] += added[j]
    for j in range(len(row)):
        new = np.float32(np.float64(row[j]) + np.float64(sums[j]) * (own * w[j])) + np.float32(0.0)
        row[j] = row[j] if failed[j] else new


@inlined
def _add_clean(row: Any, added: Any, own: Any, w: Any, u: Any, z: Any, results: Any, rule: Any) -> Any:
    """Results of a step of a row whose groups are not cut, and whether C is cut nowhere either."""
    cut = np.int64(0)
    for j in range(len(row)):
        s = np.float64(row[j])
        whole = s * (1.0 / (u * z[j]))
        cut += not ((abs(whole) < rule.widest) & (_truncate(whole) == whole))
        value = s + np.float64(added[j]) * (own * w[j])
        kept = value if rule.nearest else _float(_bits(value) & np.int64(-1 << 29))
        results[j] = np.float32(kept) + np.float32(0.0)
    return cut == 0


@inlined
def _add_bounded(
    row: Any, added: Any, own: Any, w: Any, u: Any, z: Any, top: Any, tops: Any, results: Any, flags: Any, rule: Any
) -> Any:
    """Results of a step of a row, which of them the margin does not decide, and how many."""
    found = np.int64(0)
    for j in range(len(row)):
        s = np.float64(row[j])
        value = s + np.float64(added[j]) * (own * w[j])
        e, mine = max(top + tops[j], np.int64(-420)), _exponent(s)
        least = mine - np.int64(rule.c_bits) if s != 0.0 else np.int64(rule.floor)
        q, divisor = _power(max(least, e - np.int64(rule.bits))), u * z[j]
        whole = s * (1.0 / divisor)
        clean = (q <= divisor) & (_truncate(whole) == whole)
        margin = 0.0 if clean else rule.addends * q + _power(max(mine, e) - np.int64(36))
        low, high = _to_float32(value - margin, rule.nearest), _to_float32(value + margin, rule.nearest)
        results[j] = low
        flags[j] = low != high
        found += low != high
    return found


@inlined
def _extremes(z: Any, tops: Any) -> Any:
    """The least unit and the highest top of columns."""
    least, highest = z[0], tops[0]
    for j in range(1, len(z)):
        least, highest = min(least, z[j]), max(highest, tops[j])
    return least, highest


@inlined
def _are_clean(top: Any, u: Any, rule: Any) -> Any:
    """Whether nothing is cut of groups that anchor at most at ``top``, nor of results that are multiples of u and small."""
    return rule.lowest <= u and _power(max(top - np.int64(rule.bits), np.int64(-420))) <= u


@kernel
def _advance(
    groups: int, rule: Any, total: Any, products: Any, ready: Any, start: Any, first: Any, length: Any, limit: Any,
    unit: Any, a: Any, b: Any, x: Any, sx: Any, ex: Any, y: Any, sy: Any, ey: Any, tally: Any,
) -> Any:  # fmt: skip
    """Add steps ``start``, ... to ``total``; the step at which a chunk's products do not do, or that after all.

    * ``products``: float32 (steps, m, n), over the ``own`` of their rows and columns, of steps ``first``, ...
    * ``ready``: (steps,), whether they are exact for every output. ``length``: steps of a chunk.
    * ``limit``: 2^bits, 2^lowest, 2^highest. ``unit``: what products of significands and scales are multiplied by.
    * ``a``, ``b``: by chunks 2^unit, 2^own and norms over 2^unit, by steps 2^unit and tops; (runs, m) or (runs, n).
    * ``x``, ``sx``, ``ex``: elements, and groups' scales and exponents; ``y``, ``sy``, ``ey`` of columns.
    * ``tally`` counts outputs times steps: proven, bounded, emulated.
    """
    units, owns, norms, step_units, tops = a
    units_b, owns_b, norms_b, step_units_b, tops_b = b
    m, n = total.shape
    part, results = np.zeros(groups), np.zeros(n, np.float32)
    bad, flags = np.zeros((m, n), np.bool_), np.zeros(n, np.bool_)
    step, end = start, first + len(products)
    while step < end:
        chunk, stop = step // length, min(step + length, end)
        w = owns_b[chunk]
        count = _mark(total, units[chunk], units_b[chunk], norms[chunk], norms_b[chunk], limit, bad)
        if count * FEW <= m * n:
            for i in range(m):
                row, failed = total[i], bad[i]
                _add_chunk(row, products[step - first : stop - first], i, owns[chunk, i], w, failed, results)
                for j in range(n if count else 0):
                    if failed[j]:
                        s = np.float64(row[j])
                        for k in range(step, stop):
                            s = _one_step(s, x[i], sx[i], ex[i], y[j], sy[j], ey[j], k, unit, part, rule)
                        row[j] = np.float32(s)
            tally[0] += (m * n - count) * (stop - step)
            tally[2] += count * (stop - step)
            step = stop
            continue
        for k in range(step, stop):
            if not ready[k - first]:
                return step
        for k in range(step, stop):
            z, top_b = step_units_b[k], tops_b[k]
            least, highest = _extremes(z, top_b)
            for i in range(m):
                row, added, own, u, top = (
                    total[i],
                    products[k - first, i],
                    owns[chunk, i],
                    step_units[k, i],
                    tops[k, i],
                )
                found = np.int64(0)
                clean = _are_clean(top + highest, u * least, rule)
                if not (clean and _add_clean(row, added, own, w, u, z, results, rule)):
                    found = _add_bounded(row, added, own, w, u, z, top, top_b, results, flags, rule)
                    for j in range(n if found else 0):
                        if flags[j]:
                            s = np.float64(row[j])
                            s = _one_step(s, x[i], sx[i], ex[i], y[j], sy[j], ey[j], k, unit, part, rule)
                            results[j] = np.float32(s)
                for j in range(n):
                    row[j] = results[j]
                tally[1] += n - found
                tally[2] += found
        step = stop
    return step


def advance(model: MmaModel, groups: int) -> Callable[..., Any]:
    """The kernel for a model and a number of groups a step, which are its first arguments."""
    rule = _rule(model, groups)
    return lambda *given: _advance(groups, rule, *given)
