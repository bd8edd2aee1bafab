"""What the sanitizers are shown of counting values: that it is all there, and that wrong counts end the run. No GPU needed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fp4sim.grammar import parse
from fp4sim.kernels.cuda import value_counts
from fp4sim.kernels.cuda.value_counts import found_of
from fp4sim.kernels.cuda.value_window import window_of
from tests.cuda import counted_cases
from tests.cuda.counted_cases import CASES, GRID, LOWEST, ROWS, unsearched, values
from tests.cuda.gpu_cases import table_of
from tests.cuda.host import COUNTERS
from tests.cuda.session import parts


@pytest.fixture
def cupy(host_device, monkeypatch):
    """Fewer rows and threads than on a GPU."""
    monkeypatch.setattr(value_counts, "_THREADS", {16: COUNTERS, 32: COUNTERS})
    monkeypatch.setattr(counted_cases, "ROWS", 205)
    return host_device


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_kind_of_block_is_there(case, host_device):
    text, power = case  # where power is 0 subnormals are below the bins
    block, bits = parse(text).block.cols, values(ROWS, power)
    x = host_device.asarray(bits)
    window = window_of(x, block, table_of(x, "bfloat16", text))
    magnitudes = bits.reshape(-1, block) & 0x7FFF
    blocks, warps = len(magnitudes), GRID * value_counts._THREADS[block] // 32
    assert blocks % 32
    assert blocks // 32 // warps >= 3
    most, least = magnitudes.max(axis=1), np.where(magnitudes, magnitudes, 0x7FFF).min(axis=1)
    small, low = (most > 0) & (most < window.least), (least <= window.below) & (most >= window.least)
    plain = (most > 0) & ~small & ~low
    holes = (magnitudes == 0).any(axis=1)
    assert small.any()
    assert low.any() == (power == 0)
    assert (holes & plain).any()
    assert {0, 0x8000} <= set(bits.reshape(-1, block)[most == 0].ravel())
    subnormal = ((magnitudes > 0) & (magnitudes < 0x80)).any(axis=1)
    assert (subnormal & (plain if power else low)).any()


def test_subnormals_decide_what_is_flushed(host_device):
    """A GPU whose comparison took them for zeros would fail here, and here alone."""
    text, power = LOWEST
    bits = values(ROWS, power)
    x = host_device.asarray(bits)
    window = window_of(x, 32, table_of(x, "bfloat16", text))
    limit = int(window.limit[window.first])
    assert window.first == window.below == 0
    assert 1 < limit < 0x80
    blocks = (bits & 0x7FFF).reshape(-1, 32)
    blocks = blocks[blocks.min(axis=1) > 0]
    least = blocks[window.codes_of_maxima[blocks.max(axis=1) - window.least] == 0]
    assert ((least < limit).any(axis=1) & ((least >= limit) & (least < 0x80)).any(axis=1)).sum() > 100


def test_the_lowest_are_counted_as_measured(cupy):
    assert counted_cases.check(cupy, *LOWEST, search=True) == 0


@pytest.mark.parametrize("search", [True, False])
@pytest.mark.parametrize("case", [CASES[0], CASES[3]], ids=str)
def test_counted_as_measured(case, search, cupy):
    assert 0 < counted_cases.check(cupy, *case, search=search) < 205


def test_a_wrong_count_ends_the_run(cupy, monkeypatch):
    def spoiled(*args: Any) -> Any:
        found = found_of(*args)
        counts = found.sums.occupancy + np.eye(16, dtype=np.int64)[5]
        return replace(found, sums=replace(found.sums, occupancy=counts))

    monkeypatch.setattr(counted_cases, "found_of", spoiled)
    with pytest.raises(RuntimeError, match="mxfp4, 2\\^0: occupancy differ"):
        counted_cases.check(cupy, "mxfp4", 0, search=True)


def test_nothing_is_sought_under_racecheck(host_device, tmp_path):
    x = host_device.asarray(values(ROWS, 0))
    window = window_of(x, 16, table_of(x, "bfloat16", "nvfp4"))
    before, after = window.table()["blocks_of"], unsearched(window.table())["blocks_of"]
    assert (before[: window.maxima] & 0x8000).all()
    assert np.array_equal(after, before & 0xFFFF7FFF)  # no block of this window is without bins, which is all ones
    assert [one.name for one in parts(tmp_path) if "--no-search" in one.command] == ["racecheck"]
