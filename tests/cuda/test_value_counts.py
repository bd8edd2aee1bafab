"""Statistics of bfloat16 by counting values against the CPU's compare; the kernel's source runs on the host."""

from __future__ import annotations

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest

from fp4sim.gpu.scale_table import scale_table
from fp4sim.kernels.cuda import load, tensor_stats, value_counts
from fp4sim.kernels.cuda.arrays import on_device
from fp4sim.kernels.cuda.tensor_stats import TensorStats, measured
from fp4sim.kernels.cuda.value_counts import count_values, found_of, on_gpu
from fp4sim.kernels.cuda.value_window import MAXIMA, floats, window_of
from tests.cuda.host import COUNTERS
from tests.cuda.test_panel_sums import same_sums
from tests.cuda.test_tensor_stats import SPECS, adversarial, pipeline_of, reference

LEAN = ("nvfp4", "mxfp4")
SLOW = [pytest.param(text, marks=() if text in LEAN else pytest.mark.slow) for text in SPECS]


@pytest.fixture(autouse=True)
def few_threads(host_device, monkeypatch):
    monkeypatch.setattr(value_counts, "_THREADS", {16: COUNTERS, 32: COUNTERS})


def normal(rows: int = 20) -> np.ndarray:
    """N(0, 1) with zeros of both signs, whole blocks of them, elements and rows too small for any bin, equal blocks."""
    x = np.random.default_rng(1).standard_normal((rows, 1120)).astype(np.float32)
    x[1, 5:100], x[2, 7], x[3:5] = 0, -0.0, 0
    x[4, ::3] = -0.0
    x[5] *= np.float32(2.0**-20)
    x[6, :500:9] *= np.float32(2.0**-30)
    x[7] = x[0]
    x[8, ::32] = -2.625
    return x.astype(ml_dtypes.bfloat16)


def statistics(x: np.ndarray, text: str, window=None, grid=None, given=None) -> tuple[TensorStats, int]:
    """What is counted and what is left, together; and how many blocks are left."""
    pipeline = pipeline_of(x, text, given)
    table, block = scale_table(pipeline.quantizer), pipeline.geometry.block.cols
    raw = on_device(np.append(x.view(np.uint16), np.full(64 * block, 0x3F81, np.uint16)))[: x.size]  # what lies behind
    window = window or window_of(raw, block, table)
    assert window is not None
    found = found_of(count_values(raw, block, window, on_gpu(window.table()), grid), block, window)
    counted = TensorStats(found.sums, found.scales, 0)
    if found.left is None:
        return counted, -1
    return counted + measured(raw, block, table, None, found.left) if found.left.size else counted, found.left.size


def same(found: TensorStats, x: np.ndarray, text: str, given=None) -> None:
    sums, counts, at = reference(pipeline_of(x, text, given), x)
    same_sums(found.sums, replace(sums, worst_index=at))
    assert np.array_equal(found.scales, np.pad(counts.histogram, (0, 256 - counts.histogram.size)))
    assert found.lost == counts.lost


@pytest.mark.parametrize("text", SLOW)
def test_sums(text):
    x = normal()
    found, left = statistics(x, text)
    assert 0 < left < x.size // 64
    same(found, x, text)


def test_too_many_blocks_left():
    """A window of two codes: more blocks have no bins than there is room for, and then all are measured."""
    x = normal()
    pipeline = pipeline_of(x, "nvfp4")
    table = scale_table(pipeline.quantizer)
    whole = window_of(on_device(x.view(np.uint16)), 16, table)
    _, left = statistics(x, "nvfp4", replace(whole, first=whole.last - 1))
    assert left == -1


def test_grid_changes_no_digit():
    x = normal()
    one, other = (statistics(x, "nvfp4", grid=grid)[0] for grid in (1, 5))
    assert one.sums.sums.tobytes() == other.sums.sums.tobytes()
    assert (one.sums.worst, one.sums.worst_index) == (other.sums.worst, other.sums.worst_index)
    assert np.array_equal(one.sums.occupancy, other.sums.occupancy)
    assert np.array_equal(one.scales, other.scales)


def test_values_on_the_grid():
    """All errors are zero: the first element is the worst, in the first block even if that is zeros."""
    x = np.resize(np.array([6, -4, 3, 0, 0.5, -0.0, 2, 1.5], np.float32), (4, 1120))
    x[0, :64] = 0
    x = x.astype(ml_dtypes.bfloat16)
    found, _ = statistics(x, "mxfp4")
    assert (found.sums.worst, found.sums.worst_index) == (0.0, 0)
    same(found, x, "mxfp4")


