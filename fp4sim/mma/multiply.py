"""Which way two operands are multiplied, and over how many threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.kernels.cpu import mma_lanes, mma_wide
from fp4sim.kernels.reference import mma as reference
from fp4sim.mma import chain
from fp4sim.parallel import run_all, thread_count

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fp4sim.mma.model import MmaModel
    from fp4sim.mma.operands import Factors

Path = Literal["compiled", "proven", "emulated", "wide", "reference"]

BAND = 16  # rows of D that a thread takes at once
FEWEST = 16  # rows and columns that are worth a BLAS


def multiply(
    a: Factors,
    b: Factors,
    c: NDArray[np.uint32],
    model: MmaModel,
    path: Path = "compiled",
    threads: int | None = None,
    tally: chain.Tally | None = None,
) -> NDArray[np.uint32]:
    """D of (batch, m, n), as float32 bits.

    ``path``: ``"compiled"`` takes the fastest. The others force one: ``"proven"`` proofs and a BLAS, where the model can be
    proven (``"emulated"`` where it cannot), ``"emulated"`` every step of every output, ``"wide"`` the compiled kernel that
    covers every model, ``"reference"`` the definition. ``tally`` is told how a product was computed by proofs.
    """
    if path not in get_args(Path):
        raise UsageError(f"path {path!r}: one of {', '.join(get_args(Path))}")
    workers = thread_count(threads)
    if c.size == 0:
        return c.copy()
    if path == "reference":
        return reference.multiply(a, b, c, model)
    if chain.covers(model, a) and (path == "proven" or (path == "compiled" and min(c.shape[1:]) >= FEWEST)):
        out = chain.multiply(a, b, c, model, workers, tally)
    else:
        out = _emulate(a, b, c, model, path, workers)
    numbers = ~(a.nan[:, :, None] | b.nan[:, None, :]) & ((c & np.uint32(0x7FFFFFFF)) <= reference.INF)
    return np.where(numbers, out, np.uint32(reference.NAN))


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
