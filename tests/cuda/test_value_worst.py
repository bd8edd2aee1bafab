"""Which blocks may be left out when the worst element is sought (cuda/value_worst.cuh), one warp at a time on the host."""

from __future__ import annotations

import ctypes
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from fp4sim.gpu.scale_table import scale_table
from fp4sim.kernels.cuda.arrays import on_device
from fp4sim.kernels.cuda.value_window import Window, floats, window_of
from tests.cuda.host import host_library
from tests.cuda.test_tensor_stats import pipeline_of
from tests.cuda.test_value_counts import nearest

SEARCH, NO_BINS, NO_BLOCK = 0x8000, 0xFFFFFFFF, 0xFFFFFFFF
RATIO, BLOCK = 5, 1000  # which of the bounds, from the largest, is known, and of which block


@pytest.fixture
def x() -> np.ndarray:
    """Blocks of 16."""
    x = np.random.default_rng(3).standard_normal((1, 16 * 40)).astype(ml_dtypes.bfloat16)
    return x.view(np.uint16)


@pytest.fixture
def window(x, host_device) -> Window:
    pipeline = pipeline_of(x.view(ml_dtypes.bfloat16), "nvfp4")
    return window_of(on_device(x), 16, scale_table(pipeline.quantizer))


def call(name: str, *args: Any) -> None:
    """By a warp; arrays are what it reads and writes."""
    library = host_library("value_worst_host.cpp")
    words = (ctypes.c_uint64 * 32)(*(arg if isinstance(arg, int) else arg.ctypes.data for arg in args))
    library.emulate(ctypes.cast(getattr(library, name), ctypes.c_void_p), 1, 32, words)


def key_of(ratio: np.float32, block: int) -> int:
    return int(np.float32(ratio).view(np.uint32)) << 32 | block ^ 0xFFFFFFFF


def known(applied: int = 0, passed: int = 0, key: int = 0) -> np.ndarray:
    return np.array([applied, passed, key], np.uint64)


def test_nothing_is_known_first():
    state, reached = known(1, 1, 1), np.ones(32, np.uint32)
    call("begun", state, reached)
    assert not state.any()
    assert not reached.any()


@pytest.mark.parametrize("warp", [0, 1])
@pytest.mark.parametrize("where", ["here", "elsewhere"])
@pytest.mark.parametrize(
    ("own", "other"),
    [(BLOCK, BLOCK), (BLOCK - 1, 5000), (5000, BLOCK - 1), (BLOCK + 1, 5000), (5000, BLOCK + 1), (0, 0), (5000, 0)],
)
def test_flags(own, other, where, warp, window):
    """None is taken from a bound that a block which some warp still has could reach and come before the known one."""
    table, n = window.table(), window.maxima
    table["blocks_of"][3] = NO_BINS
    ratio = np.unique(table["bound"][:n])[-RATIO]
    key = key_of(ratio, BLOCK)
    state, told = known(key=key if where == "here" else 1), np.array([key if where == "elsewhere" else 1], np.uint64)
    reached = np.array([0, other] if warp == 0 else [other, 0], np.uint32)
    after = np.zeros(n, np.uint32)
    call("refreshed", table, state, told, warp, own, reached, after)
    first = min(own, other)
    out = np.array([key_of(bound, first) <= key for bound in table["bound"][:n]])
    assert out.any()
    assert not out.all()
    assert (out == (table["bound"][:n] <= ratio)).all() == (first >= BLOCK)
    out &= table["blocks_of"][:n] != NO_BINS
    assert np.array_equal(after, np.where(out, table["blocks_of"][:n] & ~np.uint32(SEARCH), table["blocks_of"][:n]))
    assert reached.tolist() == ([own, other] if warp == 0 else [other, own])
    assert state.tolist() == [key, key if first > BLOCK else 0, key]


