"""Matrix steps of models like Blackwell's, many outputs at once, in float64 that is never inexact.

Where groups are 16 products under one scale and at most 37 bits are kept below the anchor, a cut addend is a whole number
of quanta below 2^49, so float64 holds every addend and their sum: scaling by powers of two, truncation and addition are
exact. A row of A meets LANES columns of B: dots in int16 (at most 2304 quarters), then scales and cuts a group at a time.
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
    from numpy.typing import NDArray

    from fp4sim.mma.model import MmaModel
    from fp4sim.mma.operands import Factors

LANES = 64
FEWEST_BITS, MOST_BITS = 8, 37
LOWEST_FLOOR = -380
_NEVER = -(1 << 13)  # twice this fits int16 and anchors nothing
_CUTS = {"rz": 0, "rne": 1, "floor": 2}
_ANCHORING = {"products": 0, "any-scale": 0, "dots": 1, "scales": 2}


def covers(model: MmaModel) -> bool:
    """Whether the lanes compute a model, given groups that share a scale."""
    bits = (model.fraction, model.window_c)
    plain = model.c_place == "fused" and model.anchor == "exponent" and model.subnormal_c == "native"
    corners = model.flush_result or model.negative_zero
    floor = model.floor is None or LOWEST_FLOOR <= model.floor <= -LOWEST_FLOOR  # powers of two stay in float64's range
    known = model.align in _CUTS and model.result in ("rz", "rne") and model.group == 16 and isinstance(model.step, int)
    kept = all(number is not None and FEWEST_BITS <= number <= MOST_BITS for number in bits)
    return plain and not corners and floor and known and kept


class Left:
    """A left operand with what the lanes need of its groups."""

    def __init__(self, a: Factors, model: MmaModel) -> None:
        self.values, self.step, self.unit = a.significand, a.step, a.unit
        self.groups = _groups(a, model)


class Right:
    """A right operand laid out for the lanes: built once, multiplied by any rows.

    ``values``: int16 (batch, tiles, groups, 16 * LANES), the elements of a group for LANES columns in one run, because only
    then does the compiler see that the rows do not overlap and take whole vectors.
    """

    def __init__(self, b: Factors, model: MmaModel) -> None:
        self.model, self.columns, self.unit = model, b.significand.shape[1], b.unit
        self.width = padded = -(-self.columns // LANES) * LANES
        tiles = _transposed(b.significand, padded).reshape(len(b.nan), -1, 16, padded // LANES, LANES)
        self.values = np.ascontiguousarray(tiles.transpose(0, 3, 1, 2, 4)).reshape(
            len(b.nan), padded // LANES, -1, 16 * LANES
        )
        self.groups = tuple(_transposed(part, padded) for part in _groups(b, model))

    def multiply(self, a: Left, c: NDArray[np.uint32], rows: slice, steps: slice | None = None) -> NDArray[np.uint32]:
        """Rows of D, (batch, rows, n), as float32 bits, after some steps; rows and columns with a NaN are not looked at."""
        out = np.zeros((c.shape[0], rows.stop - rows.start, self.width), np.float32)
        out[:, :, : self.columns] = c[:, rows].view(np.float32)
        groups = slice(None) if steps is None else slice(steps.start * a.step // 16, steps.stop * a.step // 16)
        elements = slice(None) if steps is None else slice(steps.start * a.step, steps.stop * a.step)
        left = [a.values[:, rows, elements], *(part[:, rows, groups] for part in a.groups)]
        right = [self.values[:, :, groups], *(part[:, groups] for part in self.groups)]
        whole = (np.ascontiguousarray(part) for part in (*left, *right))
        model, bits = self.model, int(self.model.fraction or 0)
        floor = -420 if model.floor is None else model.floor - bits
        run = _kernel(_CUTS[model.align], _ANCHORING[model.anchoring], model.result == "rne", a.step // 16)
        run(*whole, bits, int(model.window_c or 0), floor, a.unit + self.unit, out)
        return np.ascontiguousarray(out[:, :, : self.columns]).view(np.uint32)


def _transposed(matrix: NDArray[Any], columns: int) -> NDArray[Any]:
    """(batch, n, k) as (batch, k, columns), n padded with zeros."""
    out = np.zeros((matrix.shape[0], matrix.shape[2], columns), matrix.dtype)
    out[:, :, : matrix.shape[1]] = matrix.swapaxes(1, 2)
    return out


def _groups(x: Factors, model: MmaModel) -> tuple[NDArray[np.float64], NDArray[np.int16], NDArray[np.int16]]:
    """What :func:`scales` gives, and a bit for each nonzero element; (batch, rows, groups)."""
    nonzero = (x.significand != 0).reshape(*x.scale.shape, 16)
    mask = (nonzero << np.arange(16)).sum(axis=-1).astype(np.uint16).view(np.int16)
    return *scales(x, model), mask


def scales(x: Factors, model: MmaModel) -> tuple[NDArray[np.float64], NDArray[np.int16]]:
    """Every group's scale as a float64 and the exponent it anchors at, (batch, rows, groups)."""
    scale = np.ldexp(x.scale.astype(np.float64), x.scale_exponent.astype(np.int64))
    lost = (x.scale == 0) & (model.anchoring != "any-scale")
    return scale, np.where(lost, _NEVER, x.scale_exponent).astype(np.int16)


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
def _to_float32(x: Any, nearest: Any) -> Any:
    """x as a number that float32 has, +0 for zeros; what is too large becomes infinite."""
    normal = _float(_bits(x) & np.int64(-1 << 29))
    small = _truncate(x * 2.0**149) * 2.0**-149
    kept = small if abs(x) < 2.0**-126 else normal
    return np.float64(np.float32(x if nearest else kept)) + 0.0


