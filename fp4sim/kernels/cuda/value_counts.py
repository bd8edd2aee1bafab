"""Error statistics of bfloat16 by counting (cuda/value_counts.cu): how often each value comes under each block scale.

A bfloat16 has few values, so the float64 arithmetic is done once for each pair of a value and a scale code that occurs. The
counts fill a multiprocessor's shared memory. They cover a window of scale codes (:mod:`fp4sim.kernels.cuda.value_window`);
blocks that have no bins are listed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.kernels.cuda import load
from fp4sim.kernels.cuda.arrays import empty, on_device, on_host, zeros
from fp4sim.kernels.cuda.errors import merge_parts
from fp4sim.kernels.cuda.value_window import PER_SIGN, Window
from fp4sim.stats.sums import PanelSums

if TYPE_CHECKING:
    from numpy.typing import NDArray

SOURCE = "value_counts.cu"
_THREADS = {16: 768, 32: 512}  # by block, as in the source
_CAUSES = 2  # over, flushed; then come sixteen codes
_COUNTS = _CAUSES + 16
_CODES = 256
_LEFT = _COUNTS + _CODES + 2  # the place in Totals of how many blocks are left; before it zero blocks and the key
_BINS = _LEFT + 1  # and of the bins
_NEGATIVE = 1 << 15  # words of shared memory before the bins of negative elements
_STATIC = 512  # bytes that the kernels have besides, at most
_MOST = 1 << 35  # elements: blocks are numbered in 32 bits, and so are the kernel's next ones


@dataclass(frozen=True)
class Counted:
    """On the device: rows of sums (8); Totals of cuda/value_counts.cu; the worst ratio and its place by thread block; the
    blocks that are left."""

    sums: Any
    totals: Any
    worst: Any
    where: Any
    left: Any


@dataclass(frozen=True)
class Found:
    """Statistics of the blocks that were counted, and which were not: ``left`` (uint32, on the device), None if too many."""

    sums: PanelSums
    scales: NDArray[np.int64]
    left: Any


def has_room(elements: int) -> bool:
    """Whether the current device has the shared memory, and the counts of a thread block, which are uint32, the range."""
    enough = load.shared_memory() >= 4 * (_NEGATIVE + PER_SIGN) + _STATIC
    return enough and elements <= min(_MOST, load.processors() << 31)


def count_values(x: Any, block: int, window: Window, table: Any, grid: int | None = None) -> Counted:
    """Count, then sum; ``table``: ``window.table()`` on the device."""
    blocks = x.size // block
    threads = _THREADS[block]
    size = min(grid or load.processors(), -(-blocks // threads))
    rows = -(-2 * window.bins // load.THREADS)
    out = Counted(
        empty((rows, 8), np.float64),
        zeros((_BINS + 2 * window.bins,), np.uint64),
        empty((size,), np.float64),
        empty((size,), np.int64),
        empty((blocks // 8 + 1,), np.uint32),
    )
    count, add = (load.kernel(SOURCE, name) for name in (f"value_counts_{block}", "value_sums"))
    shared = 4 * (_NEGATIVE + window.bins)
    count.max_dynamic_shared_size_bytes = shared
    args = (x, blocks, table, out.totals, out.worst, out.where, out.left, out.left.size)
    load.launch(count, size * threads, args, block=threads, shared=shared)
    load.launch(add, rows * load.THREADS, (table, out.totals, out.sums))
    return out


def found_of(counted: Counted, block: int, window: Window) -> Found:
    """What a launch has counted, on the host."""
    totals, ratios, places = (on_host(part) for part in (counted.totals[:_BINS], counted.worst, counted.where))
    remaining = int(totals[_LEFT])
    left = load.get_cupy().sort(counted.left[:remaining]) if remaining <= counted.left.size else None
    numbers = totals.astype(np.int64)
    scales, occupancy = numbers[_COUNTS : _COUNTS + _CODES], numbers[_CAUSES:_COUNTS]
    scales[window.code_of_zero] += numbers[_COUNTS + _CODES]
    elements = int(scales.sum()) * block
    occupancy[0] += elements - int(occupancy.sum())  # positive zeros are not counted one by one
    most = float(ratios.max())
    counts = np.array([0, *numbers[:_CAUSES]], np.int64)
    sums = merge_parts(on_host(counted.sums))
    index = int(places[ratios == most].min()) if most >= 0 else -1
    total = PanelSums(elements, sums, counts, occupancy, most, index)
    return Found(total, scales, left)


def on_gpu(table: NDArray[np.void]) -> Any:
    """Its bytes."""
    return on_device(np.frombuffer(table.tobytes(), np.uint8).copy())