@pytest.mark.parametrize(
    ("text", "power", "given"), [("mxfp4", -124, None), ("e2m1/32@e8m0@floor@ts:given", -122, 100)]
)
def test_maxima_that_are_flushed(text, power, given):
    """The least power of two is the scale of all blocks below it, down to those of which nothing is left."""
    x = np.random.default_rng(2).standard_normal((4, 1120)) * np.exp2(power - np.arange(4)[:, None] * 3)
    x = x.astype(np.float32).astype(ml_dtypes.bfloat16)
    table = scale_table(pipeline_of(x, text, given).quantizer)
    window = window_of(on_device(x.view(np.uint16)), 32, table)
    assert window.first == 0
    assert window.limit[0] > window.least
    found, left = statistics(x, text, window, given=given)
    assert left == 0
    same(found, x, text, given)


def test_too_many_maxima():
    """A code of more maxima than the table holds has no bins."""
    x = normal(9)
    table = scale_table(pipeline_of(x, "e2m1/32@e8m0@floor@ts:given", 3e38).quantizer)
    assert table.is_fine
    assert table.start[1] >> 16 > MAXIMA
    assert window_of(on_device(x.view(np.uint16)), 32, table) is None


def test_small_elements_in_most_blocks():
    """They have no bins, and then counting would be in vain."""
    x = normal()[9:]
    table = scale_table(pipeline_of(x, "nvfp4").quantizer)
    assert window_of(on_device(x.view(np.uint16)), 16, table) is not None
    x[:, ::20] = 2.0**-30
    assert window_of(on_device(x.view(np.uint16)), 16, table) is None


def test_every_other_row_of_zeros():
    """The sample is not taken from these rows alone."""
    x = np.random.default_rng(4).standard_normal((1 << 13, 1 << 7)).astype(np.float32)
    x[::2] = 0
    x = x.astype(ml_dtypes.bfloat16)
    table = scale_table(pipeline_of(x, "nvfp4").quantizer)
    assert window_of(on_device(x.view(np.uint16)), 16, table) is not None


@pytest.mark.parametrize("kilobytes", [99, 163])
def test_less_shared_memory(kilobytes, monkeypatch):
    """Of sm_86 and sm_120, of sm_80: arithmetic measures, and nothing is launched that the device refuses."""
    monkeypatch.setattr(tensor_stats, "_LEAST_COUNTED", 0)
    monkeypatch.setattr(load, "shared_memory", lambda: kilobytes << 10)
    monkeypatch.delattr(tensor_stats, "count_values")
    x = normal(9)
    found = tensor_stats.tensor_stats(on_device(x.view(np.uint16)), 16, scale_table(pipeline_of(x, "nvfp4").quantizer))
    same(found, x, "nvfp4")


def test_counts_stay_in_range(monkeypatch):
    assert value_counts.has_room(1 << 31)
    assert not value_counts.has_room((1 << 31) + 1)
    monkeypatch.setattr(load, "processors", lambda: 132)
    assert value_counts.has_room(1 << 35)
    assert not value_counts.has_room(1 << 36)


def test_bins_of_more_than_sixteen_bits():
    """As all have of a tensor worth counting: the same counts many times over are as many times the elements and sums."""
    x, times = normal(), (1 << 33) + 12345
    pipeline = pipeline_of(x, "mxfp4")
    raw = on_device(x.view(np.uint16))
    window = window_of(raw, 32, scale_table(pipeline.quantizer))
    table = on_gpu(window.table())
    counted = count_values(raw, 32, window, table)
    one = counted.totals.get().astype(np.int64)
    sums = counted.sums.get().sum(axis=0)
    counted.totals.array[:] = 0
    counted.totals.array[value_counts._BINS :] = one[value_counts._BINS :] * times
    rows = len(counted.sums)
    load.launch(load.kernel(value_counts.SOURCE, "value_sums"), rows * 256, (table, counted.totals, counted.sums))
    many = counted.totals.get().astype(np.int64)
    assert np.array_equal(many[: value_counts._COUNTS + 256], one[: value_counts._COUNTS + 256] * times)
    np.testing.assert_allclose(counted.sums.get().sum(axis=0), sums * times, rtol=1e-12)