@lru_cache(maxsize=64)
def _kernel(align: int, anchoring: int, nearest: bool, groups: int) -> Any:
    """The kernel of one way to anchor, cut and round and a number of groups a step; widths are arguments."""
    by_products, by_dots = anchoring == 0, anchoring == 1

    @kernel
    def lanes(
        a: Any, sa: Any, ea: Any, ma: Any, b: Any, sb: Any, eb: Any, mb: Any,
        bits: int, c_bits: int, floor: int, unit: int, out: Any,
    ) -> None:  # fmt: skip
        dot = np.zeros(64, np.int16)
        total, quantum = np.zeros(64), np.zeros(64, np.int64)
        addend = np.zeros((groups, 64))
        inverse_unit = _power(np.int64(-unit))
        for batch in range(out.shape[0]):
            for first in range(0, out.shape[2], 64):
                for i in range(out.shape[1]):
                    d = out[batch, i, first : first + 64]
                    for j in range(64):
                        total[j] = np.float64(d[j])
                    for start in range(0, sa.shape[2], groups):
                        for j in range(64):
                            field = (_bits(total[j]) >> np.int64(52)) & np.int64(0x7FF)
                            own = max(field - np.int64(1023), np.int64(-126)) - np.int64(c_bits)
                            quantum[j] = own if total[j] != 0.0 else floor
                        for g in range(groups):
                            group = start + g
                            x = a[batch, i, 16 * group : 16 * group + 16]
                            y = b[batch, first // 64, group]
                            x0, x1, x2, x3, x4, x5, x6, x7 = x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]
                            x8, x9, xA, xB, xC, xD, xE, xF = x[8], x[9], x[10], x[11], x[12], x[13], x[14], x[15]
                            for j in range(64):
                                p = x0 * y[j] + x1 * y[64 + j] + x2 * y[128 + j] + x3 * y[192 + j]
                                q = x4 * y[256 + j] + x5 * y[320 + j] + x6 * y[384 + j] + x7 * y[448 + j]
                                r = x8 * y[512 + j] + x9 * y[576 + j] + xA * y[640 + j] + xB * y[704 + j]
                                s = xC * y[768 + j] + xD * y[832 + j] + xE * y[896 + j] + xF * y[960 + j]
                                dot[j] = np.int16(p + q + r + s)
                            scale, exponent, mask = sa[batch, i, group], ea[batch, i, group], ma[batch, i, group]
                            scales = sb[batch, group, first : first + 64]
                            exponents = eb[batch, group, first : first + 64]
                            masks = mb[batch, group, first : first + 64]
                            t = addend[g]
                            for j in range(64):
                                t[j] = np.float64(dot[j]) * (scale * scales[j] * inverse_unit)
                                e = np.int64(np.int32(exponent) + np.int32(exponents[j])) - np.int64(bits)
                                if by_products:
                                    e = e if (mask & masks[j]) != 0 else np.int64(-16384)
                                if by_dots:
                                    e = e if dot[j] != 0 else np.int64(-16384)
                                quantum[j] = max(quantum[j], e)
                        for j in range(64):
                            up, down = _power(-quantum[j]), _power(quantum[j])
                            scaled = total[j] * up
                            whole = _truncate(scaled) if align == 0 else _rint(scaled) if align == 1 else _floor(scaled)
                            for g in range(groups):
                                scaled = addend[g, j] * up
                                part = (
                                    _truncate(scaled) if align == 0 else _rint(scaled) if align == 1 else _floor(scaled)
                                )
                                whole += part
                            total[j] = _to_float32(whole * down, nearest)
                    for j in range(64):
                        d[j] = np.float32(total[j])

    return lanes
