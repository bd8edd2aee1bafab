"""Counting values (cuda/value_counts.cu) on tensors small enough for a sanitizer, by the pieces of ``tensor_stats``."""

from __future__ import annotations

from typing import Any

import numpy as np

from fp4sim.grammar import parse
from fp4sim.kernels.cuda.tensor_stats import TensorStats, measured
from fp4sim.kernels.cuda.value_counts import count_values, found_of, on_gpu
from fp4sim.kernels.cuda.value_window import _NO_BINS, _SEARCH, Window, window_of
from tests.cuda.gpu_cases import table_of

CASES = (("nvfp4", 0), ("mxfp4", 0), ("nvfp4", -112), ("mxfp4", -112))  # a format, the power of two of the data
LOWEST = ("mxfp4", -126)  # subnormals on both sides of the least that does not become 0; all blocks have bins
ROWS = 3109  # of 32: three turns and a part for every warp of two thread blocks, and a last group that is not full
GRID = 2


def values(rows: int, power: int) -> np.ndarray:
    """Bits of bfloat16 (rows, 32): normal, zeros of both signs and blocks of them, subnormals; and blocks without bins,
    which are small or hold an element that is next to nothing."""
    x = np.random.default_rng(7).standard_normal((rows, 32)).astype(np.float32)
    x[1::16, ::5], x[2::16, ::3], x[3::32], x[4::32] = 0, -0.0, 0, -0.0
    x[5::64] *= np.float32(2.0**-20)
    x[6::64, ::17] = 2.0**-30
    x = np.ldexp(x, power)
    x[7::64, 9] = -(2.0**-130)
    return (x.view(np.uint32) >> np.uint32(16)).astype(np.uint16)


def unsearched(table: np.ndarray) -> np.ndarray:
    """``Window.table`` under which no block is looked at for the worst element.

    While that is sought, warps read and write in shared memory what is known (two keys, the bits SEARCH) without waiting for
    each other: what they miss costs a look and changes nothing. racecheck cannot know, so that it is shown the rest.
    """
    known = table["blocks_of"]
    known[known != _NO_BINS] &= ~np.uint32(_SEARCH)
    return table


def check(cupy: Any, text: str, power: int, *, search: bool) -> int:
    """Count, measure what is listed, and hold it to arithmetic on every element; how many blocks were listed.

    Raises RuntimeError.
    """
    x, block = cupy.asarray(values(ROWS, power)), parse(text).block.cols
    table = table_of(x, "bfloat16", text)
    window = window_of(x, block, table)
    if window is None:
        raise RuntimeError(f"{text}, 2^{power}: values are not counted")
    ready = on_gpu(window.table() if search else unsearched(window.table()))
    found = found_of(count_values(x, block, window, ready, GRID), block, window)
    if found.left is None or (found.left.size > 0) == ((text, power) == LOWEST):
        raise RuntimeError(f"{text}, 2^{power}: not the blocks that were to be listed")
    ours = TensorStats(found.sums, found.scales, 0)
    if found.left.size:
        ours += measured(x, block, table, None, found.left)
    wrong = _differing(ours, measured(x, block, table), search)
    if wrong:
        raise RuntimeError(f"{text}, 2^{power}: {', '.join(wrong)} differ from arithmetic on every element")
    if found.left.size:
        _overrun(x, block, window, ready)
    return int(found.left.size)


def _overrun(x: Any, block: int, window: Window, ready: Any) -> None:
    """More blocks to list than there is room for."""
    many = x.copy()
    many[::2] = 1  # next to nothing
    if found_of(count_values(many, block, window, ready), block, window).left is not None:
        raise RuntimeError("all blocks were listed though there is no room for them")


def _differing(ours: TensorStats, theirs: TensorStats, worst: bool) -> list[str]:
    a, b = ours.sums, theirs.sums
    pairs = {
        "scales": (ours.scales, theirs.scales),
        "lost": (ours.lost, theirs.lost),
        "elements": (a.elements, b.elements),
        "causes": (a.counts, b.counts),
        "occupancy": (a.occupancy, b.occupancy),
    }
    if worst:
        pairs["worst"] = (a.worst, a.worst_index), (b.worst, b.worst_index)
    return [name for name, (one, other) in pairs.items() if not np.array_equal(one, other)]
