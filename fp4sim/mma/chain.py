"""Products by a BLAS: whole chunks where a proof holds, else step by step, and group by group only what is left.

The accumulator of every output has the matrix unit's bits after every chunk, so the way is chosen anew for each block and
chunk and changes no bit; :mod:`fp4sim.mma.proof` and :mod:`fp4sim.kernels.cpu.mma_chain` say why.

A BLAS is asked for stacks of small products, 64 x 64 of a step each: small enough for every BLAS to stay on the calling thread,
so that threads are those of this project, and so that no accumulator leaves a core's cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.kernels.cpu import mma_chain, mma_lanes
from fp4sim.mma.proof import CHUNK, CLIP, SIGNIFICAND, Bounds, bounds, integers, limits
from fp4sim.parallel import run_all

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.mma.model import MmaModel
    from fp4sim.mma.operands import Factors

SIDE = 64  # rows and columns of a block
WIDE = 4  # blocks side by side in a tile
SLAB = 4  # chunks that a BLAS is asked for at once
PIECE = 64  # rows that are prepared at once


@dataclass
class Tally:
    """How a product was computed, in multiplications: together batch M N K, with N and K as padded."""

    proven: int = 0  # in chunks of which no step cuts anything
    bounded: int = 0  # in steps whose result is decided by bounds on it
    emulated: int = 0  # group by group

    @property
    def total(self) -> int:
        return self.proven + self.bounded + self.emulated


def covers(model: MmaModel, a: Factors) -> bool:
    """Whether products of a model can be computed here."""
    return a.atom == 16 and mma_lanes.covers(model) and a.step <= mma_chain.MOST_ELEMENTS


def multiply(
    a: Factors, b: Factors, c: NDArray[np.uint32], model: MmaModel, threads: int, tally: Tally | None = None
) -> NDArray[np.uint32]:
    """D of (batch, m, n), as float32 bits; rows and columns with a NaN are not looked at."""
    columns = c.shape[2]
    side = min(SIDE, columns)
    chain = _Chain(_Operand(a, model, threads), _Operand(b.padded(-columns % side), model, threads), model)
    out = np.zeros((*c.shape[:2], columns + -columns % side), np.float32)
    out[..., :columns] = c.view(np.float32)
    tiles = list(product(range(c.shape[0]), _cuts(c.shape[1], SIDE), _cuts(out.shape[2], WIDE * side)))
    done = run_all(lambda tile: chain.run(out, *tile, side), tiles, threads)
    if tally is not None:
        counts = np.sum(done, axis=0) * a.step
        tally.proven, tally.bounded, tally.emulated = (int(count) for count in counts)
    return np.ascontiguousarray(out[..., :columns]).view(np.uint32)


def _cuts(length: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


class _Operand:
    """One operand, with what the kernel needs of its rows. Arrays are (batch, runs, rows, ...) or (batch, rows, ...).

    ``values``: float32 (batch, steps, rows, step), integers over 2^own of their chunk; ``size``: norms of steps over their own
    2^own, infinite where ``values`` may be clipped.
    """

    def __init__(self, x: Factors, model: MmaModel, threads: int) -> None:
        self.factors, self.length = x, max(1, CHUNK // x.step)
        self.scale, self.exponent = mma_lanes.scales(x, model)
        batch, rows, k = x.significand.shape
        self.values = np.empty((batch, k // x.step, rows, x.step), np.float32)
        run = self.length * x.step

        def piece(rows: slice) -> tuple[Bounds, Bounds]:
            part = x.rows(rows)
            chunks = bounds(part, model, run)
            whole = integers(part, chunks, run)
            self.values[:, :, rows] = whole.reshape(*whole.shape[:2], -1, x.step).swapaxes(1, 2)
            return chunks, bounds(part, model, x.step)

        pieces = run_all(piece, _cuts(rows, PIECE), threads)
        chunks, steps = (Bounds.joined(parts) for parts in zip(*pieces, strict=True))
        scaled = chunks.norm * np.ldexp(1.0, -chunks.unit)
        by_chunk = (np.ldexp(1.0, chunks.unit), np.ldexp(1.0, chunks.own), scaled)
        self.by_run = [_runs_first(part) for part in (*by_chunk, np.ldexp(1.0, steps.unit), steps.top.astype(np.int64))]
        own = np.ldexp(1.0, np.repeat(chunks.own, self.length, axis=-1)[..., : steps.own.shape[-1]])
        size = np.where(steps.norm <= CLIP * own, steps.norm * np.ldexp(1.0, -steps.own), np.inf)
        self.size = _runs_first(size)

    def runs(self, batch: int, rows: slice) -> tuple[NDArray[Any], ...]:
        """By chunks 2^unit, 2^own and norms over 2^unit, by steps 2^unit and tops."""
        return tuple(np.ascontiguousarray(part[batch, :, rows]) for part in self.by_run)

    def groups(self, batch: int, rows: slice) -> tuple[NDArray[Any], ...]:
        """Elements, and the scales and exponents of groups."""
        return self.factors.significand[batch, rows], self.scale[batch, rows], self.exponent[batch, rows]

    def doubles(self, batch: int, rows: slice, steps: slice) -> NDArray[np.float64]:
        """Elements of some steps, (steps, rows, step), as they are."""
        x, atoms = self.factors, self.factors.step // 16
        scale = self.scale[batch, rows, steps.start * atoms : steps.stop * atoms] * 2.0**-x.unit
        elements = x.significand[batch, rows, steps.start * x.step : steps.stop * x.step]
        values = elements.reshape(*scale.shape, 16) * scale[..., None]
        return np.asarray(values.reshape(len(values), -1, x.step).swapaxes(0, 1))


def _runs_first(x: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(x.swapaxes(1, 2))


class _Chain:
    """Two operands under a model."""

    def __init__(self, a: _Operand, b: _Operand, model: MmaModel) -> None:
        self.a, self.b, self.steps = a, b, a.values.shape[1]
        limit = limits(model, a.factors, b.factors)
        self.limit = 2.0**limit.bits, 2.0**limit.lowest, 2.0**limit.highest
        self.unit = 2.0 ** -(a.factors.unit + b.factors.unit)
        self.advance = mma_chain.advance(model, a.factors.step // 16)

    def run(
        self, out: NDArray[np.float32], batch: int, rows: slice, columns: slice, side: int
    ) -> NDArray[np.int64]:
        """Take a tile from C to D, in place; outputs times steps that were proven, bounded, emulated."""
        blocks = [slice(start, start + side) for start in range(columns.start, columns.stop, side)]
        totals = [np.ascontiguousarray(out[batch, rows, block]) for block in blocks]
        tally = np.zeros(3, np.int64)
        for first in range(0, self.steps, SLAB * self.a.length):
            steps = slice(first, min(first + SLAB * self.a.length, self.steps))
            right = self.b.values[batch, steps, columns].reshape(steps.stop - first, len(blocks), side, -1)
            products = np.matmul(self.a.values[batch, steps, None, rows], right.swapaxes(2, 3))
            for number, block in enumerate(blocks):
                self._block(totals[number], products[:, number], steps, (batch, rows), (batch, block), tally)
        for block, total in zip(blocks, totals, strict=True):
            out[batch, rows, block] = total
        return tally

    def _block(
        self, total: NDArray[np.float32], products: NDArray[np.float32], steps: slice,
        left: tuple[int, slice], right: tuple[int, slice], tally: NDArray[np.int64],
    ) -> None:  # fmt: skip
        """Take a block through a slab; chunks that float32 products do not serve, by float64 products."""
        a, b = self.a, self.b
        (batch, rows), (_, columns) = left, right
        u, v = a.runs(*left), b.runs(*right)
        sizes = a.size[batch, steps, rows].max(axis=1) * b.size[batch, steps, columns].max(axis=1)
        ready = sizes <= 2.0**SIGNIFICAND
        groups = (*a.groups(*left), *b.groups(*right))
        done = steps.start
        while True:
            given = (a.length, True, self.limit, self.unit, u, v, *groups, tally)
            done = self.advance(total, products, ready, done, steps.start, *given)
            if done == steps.stop:
                return
            chunk = slice(done, min(done + a.length, steps.stop))
            exact = a.doubles(*left, chunk) @ b.doubles(*right, chunk).swapaxes(1, 2)
            ones = [(x[0], np.ones_like(x[1]), *x[2:]) for x in (u, v)]
            given = (a.length, False, self.limit, self.unit, *ones, *groups, tally)
            done = self.advance(total, exact, np.ones(len(exact), np.bool_), done, done, *given)
