"""Products by a BLAS: whole chunks where a proof holds, else step by step, and group by group only what is left.

The accumulator of every output has the matrix unit's bits after every chunk, so the way is chosen anew for each tile and chunk
and changes no bit; :mod:`fp4sim.mma.proof` and :mod:`fp4sim.kernels.cpu.mma_chain` say why.
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

TILE = 256  # rows and columns of a tile: its accumulators and the products of a step stay in a core's cache
PIECE = 64  # rows that are prepared at once
FEW = 24  # a chunk is left to its proof where at most one output in this many is not proven


@dataclass
class Tally:
    """How a product was computed, in multiplications: together batch M N K, K in whole steps."""

    proven: int = 0  # in chunks of which no step cuts anything
    bounded: int = 0  # in steps whose result is decided by bounds on it
    emulated: int = 0  # group by group

    def add(self, other: Tally) -> None:
        self.proven += other.proven
        self.bounded += other.bounded
        self.emulated += other.emulated


def covers(model: MmaModel, a: Factors) -> bool:
    """Whether products of a model can be computed here."""
    return a.atom == 16 and mma_lanes.covers(model) and a.step <= mma_chain.MOST_ELEMENTS


def multiply(
    a: Factors, b: Factors, c: NDArray[np.uint32], model: MmaModel, threads: int, tally: Tally | None = None
) -> NDArray[np.uint32]:
    """D of (batch, m, n), as float32 bits; rows and columns with a NaN are not looked at."""
    chain = _Chain(_Operand(a, model, threads), _Operand(b, model, threads), model)
    out = np.empty(c.shape, np.float32)
    rows, columns = _cuts(c.shape[1], threads), _cuts(c.shape[2], 1)
    tiles = list(product(range(c.shape[0]), rows, columns))

    def tile(place: tuple[int, slice, slice]) -> Tally:
        total = np.ascontiguousarray(c[place]).view(np.float32)
        done = chain.run(total, *place)
        out[place] = total
        return done

    for done in run_all(tile, tiles, threads):
        if tally is not None:
            tally.add(done)
    return out.view(np.uint32)


def _cuts(length: int, parts: int) -> list[slice]:
    """Slices of at most TILE, at least ``parts`` where they do not become tiny."""
    size = min(TILE, max(32, -(-length // parts)))
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


class _Operand:
    """One operand, with what the kernels need of its rows. Arrays are (batch, rows, ...)."""

    def __init__(self, x: Factors, model: MmaModel, threads: int) -> None:
        self.factors, self.run = x, max(1, CHUNK // x.step) * x.step
        self.scale, self.exponent = mma_lanes.scales(x, model)
        self.values = np.empty(x.significand.shape, np.float32)

        def piece(rows: slice) -> tuple[Bounds, Bounds]:
            part = x.rows(rows)
            chunks = bounds(part, model, self.run)
            self.values[:, rows] = integers(part, chunks, self.run)
            return chunks, bounds(part, model, x.step)

        pieces = run_all(piece, [slice(at, at + PIECE) for at in range(0, len(x.nan[0]), PIECE)], threads)
        chunks, steps = (Bounds.joined(parts) for parts in zip(*pieces, strict=True))
        self.chunks, self.steps, self.top = _Powers(chunks), _Powers(steps), _runs_first(steps.top.astype(np.int64))
        own = np.ldexp(1.0, np.repeat(chunks.own, self.run // x.step, axis=-1)[..., : steps.own.shape[-1]])
        norm = np.where(steps.norm <= CLIP * own, steps.norm * np.ldexp(1.0, -steps.own), np.inf)
        self.size = _runs_first(norm)

    def groups(self, batch: int, rows: slice) -> tuple[NDArray[Any], ...]:
        """What the kernels compute groups from."""
        return self.factors.significand[batch, rows], self.scale[batch, rows], self.exponent[batch, rows]

    def doubles(self, batch: int, rows: slice, number: int) -> NDArray[np.float64]:
        """The elements of a step."""
        x, atoms = self.factors, self.factors.step // 16
        scale = self.scale[batch, rows, number * atoms : (number + 1) * atoms] * 2.0**-x.unit
        elements = x.significand[batch, rows, number * x.step : (number + 1) * x.step]
        return np.asarray((elements.reshape(*scale.shape, 16) * scale[..., None]).reshape(elements.shape))


class _Powers:
    """Bounds as factors, (batch, runs, rows): 2^unit, 2^own, and the norm over 2^unit."""

    def __init__(self, x: Bounds) -> None:
        self.unit, self.own = _runs_first(np.ldexp(1.0, x.unit)), _runs_first(np.ldexp(1.0, x.own))
        self.norm = _runs_first(x.norm * np.ldexp(1.0, -x.unit))


def _runs_first(x: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(x.swapaxes(1, 2))


class _Chain:
    """Two operands under a model."""

    def __init__(self, a: _Operand, b: _Operand, model: MmaModel) -> None:
        self.a, self.b = a, b
        limit = limits(model, a.factors, b.factors)
        self.limit = 2.0**limit.bits, 2.0**limit.lowest, 2.0**limit.highest
        self.unit = 2.0 ** -(a.factors.unit + b.factors.unit)
        self.groups = a.factors.step // 16
        self.kernels = mma_chain.kernels(model, self.groups)

    def run(self, total: NDArray[np.float32], batch: int, rows: slice, columns: slice) -> Tally:
        """Take a tile from C to D, in place."""
        tally, bad = Tally(), np.empty(total.shape, np.bool_)
        for chunk in range(self.a.chunks.unit.shape[1]):
            at_a, at_b = (batch, chunk, rows), (batch, chunk, columns)
            u, v = self.a.chunks, self.b.chunks
            norms = (u.norm[at_a], v.norm[at_b])
            count = mma_chain.mark(total, u.unit[at_a], v.unit[at_b], *norms, *self.limit, bad)
            if count * FEW <= total.size:
                self._chunk(total, batch, rows, columns, chunk, bad, count, tally)
            else:
                self._steps(total, batch, rows, columns, chunk, tally)
        return tally

    def _chunk(
        self, total: NDArray[np.float32], batch: int, rows: slice, columns: slice, chunk: int,
        bad: NDArray[np.bool_], count: int, tally: Tally,
    ) -> None:  # fmt: skip
        k = slice(chunk * self.a.run, (chunk + 1) * self.a.run)
        left, right = self.a.values[batch, rows, k], self.b.values[batch, columns, k]
        scales = (self.a.chunks.own[batch, chunk, rows], self.b.chunks.own[batch, chunk, columns])
        groups = (*self.a.groups(batch, rows), *self.b.groups(batch, columns))
        first, last = k.start // 16, k.start // 16 + left.shape[1] // 16
        self.kernels.add(total, left @ right.T, *scales, bad, count, *groups, first, last, self.unit)
        tally.proven += (total.size - count) * left.shape[1]
        tally.emulated += count * left.shape[1]

    def _steps(
        self, total: NDArray[np.float32], batch: int, rows: slice, columns: slice, chunk: int, tally: Tally
    ) -> None:
        a, b, length = self.a, self.b, self.a.factors.step
        groups = (*a.groups(batch, rows), *b.groups(batch, columns))
        each = a.run // length
        for number in range(chunk * each, min((chunk + 1) * each, a.steps.unit.shape[1])):
            at_a, at_b = (batch, number, rows), (batch, number, columns)
            if a.size[at_a].max() * b.size[at_b].max() <= 2.0**SIGNIFICAND:
                k = slice(number * length, (number + 1) * length)
                product = a.values[batch, rows, k] @ b.values[batch, columns, k].T
                scales = (a.chunks.own[batch, chunk, rows], b.chunks.own[batch, chunk, columns])
            else:
                product = a.doubles(batch, rows, number) @ b.doubles(batch, columns, number).T
                scales = (np.ones(total.shape[0]), np.ones(total.shape[1]))
            units = (a.steps.unit[at_a], b.steps.unit[at_b])
            tops = (a.top[at_a], b.top[at_b])
            start = number * self.groups
            count = self.kernels.step(total, product, *units, *scales, *tops, *groups, start, self.unit)
            tally.bounded += (total.size - count) * length
            tally.emulated += count * length
