"""When a product of 4-bit operands needs no emulation: a proof that no step of a chain cuts a bit. NumPy alone.

A *chunk* is a run of steps. For row i of A and row j of B it is described by

* ``unit``: an exponent; every nonzero element of the row, in this chunk and in all before it, is a multiple of 2^unit;
* ``norm``: at least the Euclidean norm of the chunk's elements;
* ``top``: at least every exponent that a group of the row may bring to an anchor (operands without scales bring theirs).

**Theorem.** Let S be the accumulator before a chunk, u = 2^(unit_i + unit_j), F the bits kept below the anchor, d = the bits by
which the least nonzero element may lie below 2^top (``Factors.unit``; 4 under UE4M3, 1 under UE8M0), and

    bits = min(24, F, F_c, F - d_i - d_j)        lowest <= unit_i + unit_j <= 127 - bits

with lowest = max(-149, floor - F, -126 - F_c), or -126 where a model flushes subnormals. If S is a multiple of u and

    |S| + norm_i norm_j <= 2^bits u                                                                                  (*)

then no step of the chunk cuts anything, and S after it is S plus the exact sum of the chunk's products.

*Proof.* Every product is a multiple of u, so every sum of S with some of the products is one. For any subset of the
products, |sum| <= sum of |a_k b_k| <= norm_i norm_j (Cauchy-Schwarz), so such a sum, with S or without, is n u with |n|
<= 2^bits <= 2^24. As u is at least 2^lowest and 2^bits u less than 2^128, float32 has each of them: no rounding of a
result, of a dot, or of an addition changes it, whatever its direction. An addend is cut only if the quantum, 2^(anchor
- F), is above u. Three things anchor. (1) C, which is some n u: its exponent is -126 (subnormal), for which ``lowest``
provides, or at most bits + unit_i + unit_j <= F_c + unit_i + unit_j. (2) The floor where C is 0: by ``lowest``. (3) A
group with exponents e_i + e_j, which is at most top_i + top_j: some element of row i is at least 2^(top_i - d_i), or
``norm`` has been raised to that where a model lets groups anchor that have no such element; so norm_i norm_j >=
2^(top_i + top_j - d_i - d_j), by (*) at most 2^bits u, and top_i + top_j - F <= unit_i + unit_j. Groups that anchor by
their value are n u as in (1). QED, and S is again a multiple of every later u, since units never grow.

**Consequence.** The sum of the products may be left to any float32 matrix product that adds products in any order, in any
blocks, fused or not: all that it can meet are integers below 2^24 in units of u. Operands are scaled by powers of two, row by
row and chunk by chunk, to integers, so nothing under- or overflows and flushing of subnormals does not matter. Not covered: a
BLAS that rounds operands (TF32, bfloat16) unless they fit, or that adds *operands* before it multiplies (Strassen).

Where (*) holds for one chunk that is all of K, every sum of some products is exact, and so all orders of accumulation and all
models whose limits are met give the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fp4sim.mma.model import MmaModel
    from fp4sim.mma.operands import Factors

SIGNIFICAND = 24  # bits of a float32
CHUNK = 256  # elements of a chunk, about: a longer one is coarser, a shorter one costs more passes over the outputs
NEVER = -(1 << 13)  # an exponent that anchors nothing
CLIP = 2.0**50  # in units; a chunk with a larger element is proven only against zeros
_SLACK = 1 + 2.0**-40  # more than the float64 roundings of a norm and of a product of norms


@dataclass(frozen=True, eq=False)
class Bounds:
    """What is known of the rows of an operand, by runs of elements: steps or chunks. All arrays are (batch, rows, runs).

    * ``own``: int32, the greatest exponent whose power of two divides all elements of the run; 0 if they are all zero.
    * ``unit``: int32, the same of this run and all before it.
    * ``norm``: float64, at least the Euclidean norm of the run; ``top``: int32, at least every exponent that may anchor.
    """

    own: NDArray[np.int32]
    unit: NDArray[np.int32]
    norm: NDArray[np.float64]
    top: NDArray[np.int32]


@dataclass(frozen=True)
class Limits:
    """What a model asks of a pair of rows: (*) with ``bits``, and units from ``lowest`` to ``highest``."""

    bits: int
    lowest: int
    highest: int


def limits(model: MmaModel, a: Factors, b: Factors) -> Limits:
    """The limits of a model for operands; ``bits`` below 1 means that nothing can be proven."""
    bits, lowest = SIGNIFICAND, -149
    if model.fraction is not None and model.window_c is not None:
        bits = min(bits, model.window_c, model.fraction - a.unit - b.unit)
        lowest = max(lowest, -126 - model.window_c)
        if model.floor is not None:
            lowest = max(lowest, model.floor - model.fraction)
    if model.flush_result or model.subnormal_c != "native":
        lowest = max(lowest, -126)
    return Limits(bits, lowest, 127 - bits)


def bounds(x: Factors, model: MmaModel, runs: Sequence[int]) -> list[Bounds]:
    """Bounds of an operand by runs of so many elements, each a multiple of its atoms; one for every length."""
    least, square, top = _atoms(x, model)
    found = []
    for run in runs:
        starts = np.arange(0, least.shape[-1], run // x.atom)
        own = np.minimum.reduceat(least, starts, axis=-1)
        unit = np.minimum.accumulate(own, axis=-1)
        norm = np.sqrt(np.add.reduceat(square, starts, axis=-1)) * _SLACK
        highest = np.maximum.reduceat(top, starts, axis=-1)
        if model.anchoring in ("scales", "any-scale"):
            norm = np.maximum(norm, np.ldexp(1.0, np.maximum(highest - x.unit, -1000)))
        own, unit = (np.where(exponent == -NEVER, np.int32(0), exponent) for exponent in (own, unit))
        found.append(Bounds(own, unit, norm, highest))
    return found


def _atoms(x: Factors, model: MmaModel) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.int32]]:
    """Of every atom: the exponent of its elements' least common bit, the sum of their squares, the exponent it anchors at."""
    magnitude = np.abs(x.significand.reshape(*x.scale.shape, x.atom))
    if x.atom == 16:  # eight bytes at a time; significands of 4-bit elements fit into one
        words = np.ascontiguousarray(magnitude.astype(np.uint8)).view(np.uint64)
        joined = words[..., 0] | words[..., 1]
        for shift in (32, 16, 8):
            joined |= joined >> np.uint64(shift)
        union = (joined & np.uint64(0xFF)).astype(np.int32)
    else:
        union = np.bitwise_or.reduce(magnitude, axis=-1).astype(np.int32)
    floats = magnitude.astype(np.float32)
    squares = np.einsum("...k,...k->...", floats, floats, dtype=np.float64 if x.atom == 1 else np.float32)
    scale, exponent = x.scale.astype(np.int32), x.scale_exponent.astype(np.int32)
    if x.atom == 1:
        exponent = exponent + x.exponent
    common = union * scale
    least = np.where(common != 0, exponent - x.unit + _trailing(common), np.int32(-NEVER))
    square = np.ldexp(squares * scale.astype(np.float64) ** 2, 2 * (exponent - x.unit))
    anchors = {
        "products": common != 0,
        "dots": common != 0,
        "scales": scale != 0,
        "any-scale": union != 0,
    }[model.anchoring]
    return least, square, np.where(anchors, exponent, np.int32(NEVER))