def test_flags_once_all_have_passed(window):
    """The key is old; that its block lies behind all warps is new."""
    table, n = window.table(), window.maxima
    ratio = np.unique(table["bound"][:n])[-RATIO]
    key = key_of(ratio, BLOCK)
    for reached, passed, taken in ((BLOCK, 0, False), (BLOCK + 1, 0, True), (BLOCK + 1, key, False)):
        state, after = known(key, passed, key), np.zeros(n, np.uint32)
        call("refreshed", table, state, np.zeros(1, np.uint64), 0, 5000, np.array([0, reached], np.uint32), after)
        assert np.array_equal((after & SEARCH) == 0, (table["bound"][:n] <= ratio) & taken)


def worst_of_block(magnitudes: np.ndarray, window: Window) -> tuple[float, int, int]:
    """The largest |e| / amax, where it is, and which of the maxima the block has."""
    at = int(magnitudes.max()) - window.least
    code = int(window.codes_of_maxima[at])
    values = floats(magnitudes.astype(np.int64))
    errors = [
        abs(nearest(min(v * window.scales.factor[code], 6)) * window.scales.decode[code] - float(v)) for v in values
    ]
    ratios = np.array(errors) * (1.0 / float(values.max()))
    return float(ratios.max()), int(ratios.argmax()), at


def down(ratio: float) -> np.float32:
    near = np.float32(ratio)
    return np.nextafter(near, np.float32(-1)) if float(near) > ratio else near


@pytest.mark.parametrize("case", ["below the bound", "the bound", "equal blocks", "a better key is known"])
def test_search(case, x, window):
    """What is told is never more than what a block has, unless no block of its bound can have more."""
    table, blocks = window.table(), x.reshape(-1, 16)
    wanted = np.array([7, 3, NO_BLOCK, 12, 30, 31] + [NO_BLOCK] * 26, np.uint32)
    if case in ("the bound", "equal blocks"):
        reach_bound(blocks[12], window)
    if case == "equal blocks":
        blocks[7] = blocks[30] = blocks[12]
    found = [worst_of_block(blocks[b] & 0x7FFF, window) if b != NO_BLOCK else (-1.0, -1, 0) for b in wanted]
    keys = []
    for block, (ratio, _, at) in zip(wanted.tolist(), found, strict=True):
        if block != NO_BLOCK:
            keys.append(key_of(table["bound"][at] if ratio == table["worst"][at] else down(ratio), block))
    most, before = max(keys), 1 << 62 if case == "a better key is known" else 1
    told, state, ratios, places = np.array([5], np.uint64), known(key=before), np.zeros(32), np.zeros(32, np.int64)
    call("searched", table, state, told, x, wanted, ratios, places)
    assert ratios.tolist() == [ratio for ratio, _, _ in found]
    assert places.tolist() == [
        b * 16 + i if b != NO_BLOCK else -1 for b, (_, i, _) in zip(wanted.tolist(), found, strict=True)
    ]
    assert state[2] == max(most, before)
    assert told[0] == (5 if before > most else most)
    pairs = zip(wanted.tolist(), found, strict=True)
    reached = [block for block, (ratio, _, at) in pairs if 0 <= ratio == table["worst"][at]]
    assert reached == {"the bound": [12], "equal blocks": [7, 12, 30]}.get(case, [])
    if reached:
        assert most == key_of(table["bound"][found[3][2]], reached[0])


def reach_bound(block: np.ndarray, window: Window) -> None:
    """Gives a block the largest error that any of its maximum's can have, if none is larger under the same bound."""
    table = window.table()
    for at in range(window.maxima - 1, -1, -1):
        if table["worst"][at] < 0:
            continue
        amax = window.least + at
        block[:] = amax
        for magnitude in range(int(table["blocks_of"][at]) & 0x7FFF, amax):
            block[5] = magnitude
            if worst_of_block(block, window)[0] == table["worst"][at]:
                return
    raise AssertionError("no block reaches a bound")
