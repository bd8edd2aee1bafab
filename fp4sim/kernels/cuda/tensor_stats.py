"""Error statistics of a whole tensor in one read: blocks of 16 or 32 E2M1 elements under 8-bit scales.

A block's scale code is looked up from its largest magnitude, and what follows from it from the code; :class:`ScaleTable`
holds both, so that one kernel serves every scale rule. Large bfloat16 tensors are counted by value (cuda/value_counts.cu); the
rest goes through arithmetic on every element (cuda/stats.cu), whose sums are those of chunks of 4096 blocks, merged by halving.
Either way no grid changes a digit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.kernels.cuda import load
from fp4sim.kernels.cuda.arrays import empty, is_aligned, on_device, on_host, zeros
from fp4sim.kernels.cuda.errors import SOURCE, merge_parts
from fp4sim.kernels.cuda.rotate import suffix
from fp4sim.kernels.cuda.value_counts import count_values, found_of, has_room, on_gpu
from fp4sim.kernels.cuda.value_window import window_of
from fp4sim.stats.sums import PanelSums

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCKS = (16, 32)
CODES = 256
UNREACHED = 0xFFFFFFFF
_CHUNK = 4096  # blocks
_BLOCKS_PER_PROCESSOR = 2  # what its registers hold at once
_COARSE = 19  # bits of a float below the index of the kernel's first table
_LEAST_COUNTED = 1 << 22  # elements: with fewer, counting values would not pay
_HEAD = 4  # counts before the occupancy: scale zero, over, kept zeros, lost blocks


@dataclass(frozen=True)
class ScaleTable:
    """``start``: uint32 (257,), the least bits of an amax whose code is at least c; UNREACHED for codes that none has.

    ``factor``, ``decode``: float32 and float64 (256,), what x is multiplied by and what a value of the grid stands for;
    ``largest``: the tensor's amax, above which no block is.
    """

    start: NDArray[np.uint32]
    factor: NDArray[np.float32]
    decode: NDArray[np.float64]
    largest: np.float32

    @property
    def is_fine(self) -> bool:
        """Whether no two codes begin between neighbours of the kernel's first table: up to 3 bits of mantissa."""
        reached = self.start[self.start != UNREACHED]
        return bool((np.bincount(reached >> np.uint32(_COARSE)) <= 1).all())

    @property
    def is_near(self) -> bool:
        """Whether no |x factor| reaches 7; where one does, the float32 kernels limit it before they round."""
        reached = np.flatnonzero(self.start[:CODES] != UNREACHED)
        top = np.minimum(self.start[1:].astype(np.int64) - 1, int(np.float32(self.largest).view(np.uint32)))[reached]
        with np.errstate(over="ignore"):
            return bool((top.astype(np.uint32).view(np.float32) * self.factor[reached] < np.float32(7)).all())

    def on_device(self) -> Any:
        """What cuda/stats.cuh's ScaleTable is, byte for byte."""
        bits = np.arange(1 << (31 - _COARSE), dtype=np.uint64) << np.uint64(_COARSE)
        coarse = (np.searchsorted(self.start[:CODES], bits, side="right") - 1).astype(np.uint8)
        entries = np.zeros(CODES + 1, [("decode", np.float64), ("factor", np.float32), ("next", np.uint32)])
        entries["decode"][:CODES], entries["factor"][:CODES] = self.decode, self.factor
        entries["next"] = UNREACHED
        entries["next"][:CODES] = self.start[1:]
        return on_device(np.concatenate([coarse, entries.view(np.uint8)]))


