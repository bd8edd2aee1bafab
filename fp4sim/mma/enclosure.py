"""What any order of accumulation could give: a proven interval around the exact sum, for each output of a product.

An *evaluation* uses every step of K once. It starts from steps on C = +0 (and from a given C), and joins what it has by two
operations: a step onto an accumulator, as the model defines it, and the float32 sum of two partials, rounded to nearest even
or toward zero. That covers the chain in any order, split-K, stream-K and every tree of partial sums. Where factors of the
epilogue are applied before partials are added, it is another arithmetic.

**Claim.** Every evaluation of finite operands gives a value in [low, high].

Notation, for one output: T_1 … T_G the exact sums of its atoms (the products that share a scale and a group), E = ΣT + C;
P, N the sums of the positive and of the negated negative terms (C is one of them); U a power of two of which all terms are
multiples; n steps. ulp(x) is the spacing of float32 at x, at least 2^-149; all cuts are at powers of two.

1. *Multiples.* Every partial is a multiple of U: a cut at 2^c leaves a multiple of U alone where 2^c <= U, and gives a multiple
   of 2^c, hence of U, otherwise.
2. *Range.* Every partial lies in [-N', P'], P' = P (1 + d) + g. Of the terms that it holds the positive ones sum to P at most.
   A cut toward zero makes no addend larger; a sum rounded to nearest grows by a factor of at most 1 + 2^-24, and there are at
   most n of them (3n where the model itself rounds to nearest), which is d; addends cut otherwise grow by a quantum each,
   which is g. Where P = 0 no partial is positive if cuts are toward zero.
3. *Quantum.* A step's quantum is at most q = 2^max(e - f, e' - f', floor - f): e is the largest exponent that any atom can
   anchor at, e' that of the largest partial by 2 (-126 at least), f and f' the fraction bits of groups and of C.
4. *Exact.* If q <= U and ulp(max(P, N)) <= U, nothing is ever cut, by induction over the evaluation with d = g = 0: each value
   before a cut is a multiple of U, no larger than max(P, N), and so is a multiple of the cut. low = high = E.
5. *Losses.* Otherwise what an evaluation is off by is the sum of what its cuts are off by. Each nonzero atom's group is cut
   once: by less than q, downward where it is positive and upward where it is negative (toward zero), by q/2 either way (to
   nearest), by nothing if q <= U. A step onto an accumulator cuts that as well and rounds the result, by ulp(P') at most down
   and ulp(N') up; a step onto +0 rounds a result within the largest step's own P and N; joining partials rounds to nearest
   (half an ulp either way) or toward zero. With z steps onto +0 there are z - 1 joins (z, if C is given) and n - z steps onto
   accumulators, so the worst is linear in z: one step onto +0 (none, if C is given) and then the worse of "step onto an
   accumulator" and "step onto +0, then join" for each other step. Where cuts are not toward zero a step's own P and N grow by a
   quantum a group; each number of a step that a model may flush to 0 is off by 2^-126 more.
6. The result is a float32, so bounds are moved inward to float32.

E, P and N are summed in float64 of exact T; they are exact where P + N < 2^53 U, else what they may be off by is added. Losses
are widened by 2^-24 of themselves for the roundings of E - loss: where there is a loss at all it is at least half an ulp of
max(P, N), or, of one step, on the side on which float64 rounds E - loss to E. Where P' or N' comes near 2^128 every value is
possible, NaN too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.mma.block_scaled import read_operands
from fp4sim.mma.instances import model_named
from fp4sim.parallel import run_all, thread_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.mma.model import Cut, MmaModel
    from fp4sim.mma.operands import Factors

    Floats = NDArray[np.float64]

_TILE = 128
_NONE = 1 << 13  # an exponent that no term has: the unit of zeros; negated, the anchor of what does not anchor
_LARGEST = 2.0**128 * (1 - 2.0**-20)
_NORMAL, _SMALLEST = 2.0**-126, 2.0**-149  # the least normal and the least positive float32

# What a cut at a quantum of 1 may be off by: of a positive value down and up; of a negative one it is the other way round,
# but for "floor", which goes down always.
_DOWN_UP: dict[Cut, tuple[float, float, float, float]] = {  # positive down, negative down, positive up, negative up
    "rz": (1, 0, 0, 1),
    "rne": (0.5, 0.5, 0.5, 0.5),
    "rna": (0.5, 0.5, 0.5, 0.5),
    "floor": (1, 1, 0, 0),
}


@dataclass(frozen=True, eq=False)
class Enclosure:
    """Bounds of every output before an epilogue, (m, n).

    ``low``, ``high``: float32, the least and the largest value; ``nan``: outputs that are NaN whatever the order; ``free``:
    outputs that may overflow and so be anything.
    """

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    nan: NDArray[np.bool_]
    free: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Side:
    """An operand: values (rows, atoms, elements) in float64, and of each atom its unit's and its anchor's exponent."""

    values: Floats
    unit: NDArray[np.int16]
    anchor: NDArray[np.int16]


def enclose(
    a_packed: NDArray[np.uint8],
    b_packed: NDArray[np.uint8],
    a_scale: NDArray[np.uint8],
    b_scale: NDArray[np.uint8],
    *,
    scale_format: str,
    block: int,
    c: NDArray[np.float32] | None = None,
    model: str | MmaModel = "blackwell",
    threads: int | None = None,
) -> Enclosure:
    """Bounds of D = A Bᵀ + C over every order of accumulation under a model.

    Args: as for :func:`fp4sim.mma.block_scaled_mma`, two axes each; without ``c`` accumulators start from +0.

    Raises UsageError as that does.
    """
    rule = model_named(model)
    for name, packed in (("a_packed", a_packed), ("b_packed", b_packed)):
        if np.ndim(packed) != 2:
            raise UsageError(f"{name} has shape {np.shape(packed)}: it must have two axes")
    shape = (len(a_packed), len(b_packed))
    given = np.zeros(shape, np.float32) if c is None else c
    a, b, words = read_operands(a_packed, b_packed, given, a_scale, b_scale, scale_format, block, rule)
    start = words[0].view(np.float32)
    left, right = _side(a, rule), _side(b, rule)
    low, high, free = np.empty(shape, np.float32), np.empty(shape, np.float32), np.empty(shape, np.bool_)

    def tile(place: tuple[slice, slice]) -> None:
        with np.errstate(all="ignore"):
            terms = _Terms(left, right, place, a.step // a.atom, start[place], c is not None)
            low[place], high[place], free[place] = terms.bounds(rule)

    firsts = [(row, col) for row in range(0, shape[0], _TILE) for col in range(0, shape[1], _TILE)]
    places = [(slice(row, row + _TILE), slice(col, col + _TILE)) for row, col in firsts]
    run_all(tile, places, thread_count(threads))
    nan = a.nan[0][:, None] | b.nan[0][None, :] | np.isnan(start)
    return Enclosure(low, high, nan, free & ~nan)


def _side(x: Factors, model: MmaModel) -> _Side:
    rows = x.nan.shape[1]
    significand = x.significand[0].astype(np.int64).reshape(rows, x.scale.shape[-1], x.atom)
    whole = significand * x.scale[0].astype(np.int64)[:, :, None]
    exponent = x.scale_exponent[0].astype(np.int64)
    if x.atom == 1:
        exponent = exponent + x.exponent[0]
    values = np.ldexp(whole.astype(np.float64), (exponent - x.unit)[:, :, None])
    bits = np.bitwise_or.reduce(np.abs(whole), axis=2)
    lowest = np.frexp((bits & -bits).astype(np.float64))[1] - 1
    unit = np.where(bits != 0, lowest + exponent - x.unit, _NONE)
    anchors = {"scales": x.scale[0] != 0, "any-scale": (significand != 0).any(axis=2)}.get(model.anchoring, bits != 0)
    return _Side(values, unit.astype(np.int16), np.where(anchors, exponent, -_NONE).astype(np.int16))


class _Terms:
    """The sums of a tile that its bounds are made of, named as in the proof."""

    def __init__(
        self,
        left: _Side,
        right: _Side,
        place: tuple[slice, slice],
        atoms: int,
        c: NDArray[np.float32],
        has_c: bool,
    ) -> None:
        a, b = left.values[place[0]], right.values[place[1]]
        ua, ub = left.unit[place[0]], right.unit[place[1]]
        ea, eb = left.anchor[place[0]], right.anchor[place[1]]
        shape = c.shape
        self.atoms, self.steps, self.has_c, self.c = a.shape[1], a.shape[1] // atoms, has_c, c
        wide = c.astype(np.float64)
        self.exact, self.above, self.below = wide.copy(), np.maximum(wide, 0), np.maximum(-wide, 0)
        self.unit = np.minimum(low_bit(wide), _NONE).astype(np.int16)
        self.anchor = np.full(shape, -_NONE, np.int16)
        self.positive, self.negative = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
        self.step_above, self.step_below = np.zeros(shape), np.zeros(shape)
        for step in range(self.steps):
            up, down = np.zeros(shape), np.zeros(shape)
            for i in range(step * atoms, (step + 1) * atoms):
                term = a[:, i] @ b[:, i].T
                positive = term > 0
                up += np.where(positive, term, 0)
                self.positive += positive
                self.negative += term < 0
                self.exact += term
                down -= np.where(positive, 0, term)
                np.minimum(self.unit, ua[:, i, None] + ub[None, :, i], out=self.unit)
                np.maximum(self.anchor, ea[:, i, None] + eb[None, :, i], out=self.anchor)
            self.above += up
            self.below += down
            np.maximum(self.step_above, up, out=self.step_above)
            np.maximum(self.step_below, down, out=self.step_below)

    def bounds(self, model: MmaModel) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
        """low, high and free; infinite bounds where free."""
        unit = np.ldexp(1.0, np.minimum(self.unit, 1000).astype(np.int32))
        size = np.maximum(self.above, self.below)
        certain = self.above + self.below < 2.0**53 * unit
        nothing_cut = certain & (self._quantum(size, model) <= unit) & (_ulp(size) <= unit)
        if model.flushes:
            nothing_cut &= unit >= _NORMAL
        slack = np.where(certain, 0.0, (self.atoms + 2) * 2.0**-53 * (self.above + self.below))
        down, up, reach = self._losses(model, unit, slack)
        free = (reach >= _LARGEST) | np.isnan(reach)
        down, up = (np.where(nothing_cut, 0.0, loss * (1 + 2.0**-24) + slack) for loss in (down, up))
        low, high = _round_up(self.exact - down), _round_down(self.exact + up)
        if not model.negative_zero:  # what underflows is +0
            low = np.where(low == 0, np.float32(0), low)
        infinite = np.isinf(self.c)
        free = np.where(infinite, np.maximum(self.step_above, self.step_below) * self.steps >= _LARGEST, free)
        low, high = np.where(infinite, self.c, low), np.where(infinite, self.c, high)
        low, high = np.where(free, -np.inf, low), np.where(free, np.inf, high)
        return low.astype(np.float32), high.astype(np.float32), np.asarray(free)

    def _losses(self, model: MmaModel, unit: Floats, slack: Floats) -> tuple[Floats, Floats, Floats]:
        """What evaluations may be off by, downward and upward, and the largest partial (infinite where none is proven)."""
        nearest = sum(cut != "rz" for cut in (model.result, model.dot if model.c_place == "after" else "rz"))
        growth = self.steps * 2.0**-24 * (1 + nearest)
        factor = 1 + growth * (1 + growth) + 2.0**-40 if growth < 2.0**-6 else np.inf
        least = 2 * self.steps * _SMALLEST if nearest else 0.0
        above, below = ((part + slack) * factor + least * (part > 0) for part in (self.above, self.below))
        size = np.maximum(above, below)
        cut = _DOWN_UP[model.align]
        quantum = self._quantum(size, model)
        if model.align != "rz":
            assumed = 2 * size + 2 * (self.atoms + self.steps) * quantum
            quantum = self._quantum(assumed, model)
            above, below = (part + (self.atoms + self.steps) * quantum for part in (above, below))
            size = np.maximum(above, below)
            size = np.where(size <= assumed, size, np.inf)
        step = np.where(quantum > unit, quantum, 0.0)
        flushed = model.flushes * _NORMAL
        grown = 0.0 if model.align == "rz" else (self.atoms // self.steps) * quantum
        own_above, own_below = self.step_above * factor + grown, self.step_below * factor + grown
        losses = []
        for way in (0, 1):  # down, up
            of_positive, of_negative = cut[2 * way], cut[2 * way + 1]
            atoms = (of_positive * self.positive + of_negative * self.negative) * step
            accumulator = np.maximum(of_positive * (above > 0), of_negative * (below > 0)) * step
            onto = _rounding(model.result, way, above, below, unit) + flushed
            first = model.result if model.c_place == "fused" else model.dot
            alone = _rounding(first, way, own_above, own_below, unit) + flushed
            onto = onto + (accumulator if model.c_place == "fused" else alone)
            join = np.maximum(*(_rounding(rule, way, above, below, unit) for rule in ("rz", "rne")))
            others = self.steps if self.has_c else self.steps - 1
            losses.append(atoms + (0.0 if self.has_c else alone) + others * np.maximum(onto, alone + join))
        return losses[0], losses[1], size

    def _quantum(self, size: Floats, model: MmaModel) -> Floats:
        """q of the proof, for partials of at most ``size``."""
        if model.fraction is None or model.window_c is None:
            return np.zeros_like(size)
        partial = np.maximum(_exponent(size), -126)
        anchor = self.anchor.astype(np.int32) if model.anchor == "exponent" else _exponent(size)
        exponent = np.maximum(anchor - model.fraction, partial - model.window_c)
        if model.floor is not None:
            exponent = np.maximum(exponent, model.floor - model.fraction)
        return np.asarray(np.ldexp(1.0, np.clip(exponent, -1000, 1000)))


def _rounding(cut: Cut, way: int, above: Floats, below: Floats, unit: Floats) -> Floats:
    """What rounding a float32 result in [-below, above] is off by at most, down (0) or up (1)."""
    of_positive, of_negative = _DOWN_UP[cut][2 * way : 2 * way + 2]
    parts = []
    for share, part in ((of_positive, above), (of_negative, below)):
        spacing = _ulp(part)
        parts.append(np.where((part > 0) & (spacing > unit), share * spacing, 0.0))
    return np.maximum(*parts)


def _exponent(size: Floats) -> NDArray[np.int32]:
    """floor(log2 size); far below every number where it is 0."""
    return np.where(size > 0, np.frexp(size)[1] - 1, -_NONE).astype(np.int32)


def _ulp(size: Floats) -> Floats:
    return np.asarray(np.ldexp(1.0, np.maximum(_exponent(size) - 23, -149)))


def low_bit(values: Floats) -> NDArray[np.int64]:
    """The exponent of the lowest set bit of float32 values; _NONE for zeros and what is not finite."""
    fraction, exponent = np.frexp(np.where(np.isfinite(values), values, 0.0))
    whole = np.abs(np.ldexp(fraction, 24)).astype(np.int64)
    lowest = np.frexp((whole & -whole).astype(np.float64))[1] - 1
    return np.asarray(np.where(whole > 0, lowest + exponent - 24, _NONE))


def _round_up(x: Floats) -> NDArray[np.float32]:
    """The least float32 that is not below x."""
    near = x.astype(np.float32)
    return np.where(near < x, np.nextafter(near, np.float32(np.inf)), near)


def _round_down(x: Floats) -> NDArray[np.float32]:
    return -_round_up(-x)
