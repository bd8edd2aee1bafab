"""Which way two operands are multiplied, and over how many threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.kernels.cpu import mma_lanes, mma_wide
from fp4sim.kernels.reference import mma as reference
from fp4sim.mma import chain, rounded
from fp4sim.mma.order import CHAIN, add_up
from fp4sim.mma.proof import CHUNK, limits, proven_product
from fp4sim.parallel import run_all, thread_count

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fp4sim.mma.model import MmaModel
    from fp4sim.mma.operands import Factors
    from fp4sim.mma.order import Order

Path = Literal["compiled", "proven", "emulated", "wide", "reference"]

BAND = 16  # rows of D that a thread takes at once
FEWEST = 16  # rows and columns that are worth a BLAS
PAIRS = 1 << 22  # elements of each operand that are gathered at once for single outputs


def multiply(
    a: Factors,
    b: Factors,
    c: NDArray[np.uint32],
    model: MmaModel,
    path: Path = "compiled",
    threads: int | None = None,
    order: Order = CHAIN,
    tally: chain.Tally | None = None,
) -> NDArray[np.uint32]:
    """D of (batch, m, n), as float32 bits.

    ``path``: ``"compiled"`` takes the fastest. The others force one: ``"proven"`` proofs, bounds and a BLAS,
    ``"emulated"`` every step of every output, ``"wide"`` the compiled kernel that covers every model, ``"reference"``
    the definition. ``tally`` is told how much of a product of Blackwell's kind was proven.
    """
    if path not in get_args(Path):
        raise UsageError(f"path {path!r}: one of {', '.join(get_args(Path))}")
    workers = thread_count(threads)
    if c.size == 0:
        return c.copy()
    slices = order.slices(a.significand.shape[-1] // a.step)
    if len(slices) == 1 and not order.c_last:
        out = _chain(a, b, c, model, path, workers, tally)
    else:
        zero = np.zeros_like(c)
        partial = [
            _chain(a.steps(part), b.steps(part), zero if i or order.c_last else c, model, path, workers, tally)
            for i, part in enumerate(slices)
        ]
        by_definition = path == "reference"
        out = add_up(partial, order, by_definition=by_definition)
        if order.c_last:
            out = add_up([out, c], CHAIN, by_definition=by_definition)
    numbers = ~(a.nan[:, :, None] | b.nan[:, None, :]) & ((c & np.uint32(0x7FFFFFFF)) <= reference.INF)
    return np.where(numbers, out, np.uint32(reference.NAN))


def _chain(
    a: Factors, b: Factors, c: NDArray[np.uint32], model: MmaModel, path: Path, workers: int, tally: chain.Tally | None
) -> NDArray[np.uint32]:
    """D after all steps in turn; anything where there is a NaN."""
    if path == "reference":
        return reference.multiply(a, b, c, model)
    if path == "proven" or (path == "compiled" and min(c.shape[1:]) >= FEWEST):
        if chain.covers(model, a):
            return chain.multiply(a, b, c, model, workers, tally)
        if rounded.covers(model, a):
            return _finish(*rounded.multiply(a, b, c, model, workers), a, b, c, model, workers)
        if limits(model, a, b).bits > 0:
            run = a.step if a.step > CHUNK else CHUNK // a.step * a.step
            return _finish(*proven_product(a, b, c, model, run), a, b, c, model, workers)
    return _emulate(a, b, c, model, path, workers)


def _finish(
    out: NDArray[np.uint32], sure: NDArray[np.bool_],
    a: Factors, b: Factors, c: NDArray[np.uint32], model: MmaModel, workers: int,
) -> NDArray[np.uint32]:  # fmt: skip
    """Fill in single outputs that are not sure, each as a batch of its own."""
    batch, rows, columns = np.nonzero(~sure & ~(a.nan[:, :, None] | b.nan[:, None, :]))
    size = max(1, PAIRS // a.significand.shape[-1] // workers)

    def piece(part: slice) -> None:
        i, j = (batch[part], rows[part]), (batch[part], columns[part])
        words = c[i[0], i[1], j[1]][:, None, None]
        found = mma_wide.multiply(a.single(*i), b.single(*j), words, model, slice(0, 1))
        out[i[0], i[1], j[1]] = found[:, 0, 0]

    run_all(piece, [slice(start, start + size) for start in range(0, len(batch), size)], workers)
    return out


def _emulate(
    a: Factors, b: Factors, c: NDArray[np.uint32], model: MmaModel, path: Path, workers: int
) -> NDArray[np.uint32]:
    """Every step of every output."""
    band: Callable[[slice], NDArray[np.uint32]]
    if path != "wide" and a.atom == 16 and mma_lanes.covers(model):
        left, lanes = mma_lanes.Left(a, model), mma_lanes.Right(b, model)

        def band(rows: slice) -> NDArray[np.uint32]:
            return lanes.multiply(left, c, rows)
    else:

        def band(rows: slice) -> NDArray[np.uint32]:
            return mma_wide.multiply(a, b, c, model, rows)

    bands = [slice(start, min(start + BAND, c.shape[1])) for start in range(0, c.shape[1], BAND)]
    return np.concatenate(run_all(band, bands, workers), axis=1)
