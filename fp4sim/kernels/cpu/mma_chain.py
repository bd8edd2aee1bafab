"""A chain of matrix steps around a BLAS: what is added to the accumulator where nothing is cut, and where something may be.

``advance`` takes a block of outputs through steps whose products a BLAS has summed. Chunk by chunk: outputs whose proof holds
(fp4sim/mma/proof.py) get the chunk's products added; the others, if few, are computed group by group, a step at a time. If they
are many, all take the chunk in steps. x = C + the step's products is exact in float64, and the sum before the unit's last rounding
lies within a margin of x; if both ends of the margin round to one float32, that is the result. What is left, one output in some
hundred where scales are wide and none where they are not, is computed group by group.

*The margin.* With e the anchor and q = 2^(e - F) the quantum, each of the step's groups and C loses less than q. |products| of
a step of at most 64 sum to at most 64 * 36 * (15/8)^2 * 2^e < 2^(e + 13), so x and the ends of the margin are rounded by
less than 2^(e - 38) in float64: the margin is (groups + 1) q + 2^(e - 36). It is nothing where q divides C and all products: then
no addend is cut, all sums are whole numbers of q below 2^53, and x is exact. e is taken from bounds on the rows' exponents, which
only widens the margin.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

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


@inlined
def _one_step(
    total: Any, x: Any, sx: Any, ex: Any, y: Any, sy: Any, ey: Any, step: Any, unit: Any, part: Any,
    bits: Any, c_bits: Any, floor: Any, align: Any, anchoring: Any, nearest: Any,
) -> Any:  # fmt: skip
    """The accumulator after a step of one output, as the model has it."""
    quantum = _exponent(total) - np.int64(c_bits) if total != 0.0 else floor
    for g in range(len(part)):
        group = step * len(part) + g
        p, q = x[16 * group : 16 * group + 16], y[16 * group : 16 * group + 16]
        dot, any_product = np.int32(0), np.int32(0)
        for k in range(16):
            product = np.int32(p[k]) * np.int32(q[k])
            dot += product
            any_product |= product
        part[g] = np.float64(dot) * (sx[group] * sy[group] * unit)
        e = np.int64(ex[group]) + np.int64(ey[group]) - np.int64(bits)
        if (anchoring == 0 and any_product == 0) or (anchoring == 1 and dot == 0):
            e = np.int64(-16384)
        quantum = max(quantum, e)
    up, down = _power(-quantum), _power(quantum)
    whole = _cut(total * up, align)
    for g in range(len(part)):
        whole += _cut(part[g] * up, align)
    return _to_float32(whole * down, nearest)


@lru_cache(maxsize=64)
def advance(model: MmaModel, groups: int) -> Callable[..., int]:
    """The kernel of a model and a number of groups a step; constants alone are compiled in."""
    bits, c_bits, align = int(model.fraction or 0), int(model.window_c or 0), _CUTS[model.align]
    floor = np.int64(-420 if model.floor is None else model.floor - bits)
    anchoring, nearest = _ANCHORING[model.anchoring], model.result == "rne"
    addends, widest = np.float64(groups + 1), 2.0**c_bits
    lowest = 2.0 ** max(-149, -126 - c_bits, -149 if model.floor is None else model.floor - bits)

    @kernel
    def run(
        total: Any, products: Any, ready: Any, start: Any, first: Any, length: Any, limit: Any, unit: Any,
        a: Any, b: Any, x: Any, sx: Any, ex: Any, y: Any, sy: Any, ey: Any, tally: Any,
    ) -> int:  # fmt: skip
        """Add steps ``start``, ... to ``total``; the step at which a chunk's products do not do, or that after all.

        ``products``: float32 (steps, m, n), over the ``own`` of their rows and columns, of steps ``first``, ...; ``ready``:
        (steps,), whether they are exact for every output. ``length``: steps of a chunk. ``limit``: 2^bits, 2^lowest, 2^highest.
        ``a``, ``b``: by chunks 2^unit, 2^own and norms over 2^unit, by steps 2^unit and tops, all (runs, m) or (runs, n); ``x``,
        ``sx``, ``ex``: elements, and groups' scales and exponents. ``tally`` counts outputs times steps: proven, bounded, emulated.
        """
        chunk_units, owns, norms, step_units, tops = a
        chunk_units_b, owns_b, norms_b, step_units_b, tops_b = b
        m, n = total.shape
        part, results = np.zeros(groups), np.zeros(n, np.float32)
        bad, flags = np.zeros((m, n), np.bool_), np.zeros(n, np.bool_)
        step, end = start, first + len(products)
        while step < end:
            chunk, stop = step // length, min(step + length, end)
            v, w, t = chunk_units_b[chunk], owns_b[chunk], norms_b[chunk]
            count = np.int64(0)
            for i in range(m):
                row, failed, u, norm = total[i], bad[i], chunk_units[chunk, i], norms[chunk, i]
                for j in range(n):
                    s, u_ij = np.float64(row[j]), u * v[j]
                    scaled = s * (1.0 / u_ij)
                    fits = (abs(scaled) + norm * t[j] <= limit[0]) & (_truncate(scaled) == scaled)
                    fits = fits & (limit[1] <= u_ij) & (u_ij <= limit[2])
                    failed[j] = not fits
                    count += not fits
            if count * np.int64(FEW) <= np.int64(m * n):
                for i in range(m):
                    row, failed, own = total[i], bad[i], owns[chunk, i]
                    for j in range(n):
                        results[j] = np.float32(0.0)
                    for s in range(step - first, stop - first):
                        added = products[s, i]
                        for j in range(n):
                            results[j] += np.float32(added[j])
                    for j in range(n):
                        s = np.float32(np.float64(row[j]) + np.float64(results[j]) * (own * w[j])) + np.float32(0.0)
                        row[j] = row[j] if failed[j] else s
                    if count:
                        for j in range(n):
                            if failed[j]:
                                s = np.float64(row[j])
                                for number in range(step, stop):
                                    s = _one_step(
                                        s, x[i], sx[i], ex[i], y[j], sy[j], ey[j], number, unit, part,
                                        bits, c_bits, floor, align, anchoring, nearest,
                                    )  # fmt: skip
                                row[j] = np.float32(s)
                tally[0] += (m * n - count) * (stop - step)
                tally[2] += count * (stop - step)
                step = stop
                continue
            for number in range(step, stop):
                if not ready[number - first]:
                    return step
            for number in range(step, stop):
                z, top_b = step_units_b[number], tops_b[number]
                least, highest = z[0], top_b[0]
                for j in range(1, n):
                    least, highest = min(least, z[j]), max(highest, top_b[j])
                for i in range(m):
                    row, added, own = total[i], products[number - first, i], owns[chunk, i]
                    u, top = step_units[number, i], tops[number, i]
                    found = np.int64(0)
                    # Most rows are clean for every column: then x is exact, and without a bit below 2^-149.
                    narrow = _power(max(top + highest - np.int64(bits), np.int64(-420))) <= u * least
                    if narrow and u * least >= lowest:
                        for j in range(n):
                            s, divisor = np.float64(row[j]), u * z[j]
                            whole = s * (1.0 / divisor)
                            found += not ((abs(whole) < widest) & (_truncate(whole) == whole))
                            value = s + np.float64(added[j]) * (own * w[j])
                            kept = value if nearest else _float(_bits(value) & np.int64(-1 << 29))
                            results[j] = np.float32(kept) + np.float32(0.0)
                        if found == 0:
                            for j in range(n):
                                row[j] = results[j]
                            tally[1] += n
                            continue
                        found = np.int64(0)
                    for j in range(n):
                        s = np.float64(row[j])
                        value = s + np.float64(added[j]) * (own * w[j])
                        e = max(top + top_b[j], np.int64(-420))
                        mine = _exponent(s)
                        quantum = max(mine - np.int64(c_bits) if s != 0.0 else floor, e - np.int64(bits))
                        q, divisor = _power(quantum), u * z[j]
                        whole = s * (1.0 / divisor)
                        clean = (q <= divisor) & (_truncate(whole) == whole)
                        margin = 0.0 if clean else addends * q + _power(max(mine, e) - np.int64(36))
                        low, high = _to_float32(value - margin, nearest), _to_float32(value + margin, nearest)
                        results[j] = low
                        flags[j] = low != high
                        found += low != high
                    if found:
                        for j in range(n):
                            if flags[j]:
                                s = _one_step(
                                    np.float64(row[j]), x[i], sx[i], ex[i], y[j], sy[j], ey[j], number, unit, part,
                                    bits, c_bits, floor, align, anchoring, nearest,
                                )  # fmt: skip
                                results[j] = np.float32(s)
                    for j in range(n):
                        row[j] = results[j]
                    tally[1] += n - found
                    tally[2] += found
            step = stop
        return step

    return run
