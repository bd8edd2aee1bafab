"""A chain of matrix steps around a BLAS: what is added to the accumulator where nothing is cut, and where something may be.

Three kernels, all on a tile of outputs. ``mark`` finds the outputs of a chunk whose proof fails (fp4sim/mma/proof.py);
``add`` adds the chunk's products to the proven ones and computes the others step by step. ``step`` adds the products of one
step to every output, for tiles where the proof fails often: with x = C + the products in float64, the unit's sum before
its last rounding lies within a margin of x, so if both ends of the margin round to one float32, that is the result. What is left,
one in some hundred where scales are wide and none where they are not, is computed group by group.

*The margin.* With e the anchor and q = 2^(e - F) the quantum, each of the step's groups and C loses less than q. |products| of
a step of at most 64 sum to at most 64 * 36 * (15/8)^2 * 2^e < 2^(e + 13), so a float64 product in any order is off by less
than 64 * 2^-53 * 2^(e + 13) = 2^(e - 34), and the roundings of x and of its ends by less than 2^(e - 38): the margin is
(groups + 1) q + 2^(e - 33). It is nothing where q divides C and all products: then no addend is cut, all sums are whole
numbers of q below 2^53, and x is exact. e is taken from bounds on the rows' exponents, which only widens the margin.
"""

from __future__ import annotations

from functools import lru_cache
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
_CUTS = {"rz": 0, "rne": 1, "floor": 2}


class Kernels(NamedTuple):
    """The compiled kernels of one model."""

    add: Callable[..., None]
    step: Callable[..., int]


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


@kernel
def mark(total: Any, u: Any, v: Any, r: Any, t: Any, bound: Any, lowest: Any, highest: Any, bad: Any) -> int:
    """Outputs of a chunk that are not proven, as ``bad`` and as a number.

    ``total`` and ``bad``: (m, n); ``u``, ``v``: 2^unit of the m rows and n columns; ``r``, ``t``: their norms in those units.
    """
    count = np.int64(0)
    for i in range(total.shape[0]):
        row, flags, own, norm = total[i], bad[i], u[i], r[i]
        found = np.int64(0)
        for j in range(total.shape[1]):
            unit = own * v[j]
            s = np.float64(row[j]) * (1.0 / unit)
            fits = (abs(s) + norm * t[j] <= bound) & (_truncate(s) == s) & (lowest <= unit) & (unit <= highest)
            flags[j] = not fits
            found += not fits
        count += found
    return count


@lru_cache(maxsize=64)
def kernels(model: MmaModel, groups: int) -> Kernels:
    """``add`` and ``step`` of a model and a number of groups a step; constants alone are compiled in."""
    bits, c_bits, align = int(model.fraction or 0), int(model.window_c or 0), _CUTS[model.align]
    floor = np.int64(-420 if model.floor is None else model.floor - bits)
    by_products, by_dots = model.anchoring in ("products", "any-scale"), model.anchoring == "dots"
    nearest = model.result == "rne"
    addends = np.float64(groups + 1)

    @inlined
    def cut(x: Any) -> Any:
        return _truncate(x) if align == 0 else _rint(x) if align == 1 else _floor(x)

    @inlined
    def one_step(total: Any, x: Any, sx: Any, ex: Any, y: Any, sy: Any, ey: Any, start: Any, unit: Any, part: Any) -> Any:
        """The accumulator after a step of one output, as the model has it."""
        quantum = _exponent(total) - np.int64(c_bits) if total != 0.0 else floor
        for g in range(groups):
            group = start + g
            p, q = x[16 * group : 16 * group + 16], y[16 * group : 16 * group + 16]
            dot, any_product = np.int32(0), np.int32(0)
            for k in range(16):
                product = np.int32(p[k]) * np.int32(q[k])
                dot += product
                any_product |= product
            part[g] = np.float64(dot) * (sx[group] * sy[group] * unit)
            e = np.int64(ex[group]) + np.int64(ey[group]) - np.int64(bits)
            if by_products:
                e = e if any_product != 0 else np.int64(-16384)
            if by_dots:
                e = e if dot != 0 else np.int64(-16384)
            quantum = max(quantum, e)
        up, down = _power(-quantum), _power(quantum)
        whole = cut(total * up)
        for g in range(groups):
            whole += cut(part[g] * up)
        return _to_float32(whole * down, nearest)

    @kernel
    def add(
        total: Any, product: Any, u: Any, v: Any, bad: Any, count: Any,
        x: Any, sx: Any, ex: Any, y: Any, sy: Any, ey: Any, first: Any, last: Any, unit: Any,
    ) -> None:  # fmt: skip
        part = np.zeros(groups)
        for i in range(total.shape[0]):
            row, added, own, flags = total[i], product[i], u[i], bad[i]
            for j in range(total.shape[1]):
                s = np.float32(np.float64(row[j]) + np.float64(added[j]) * (own * v[j])) + np.float32(0.0)
                row[j] = row[j] if flags[j] else s
            if count == 0:
                continue
            for j in range(total.shape[1]):
                if flags[j]:
                    s = np.float64(row[j])
                    for start in range(first, last, groups):
                        s = one_step(s, x[i], sx[i], ex[i], y[j], sy[j], ey[j], start, unit, part)
                    row[j] = np.float32(s)

    @kernel
    def step(
        total: Any, product: Any, u: Any, v: Any, w: Any, z: Any, top: Any, tops: Any,
        x: Any, sx: Any, ex: Any, y: Any, sy: Any, ey: Any, start: Any, unit: Any,
    ) -> int:  # fmt: skip
        part = np.zeros(groups)
        n = total.shape[1]
        results, flags = np.zeros(n, np.float32), np.zeros(n, np.uint8)
        count = np.int64(0)
        for i in range(total.shape[0]):
            row, added, own, scale, highest = total[i], product[i], u[i], w[i], top[i]
            found = np.int64(0)
            for j in range(n):
                s = np.float64(row[j])
                value = s + np.float64(added[j]) * (scale * z[j])
                e = max(highest + tops[j], np.int64(-420))
                mine = _exponent(s)
                quantum = max(mine - np.int64(c_bits) if s != 0.0 else floor, e - np.int64(bits))
                q, divisor = _power(quantum), own * v[j]
                whole = s * (1.0 / divisor)
                clean = (q <= divisor) & (_truncate(whole) == whole)
                margin = 0.0 if clean else addends * q + _power(max(mine, e) - np.int64(33))
                low, high = _to_float32(value - margin, nearest), _to_float32(value + margin, nearest)
                results[j] = low
                flags[j] = low != high
                found += low != high
            if found:
                for j in range(n):
                    if flags[j]:
                        s = np.float64(row[j])
                        results[j] = one_step(s, x[i], sx[i], ex[i], y[j], sy[j], ey[j], start, unit, part)
            for j in range(n):
                row[j] = results[j]
            count += found
        return count

    return Kernels(add, step)