@dataclass(frozen=True)
class TensorStats:
    """``sums``: worst_index is flat in the tensor. ``scales``: int64 (256,), blocks by scale code; ``lost``: those whose scale
    is zero though they are not."""

    sums: PanelSums
    scales: NDArray[np.int64]
    lost: int

    def __add__(self, other: TensorStats) -> TensorStats:
        """Of the blocks of both."""
        a, b = self.sums, other.sums
        worst = max(a.worst, b.worst)
        index = min(one.worst_index for one in (a, b) if one.worst == worst)
        sums = PanelSums(
            a.elements + b.elements, a.sums + b.sums, a.counts + b.counts, a.occupancy + b.occupancy, worst, index
        )
        return TensorStats(sums, self.scales + other.scales, self.lost + other.lost)


def can_measure(x: Any, block: int) -> bool:
    """Whether the kernel covers an array of whole blocks: float32, float16 or bfloat16 as uint16, aligned."""
    return (
        block in BLOCKS and x.dtype.name in ("float32", "float16", "uint16") and x.size % block == 0 and is_aligned(x)
    )


@dataclass(frozen=True)
class Launched:
    """What a launched kernel will have written, on the device: sums a chunk, worst ratios and places a thread block, counts."""

    sums: Any
    worst: Any
    where: Any
    counts: Any


def tensor_stats(x: Any, block: int, table: ScaleTable, *, grid: int | None = None) -> TensorStats:
    """The statistics of finite ``x``, whose consecutive ``block`` elements share a scale; ``grid``: thread blocks to use."""
    pays = x.dtype == np.uint16 and x.size >= _LEAST_COUNTED
    window = window_of(x, block, table) if pays and has_room(x.size) else None
    if window is not None:
        found = found_of(count_values(x, block, window, on_gpu(window.table()), grid), block, window)
        if found.left is not None:
            counted = TensorStats(found.sums, found.scales, 0)
            return counted + measured(x, block, table, grid, found.left) if found.left.size else counted
    return measured(x, block, table, grid)


def measured(x: Any, block: int, table: ScaleTable, grid: int | None = None, listed: Any = None) -> TensorStats:
    """The same by arithmetic on every element, of all blocks or of those ``listed`` (uint32, on the device)."""
    launched = launch(x, block, table, table.on_device(), grid, listed)
    found, ratios, places = on_host(launched.counts).astype(np.int64), on_host(launched.worst), on_host(launched.where)
    most = float(ratios.max())
    index = int(places[ratios == most].min())
    occupancy = found[_HEAD : _HEAD + 16]
    scale_zero, over, kept, lost = (int(count) for count in found[:_HEAD])
    causes = np.array([scale_zero, over, occupancy[0] + occupancy[8] - kept], np.int64)
    size = x.size if listed is None else listed.size * block
    total = PanelSums(int(size), merge_parts(on_host(launched.sums)), causes, occupancy, most, index)
    return TensorStats(total, found[_HEAD + 16 :], lost)


def launch(x: Any, block: int, table: ScaleTable, ready: Any, grid: int | None = None, listed: Any = None) -> Launched:
    """Start the kernel; ``ready``: ``table`` on the device, ``listed`` as in :func:`measured`."""
    blocks = x.size // block if listed is None else listed.size
    chunks = -(-blocks // _CHUNK)
    size = min(chunks, grid or _BLOCKS_PER_PROCESSOR * load.processors())
    counts = zeros((_HEAD + 16 + CODES,), np.uint64)
    out = Launched(empty((chunks, 8), np.float64), empty((size,), np.float64), empty((size,), np.int64), counts)
    name, which = (_kernel_of(x, block, table), ()) if listed is None else (f"stats_listed_{block}", (listed,))
    args = (x, blocks, ready, out.sums, out.worst, out.where, out.counts, *which)
    load.launch(load.kernel(SOURCE, name), size * load.THREADS, args)
    return out


def _kernel_of(x: Any, block: int, table: ScaleTable) -> str:
    """Any would do for float32; where many blocks reach 7, the one that does not ask is faster for those of 32."""
    limited = "limited_" if x.dtype == np.float32 and block == 32 and not table.is_near else ""
    return f"stats_{limited}{suffix(x)}_{block}"