def _trailing(x: NDArray[np.int32]) -> NDArray[np.int32]:
    """The place of the lowest set bit; anything for 0."""
    return np.frexp((x & -x).astype(np.float32))[1] - 1


def unproven(prefix: NDArray[np.float32], a: Bounds, b: Bounds, run: int, limit: Limits) -> NDArray[np.bool_]:
    """Where (*) and its conditions do not hold for run number ``run`` of every pair of rows; prefix is (batch, m, n)."""
    unit = a.unit[:, :, None, run] + b.unit[:, None, :, run]
    u = np.ldexp(1.0, unit)
    product = (a.norm[:, :, run] * np.ldexp(1.0, -a.unit[:, :, run]))[:, :, None] * (
        b.norm[:, :, run] * np.ldexp(1.0, -b.unit[:, :, run])
    )[:, None, :]
    with np.errstate(invalid="ignore", over="ignore"):
        s = prefix.astype(np.float64) / u
        fits = np.abs(s) + product <= 2.0**limit.bits
        whole = np.trunc(s) == s
    return np.asarray(~(fits & whole & (limit.lowest <= unit) & (unit <= limit.highest)))


def integers(x: Factors, chunks: Bounds, run: int) -> NDArray[np.float32]:
    """Elements over 2^own of their chunk, (batch, rows, K): integers, exact up to CLIP and clipped there."""
    atoms = x.scale.shape[-1]
    own = np.repeat(chunks.own, run // x.atom, axis=-1)[..., :atoms]
    exponent = x.scale_exponent.astype(np.int32) - x.unit - own
    if x.atom == 1:
        exponent = exponent + x.exponent
    factor = np.ldexp(x.scale.astype(np.float64), exponent)
    values = x.significand.reshape(*factor.shape, x.atom) * np.clip(factor, -CLIP, CLIP).astype(np.float32)[..., None]
    return np.ascontiguousarray(values.reshape(x.significand.shape))


def proven_product(
    a: Factors, b: Factors, c: NDArray[np.uint32], model: MmaModel, run: int
) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """D of (batch, m, n) by float32 matrix products, as bits, and which of its elements are proven from C to the end.

    The definition of the path: fast kernels are held to it. ``run`` is whole steps, or anything where nothing is aligned (a
    ``fraction`` of None). An element that is not proven is a NaN.
    """
    limit = limits(model, a, b)
    (left,), (right,) = bounds(a, model, [run]), bounds(b, model, [run])
    x, y = integers(a, left, run), integers(b, right, run)
    s: NDArray[Any] = c.view(np.float32).copy()
    for number in range(left.own.shape[-1]):
        k = slice(number * run, (number + 1) * run)
        bad = unproven(s, left, right, number, limit)
        scale = np.ldexp(1.0, left.own[:, :, None, number] + right.own[:, None, :, number])
        product = np.matmul(x[:, :, k], y[:, :, k].swapaxes(1, 2)).astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            s = (s + product * scale).astype(np.float32) + np.float32(0.0)  # zero is +0
        s[bad] = np.nan
    return s.view(np.uint32), ~np.isnan(s)
