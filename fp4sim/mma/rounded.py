"""Models that align nothing, by float64 products: ``exact``, one rounding of an exact sum, and ``fp32-rn``, float32 additions.

*exact*: a float64 sum of K products in any order is off by at most K 2^-53 of the sum of their magnitudes, which the
norms of the rows bound (Cauchy-Schwarz), and by nothing where that bound is below 2^53 units of the rows' products;
where both ends of the margin round to one float32, that is the result. The rest is left to the caller. *fp32-rn*: the
dot of a block has one scale, so that float64 holds it exactly; it is rounded, and added, by IEEE arithmetic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.mma.instances import EXACT, FP32_RN
from fp4sim.mma.proof import bounds
from fp4sim.parallel import run_all

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.mma.model import MmaModel
    from fp4sim.mma.operands import Factors

SIDE = 64  # rows, columns and elements of a float64 product, as in chain.py
_SLACK = 2.0**-52  # of K + 2 roundings, with room for those of the margin


def covers(model: MmaModel, a: Factors) -> bool:
    """Whether products of a model can be computed here."""
    return a.atom == 16 and model in (EXACT, FP32_RN)


def multiply(
    a: Factors, b: Factors, c: NDArray[np.uint32], model: MmaModel, threads: int
) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """D of (batch, m, n) as float32 bits, and which of it is decided; rows and columns with a NaN are not looked at."""
    out, sure = c.view(np.float32).copy(), np.ones(c.shape, np.bool_)

    def rows(place: tuple[int, int]) -> None:
        batch, start = place
        x = a.part(batch, slice(start, start + SIDE))
        for column in range(0, c.shape[2], SIDE):
            y = b.part(batch, slice(column, column + SIDE))
            tile = batch, slice(start, start + SIDE), slice(column, column + SIDE)
            with np.errstate(all="ignore"):
                if model == FP32_RN:
                    _add_blocks(out[tile], x, y)
                else:
                    sure[tile] = _add_exactly(out[tile], x, y)

    run_all(rows, [(i, start) for i in range(len(c)) for start in range(0, c.shape[1], SIDE)], threads)
    return out.view(np.uint32), sure


def _products(x: Factors, y: Factors, length: int) -> NDArray[np.float64]:
    """Sums of products of runs of ``length`` elements, (runs, m, n)."""
    left, right = (_doubles(part, length) for part in (x, y))
    return np.asarray(left @ right.swapaxes(1, 2))


def _doubles(x: Factors, length: int) -> NDArray[np.float64]:
    """Elements of one batch, (runs, rows, length)."""
    scale = np.ldexp(x.scale[0].astype(np.float64), x.scale_exponent[0].astype(np.int64) - x.unit)
    elements = x.significand[0].reshape(*scale.shape, x.atom) * scale[..., None]
    return np.asarray(elements.reshape(len(elements), -1, length).swapaxes(0, 1))


def _add_blocks(total: NDArray[np.float32], x: Factors, y: Factors) -> None:
    """Every block's dot as a float32, added in place; what is infinite stays so."""
    for product in _products(x, y, x.step):
        dot = product.astype(np.float32) + np.float32(0)
        added = np.where(np.isinf(dot), dot, total + dot)
        total[:] = np.where(np.isinf(total), total, added + np.float32(0))


def _add_exactly(total: NDArray[np.float32], x: Factors, y: Factors) -> NDArray[np.bool_]:
    """The nearest float32 to C and all products, in place, and where that is certain."""
    k = x.significand.shape[-1]
    (left,), (right,) = bounds(x, EXACT, [k]), bounds(y, EXACT, [k])
    c = total.astype(np.float64)
    run = SIDE if k % SIDE == 0 else x.atom
    value = c + _products(x, y, run).sum(axis=0)
    magnitude = np.abs(c) + left.norm[0] * right.norm[0].T
    unit = np.ldexp(1.0, left.unit[0] + right.unit[0].T)
    whole = (np.trunc(c / unit) * unit == c) & (magnitude <= 2.0**53 * unit)
    margin = np.where(whole, 0.0, (k + 2) * _SLACK * magnitude)
    low, high = ((value + sign * margin).astype(np.float32) + np.float32(0) for sign in (-1, 1))
    total[:] = np.where(np.isinf(c), total, low)
    return np.asarray(np.isinf(c) | (low == high))