@pytest.mark.parametrize("grid", [1, 2, 3])
@pytest.mark.parametrize("equal", [(325, 650), (326, 327, 650), (10, 650, 766), (139, 140, 700), (645, 646), (766,)])
def test_the_first_of_equal_blocks(equal, grid):
    """Whichever is found first, with the largest error that its maximum allows; all others are on the grid."""
    x = np.tile(np.float32([6, 0.5, -3, 4] * 8), (768, 1))
    x[list(equal), 3:20] = 5
    x = x.astype(ml_dtypes.bfloat16)
    found, left = statistics(x, "mxfp4", grid=grid)
    assert left == 0
    assert (found.sums.worst, found.sums.worst_index) == (1 / 6, equal[0] * 32 + 3)
    same(found, x, "mxfp4")


@pytest.mark.parametrize("zeros", [False, True])
def test_the_least_element_that_has_a_bin(zeros):
    """Blocks with one that is as large as the window's `below` are listed, those whose least is the next one are counted."""
    x = normal()[9:12]
    raw = x.view(np.uint16)
    window = window_of(on_device(raw), 16, scale_table(pipeline_of(x, "nvfp4").quantizer))
    assert window.below > 0
    blocks = raw.reshape(-1, 16)
    if zeros:
        blocks[:, 5] = np.resize([0, 0x8000], len(blocks))
    for more, listed in ((0, 8), (1, 0)):
        blocks[:8, 9:11] = window.below + more, 0x8000 | window.below + more + 1
        found, left = statistics(x, "nvfp4", window)
        assert left == listed
        same(found, x, "nvfp4")


@pytest.mark.parametrize("kind", ["normal", "adversarial"])
def test_tensor_stats_counts_where_it_can(kind, monkeypatch):
    monkeypatch.setattr(tensor_stats, "_LEAST_COUNTED", 0)
    x = normal() if kind == "normal" else adversarial((16, 1120), 3).astype(ml_dtypes.bfloat16)
    pipeline = pipeline_of(x, "nvfp4")
    table, raw = scale_table(pipeline.quantizer), on_device(x.view(np.uint16))
    assert (window_of(raw, 16, table) is None) == (kind == "adversarial")
    same(tensor_stats.tensor_stats(raw, 16, table), x, "nvfp4")


@pytest.mark.parametrize("text", SPECS)
def test_window(text):
    """Each code, and each pair of a code and a magnitude, has a bin; no element of a block is worse than the table says."""
    x = normal()
    pipeline = pipeline_of(x, text)
    table = scale_table(pipeline.quantizer)
    window = window_of(on_device(x.view(np.uint16)), pipeline.geometry.block.cols, table)
    out = window.table()
    bounds, reached = out["bound"][: window.maxima], out["worst"][: window.maxima]
    for at in np.linspace(0, window.maxima - 1, 40).astype(int):
        known, amax = int(out["blocks_of"][at]), window.least + at
        limit, code = known & 0x7FFF, int(np.searchsorted(table.start[:256], amax << 16, side="right")) - 1
        assert known & 0x8000
        begin = 1 + window.flush + (code - window.first) * (window.width + 1)  # the bin of the code's blocks
        assert (known >> 16) + limit - window.below == begin + 1
        value = floats(np.arange(1, amax + 1))
        z = value * table.factor[code]
        assert np.array_equal(np.flatnonzero(z > np.float32(0.25)) + 1, np.arange(limit, amax + 1))
        r = np.concatenate([np.zeros(limit - 1), [nearest(one) for one in z[limit - 1 :]]])
        worst = float(np.abs(r * table.decode[code] - value.astype(np.float64)).max()) * (1 / float(value[-1]))
        assert out["worst"][at] in (worst, -1)
        assert worst <= float(bounds[at]) <= worst * (1 + 2.0**-22)
        assert reached[at] == worst or worst < reached[bounds == bounds[at]].max()
        assert amax - limit < window.width
    for bound in np.unique(bounds):
        assert len(set(reached[bounds == bound]) - {-1.0}) == 1
    assert window.bins >= 1 + window.flush + (window.last - window.first + 1) * (window.width + 1)
    assert 4 * (32768 + window.bins) <= 227 * 1024 - 512


def nearest(z: float) -> float:
    """The E2M1 value nearest to z, ties to the even code."""
    values = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
    return min(enumerate(values), key=lambda one: (abs(one[1] - z), one[0] % 2))[1]
