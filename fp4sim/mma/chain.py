"""Products by a BLAS: whole chunks where a proof holds, else step by step, and group by group only where it must be.

The accumulator of every output has the matrix unit's bits after every chunk, so the way is chosen anew for each block and
chunk and changes no bit; :mod:`fp4sim.mma.proof` and :mod:`fp4sim.kernels.cpu.mma_chain` say why.

A BLAS is asked for stacks of small products, 64 x 64 of a step each: small enough for every BLAS to stay on the calling thread,
so that threads are those of this project, and so that no accumulator leaves a core's cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.kernels.cpu import mma_chain, mma_lanes
from fp4sim.mma.proof import CHUNK, CLIP, SIGNIFICAND, Bounds, bounds, integers, limits
from fp4sim.parallel import run_all

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.mma.model import MmaModel
    from fp4sim.mma.operands import Factors

SIDE = 64  # rows and columns of a block
TILE = 4  # blocks in a tile's rows and columns; a thread takes a tile
HUGE = 2.0**500  # a norm that fits with nothing but zeros
SLAB = 4  # chunks that a BLAS is asked for at once


@dataclass
class Tally:
    """How a product was computed, in multiplications, of operands filled up with zeros to whole blocks and steps."""

    proven: int = 0  # in chunks of which no step cuts anything
    bounded: int = 0  # in steps whose result is decided by bounds on it
    emulated: int = 0  # group by group

    @property
    def total(self) -> int:
        """All multiplications."""
        return self.proven + self.bounded + self.emulated


def covers(model: MmaModel, a: Factors) -> bool:
    """Whether products of a model can be computed here."""
    return a.atom == 16 and mma_lanes.covers(model) and a.step <= mma_chain.MOST_ELEMENTS


def multiply(
    a: Factors, b: Factors, c: NDArray[np.uint32], model: MmaModel, threads: int, tally: Tally | None = None
) -> NDArray[np.uint32]:
    """D of (batch, m, n), as float32 bits; rows and columns with a NaN are not looked at."""
    m, n = c.shape[1:]
    left, right = (_Operand(x.padded(-len(x.nan[0]) % SIDE), model, threads) for x in (a, b))
    chain = _Chain(left, right, model)
    out = np.zeros((len(c), len(left.blocks[0]) * SIDE, len(right.blocks[0]) * SIDE), np.float32)
    out[:, :m, :n] = c.view(np.float32)
    rows, columns = (_cuts(len(x.blocks[0]), TILE) for x in (left, right))
    done = run_all(lambda tile: chain.run(out, *tile), list(product(range(len(c)), rows, columns)), threads)
    if tally is not None:
        counts = np.sum(done, axis=0) * a.step
        tally.proven, tally.bounded, tally.emulated = (
            before + int(count)
            for before, count in zip((tally.proven, tally.bounded, tally.emulated), counts, strict=True)
        )
    return np.ascontiguousarray(out[:, :m, :n]).view(np.uint32)


def _cuts(length: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


class _Block:
    """SIDE rows of an operand, one batch.

    * ``runs``: by chunks 2^unit, 2^own and norms over 2^unit, by steps 2^unit and tops; (runs, rows).
    * ``groups``: elements, and the scales and exponents of groups; (rows, ...).
    * ``size``: by steps, the largest norm over 2^own, huge where values may be clipped; ``middle``: by chunks, the median
      norm over 2^unit.
    """

    def __init__(self, x: Factors, rows: slice, model: MmaModel, chunks: Bounds, steps: Bounds, length: int) -> None:
        self.factors, self.rows, self.model = x, rows, model
        scaled = chunks.norm * np.ldexp(1.0, -chunks.unit)
        by_chunk = (np.ldexp(1.0, chunks.unit), np.ldexp(1.0, chunks.own), scaled)
        parts = (*by_chunk, np.ldexp(1.0, steps.unit), steps.top.astype(np.int64))
        self.runs = tuple(np.ascontiguousarray(part[0].T) for part in parts)
        self.groups = tuple(np.ascontiguousarray(part[0]) for part in (x.significand, *mma_lanes.scales(x, model)))
        own = np.ldexp(1.0, np.repeat(chunks.own[0], length, axis=-1)[..., : steps.own.shape[-1]])
        sizes = np.where(steps.norm[0] <= CLIP * own, steps.norm[0] * np.ldexp(1.0, -steps.own[0]), HUGE)
        self.size, self.middle = sizes.max(axis=0), np.sort(scaled[0], axis=0)[scaled.shape[1] // 2]

    @cached_property
    def left(self) -> mma_lanes.Left:
        """The rows as a left operand of the lanes."""
        return mma_lanes.Left(self.factors, self.model)

    @cached_property
    def right(self) -> mma_lanes.Right:
        """The rows as a right operand of the lanes."""
        return mma_lanes.Right(self.factors, self.model)


class _Operand:
    """One operand, with what the kernel needs of its rows: ``blocks`` of each batch, and ``values``.

    ``values``: float32 (batch, steps, rows, step), integers over 2^own of their chunk.
    """

    def __init__(self, x: Factors, model: MmaModel, threads: int) -> None:
        batch, rows, k = x.significand.shape
        self.factors, self.length = x, max(1, CHUNK // x.step)
        self.values = np.empty((batch, k // x.step, rows, x.step), np.float32)
        places = list(product(range(batch), _cuts(rows, SIDE)))
        blocks = run_all(lambda place: self._prepare(place[0], place[1], model), places, threads)
        self.blocks = [blocks[start : start + rows // SIDE] for start in range(0, len(blocks), rows // SIDE)]

    def _prepare(self, batch: int, rows: slice, model: MmaModel) -> _Block:
        part, run = self.factors.part(batch, rows), self.length * self.factors.step
        chunks, steps = bounds(part, model, (run, part.step))
        whole = integers(part, chunks, run)[0]
        self.values[batch, :, rows] = whole.reshape(len(whole), -1, part.step).swapaxes(0, 1)
        return _Block(part, rows, model, chunks, steps, self.length)


class _Chain:
    """Two operands under a model."""

    def __init__(self, a: _Operand, b: _Operand, model: MmaModel) -> None:
        self.a, self.b, self.steps = a, b, a.values.shape[1]
        limit = limits(model, a.factors, b.factors)
        self.limit = 2.0**limit.bits, 2.0**limit.lowest, 2.0**limit.highest
        self.unit = 2.0 ** -(a.factors.unit + b.factors.unit)
        self.advance = mma_chain.advance(model, a.factors.step // 16)

    def run(self, out: NDArray[np.float32], batch: int, rows: slice, columns: slice) -> NDArray[np.int64]:
        """Take a tile from C to D, in place; outputs times steps that were proven, bounded, emulated."""
        left, right = self.a.blocks[batch][rows], self.b.blocks[batch][columns]
        totals = [[np.ascontiguousarray(out[batch, x.rows, y.rows]) for y in right] for x in left]
        tally, span = np.zeros(3, np.int64), slice(columns.start * SIDE, columns.stop * SIDE)
        for slab in _cuts(self.steps, SLAB * self.a.length):
            stack = self.b.values[batch, slab, span].reshape(slab.stop - slab.start, len(right), SIDE, -1)
            stack = stack.transpose(1, 0, 3, 2)  # every block's products in one run
            for i, x in enumerate(left):
                products = None
                if any(self._promising(x, y, slab) for y in right):
                    products = np.matmul(self.a.values[batch, slab, x.rows], stack)
                for j, y in enumerate(right):
                    if products is None:
                        self._emulate(totals[i][j], x, y, slab, tally)
                    else:
                        self._block(totals[i][j], products[j], x, y, slab, tally)
        for i, x in enumerate(left):
            for j, y in enumerate(right):
                out[batch, x.rows, y.rows] = totals[i][j]
        return tally

    def _promising(self, x: _Block, y: _Block, slab: slice) -> bool:
        """Whether some float32 products of a slab can be of use: where medians do not fit, a quarter of all proofs fail."""
        chunks = slice(slab.start // self.a.length, -(-slab.stop // self.a.length))
        exact = x.size[slab] * y.size[slab] <= 2.0**SIGNIFICAND
        return bool(exact.any() or (x.middle[chunks] * y.middle[chunks] <= self.limit[0]).any())

    def _block(
        self, total: NDArray[np.float32], products: NDArray[np.float32], x: _Block, y: _Block, slab: slice,
        tally: NDArray[np.int64],
    ) -> None:  # fmt: skip
        """Take a block through a slab."""
        ready = x.size[slab] * y.size[slab] <= 2.0**SIGNIFICAND
        given = (slab.start, self.a.length, self.limit, self.unit, x.runs, y.runs, *x.groups, *y.groups, tally)
        done = slab.start
        while (done := self.advance(total, products, ready, done, *given)) < slab.stop:
            chunk = slice(done, min(done + self.a.length, slab.stop))
            self._emulate(total, x, y, chunk, tally)
            done = chunk.stop

    def _emulate(
        self, total: NDArray[np.float32], x: _Block, y: _Block, steps: slice, tally: NDArray[np.int64]
    ) -> None:
        """Take a block through steps, group by group."""
        bits = y.right.multiply(x.left, total.view(np.uint32)[None], slice(0, SIDE), steps)
        total[:] = bits[0].view(np.float32)
        tally[2] += total.size * (steps.stop - steps.start)
