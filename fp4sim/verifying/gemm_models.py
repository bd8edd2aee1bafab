"""Which models of a matrix unit, and which orders of steps, a GEMM output obeys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.mma.instances import model_named
from fp4sim.mma.order import Order
from fp4sim.report.verify_model import GemmModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fp4sim.mma.epilogue import Epilogue
    from fp4sim.mma.raw import RawPair

NAMED = ("blackwell", "exact", "fp32-rn", "mma-sim-2026-01", "ue5m3-report")
SPLITS = (2, 3, 4, 5, 6, 7, 8, 16)
_WORK = (
    1 << 25
)  # products of which the others are tried: a second or so each by the kernel that compiles once for all models


def same_bits(found: NDArray[Any], want: NDArray[Any]) -> NDArray[np.bool_]:
    """Element by element; one NaN is as good as another."""
    unsigned = np.dtype(f"u{found.itemsize}")
    equal = np.ascontiguousarray(found).view(unsigned) == np.ascontiguousarray(want).view(unsigned)
    with np.errstate(invalid="ignore"):
        return np.asarray(equal | ((found != found) & (want != want)))


def sampled_rows(shape: tuple[int, int, int], work: int) -> NDArray[np.int64]:
    """All rows of an (m, n, k) product, or evenly spaced ones that make about ``work`` multiplications."""
    m, n, k = shape
    return np.unique(np.linspace(0, m - 1, min(m, max(1, work // (n * k)))).astype(np.int64))


def other_models(
    pair: RawPair, epilogue: Epilogue, y: NDArray[Any], model: str, differing: int, threads: int
) -> tuple[GemmModel, ...]:
    """The model, the other named ones and split-K orders of it: on all rows, or on evenly spaced ones of a big product."""
    rows, cols = sampled_rows(pair.shape, _WORK), np.arange(pair.shape[1])
    part, tail, seen = pair.take(rows, cols), epilogue.take(rows, cols), y[rows]
    found = [GemmModel(model, differing, y.size)]
    for name, words in _candidates(part, model, differing > 0, threads):
        wrong = int(np.count_nonzero(~same_bits(seen, tail.apply(words))))
        found.append(GemmModel(name, wrong, seen.size))
    return tuple(found)


def _candidates(
    pair: RawPair, model: str, with_splits: bool, threads: int
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for name in NAMED:
        if name != model:
            yield name, pair.words(name, path="wide", threads=threads)
    for order in split_orders(model, pair) if with_splits else ():
        yield f"{model} {order}", pair.words(model, order, "wide", threads)


def split_orders(model: str, pair: RawPair) -> list[Order]:
    """The split-K orders of a product that differ: each with as many slices as it says."""
    step = model_named(model).step_length(pair.block, pair.shape[2])
    steps = -(-pair.shape[2] // step)
    return [order for order in map(Order, SPLITS) if len(order.slices(steps)) == order.parts]
