"""The one-read statistics of a tensor against the CPU's compare, digit by digit; the kernel's source runs on the host."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from fp4sim.estimators.pipeline import prepare
from fp4sim.geometry import Geometry
from fp4sim.gpu.scale_table import has_table, scale_table
from fp4sim.grammar import parse
from fp4sim.io.source import ArrayTensor
from fp4sim.kernels.cuda.arrays import on_device
from fp4sim.kernels.cuda.tensor_stats import ScaleTable, TensorStats, tensor_stats
from fp4sim.kernels.reference.kernels import ReferenceKernels
from fp4sim.panels import Panels
from fp4sim.randbits import Stream
from fp4sim.stats.metrics import ScaleCounts
from fp4sim.stats.sums import SumTree
from tests.cuda.test_panel_sums import same_sums

SPECS = [
    "nvfp4",
    "mxfp4",
    "mxfp4@rceil",
    "mxfp4@even",
    "nvfp4@ts:none",
    "nvfp4/32@e5m2",
    "e2m1/16@ue5m3",
    "nvfp4+max:4",
]


def adversarial(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Gaussian rows of very different size, ties, zeros of both signs, blocks of zeros, blocks that vanish, repeated rows."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) * np.exp2(rng.integers(-20, 4, (shape[0], 1)))
    x[1::7] = rng.integers(-12, 13, x[1::7].shape) / 2
    x[2::7] = rng.choice([0.0, -0.0, 1.0, -6.0], x[2::7].shape)
    x[3::7, : shape[1] // 2] = 0
    x[4::7] *= 2.0**-110
    x[5::7] *= np.exp2(rng.integers(-30, 1, x[5::7].shape))
    x[6::7] = x[1]
    return x.astype(np.float32)


def pipeline_of(x: np.ndarray, text: str, given: float | None = None):
    spec = parse(text)
    tensor = ArrayTensor("x", x)
    geometry = Geometry.for_spec(x.shape, -1, spec)
    scale = None if given is None else np.float32(given).reshape(())
    return prepare(Panels(tensor, 1), spec, geometry, Stream(), kernels=ReferenceKernels, given=scale)


def reference(pipeline, x: np.ndarray):
    tree, counts, worst, at = SumTree(), None, -1.0, None
    for run in pipeline.geometry.runs:
        sums, scales = pipeline.errors(run, pipeline.load(run.whole))
        for k, one in enumerate(sums):
            tree.add(one)
            if one.worst > worst:
                worst, at = one.worst, (run.whole.row0 + k * run.cell_rows) * x.shape[1] + one.worst_index
        found = ScaleCounts.of(scales.codes, scales.amax, pipeline.spec.scale, ReferenceKernels.histogram)
        counts = found if counts is None else counts + found
    return tree.total(), counts, at


@pytest.mark.usefixtures("host_device")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("text", SPECS)
def test_sums(text, dtype):
    x = adversarial((64, 1120), 3)
    x = np.clip(x, -60000, 60000).astype(getattr(ml_dtypes, dtype, None) or dtype)
    pipeline = pipeline_of(x, text)
    assert has_table(pipeline.quantizer)
    table = scale_table(pipeline.quantizer)
    assert table.is_fine
    raw = x.view(np.uint16) if dtype == "bfloat16" else x
    found = tensor_stats(on_device(raw), pipeline.geometry.block.cols, table)
    sums, counts, at = reference(pipeline, x)
    same_sums(found.sums, type(sums)(**{**vars(sums), "worst_index": at}))
    assert np.array_equal(found.scales, np.pad(counts.histogram, (0, 256 - counts.histogram.size)))
    assert found.lost == counts.lost


@pytest.mark.usefixtures("host_device")
@pytest.mark.parametrize("text", ["nvfp4@ts:none", "mxfp4"])
@pytest.mark.parametrize("rest", [0, 1.5])
def test_zeros_are_the_worst(text, rest):
    """Blocks of zeros, alone or before blocks without an error: their scale is 0 under one format, not under the other."""
    x = np.full((3, 224), rest, np.float32)
    x[0, :64] = -0.0
    pipeline = pipeline_of(x, text)
    found = tensor_stats(on_device(x), pipeline.geometry.block.cols, scale_table(pipeline.quantizer))
    sums, _, at = reference(pipeline, x)
    assert (sums.worst, at) == (0.0, 0)
    assert (found.sums.worst, found.sums.worst_index) == (0.0, 0)


FLOAT32 = ("nvfp4", "mxfp4", "mxfp4@rceil")  # a kernel of cuda/stats_staged.cuh each


def same(a: TensorStats, b: TensorStats) -> bool:
    """To the bit."""
    floats = a.sums.sums.tobytes() == b.sums.sums.tobytes()
    worst = (a.sums.worst, a.sums.worst_index) == (b.sums.worst, b.sums.worst_index)
    counts = np.array_equal(a.sums.counts, b.sums.counts) and np.array_equal(a.sums.occupancy, b.sums.occupancy)
    return floats and worst and counts and np.array_equal(a.scales, b.scales) and a.lost == b.lost


@pytest.mark.usefixtures("host_device")
@pytest.mark.parametrize("text", FLOAT32)
def test_grid_changes_no_digit(text):
    """More chunks than thread blocks, as many, and the last one in part."""
    x = adversarial((160, 2080), 4)
    pipeline = pipeline_of(x, text)
    table, block = scale_table(pipeline.quantizer), pipeline.geometry.block.cols
    one, two, many = (tensor_stats(on_device(x), block, table, grid=grid) for grid in (1, 2, 6))
    assert same(one, two)
    assert same(one, many)


@pytest.mark.usefixtures("host_device")
@pytest.mark.parametrize("text", FLOAT32)
@pytest.mark.parametrize("blocks", [1, 2, 15, 16, 17, 32, 33, 255, 4095, 4096, 4097, 8163])
def test_lengths(text, blocks):
    """One block, a warp's piece in part, around the end of a chunk; the worst element is the last, others are ties at 0."""
    size = 16 if text == "nvfp4" else 32
    x = np.random.default_rng(blocks).choice(
        np.array([0, -0.0, 0.25, -0.25, 0.5, -1, 1.5, -2, 3, -4], np.float32), (1, blocks * size)
    )
    x[0, ::size] = 6
    x[0, -1] = -5
    pipeline = pipeline_of(x, text)
    found = tensor_stats(on_device(x), size, scale_table(pipeline.quantizer), grid=2)
    sums, counts, at = reference(pipeline, x)
    assert at == x.size - 1
    same_sums(found.sums, type(sums)(**{**vars(sums), "worst_index": at}))
    assert np.array_equal(found.scales, np.pad(counts.histogram, (0, 256 - counts.histogram.size)))


@pytest.mark.usefixtures("host_device")
def test_limited_or_not_is_the_same(monkeypatch):
    """The two kernels of blocks of 32, where many reach 7, some vanish and others are zeros."""
    x = adversarial((64, 1120), 7)
    table = scale_table(pipeline_of(x, "mxfp4").quantizer)
    assert not table.is_near
    limited = tensor_stats(on_device(x), 32, table)
    monkeypatch.setattr(ScaleTable, "is_near", True)
    assert same(tensor_stats(on_device(x), 32, table), limited)


@pytest.mark.usefixtures("host_device")
def test_full_counters():
    """One thread block has so many elements of one code that its counters must be emptied on the way."""
    x = np.full((17, 1 << 16), -1, np.float32)
    x[:, ::16] = 6
    table = scale_table(pipeline_of(x, "nvfp4").quantizer)
    one, many = (tensor_stats(on_device(x), 16, table, grid=grid) for grid in (1, 17))
    assert one.sums.occupancy[7] == x.size // 16
    assert one.sums.occupancy[10] == x.size // 16 * 15
    assert same(one, many)


@pytest.mark.parametrize("text", SPECS)
def test_table_is_the_scale_stage(text):
    """Every kind of amax, at the edges of each code and at random."""
    x = adversarial((16, 64), 5)
    quantizer = pipeline_of(x, text).quantizer
    table = scale_table(quantizer)
    edges = table.start[table.start < 0x7F800000].astype(np.int64)
    drawn = np.random.default_rng(1).integers(0, int(quantizer.statistic.amax.view(np.uint32)), 100000)
    bits = np.unique(
        np.clip(np.concatenate([edges, edges - 1, drawn]), 0, int(quantizer.statistic.amax.view(np.uint32)))
    )
    amax = bits.astype(np.uint32).view(np.float32)[None, :]
    from fp4sim.gpu.scale_table import _scales

    expected = _scales(quantizer, bits)
    codes = np.searchsorted(table.start[:256], bits.astype(np.uint32), side="right") - 1
    assert np.array_equal(codes, expected.codes[0])
    assert np.array_equal(table.factor[codes], expected.factor[0])
    assert np.array_equal(table.decode[codes], expected.decode[0])
    assert amax.shape == expected.amax.shape


def test_no_table():
    x = adversarial((16, 64), 6)
    for text in ("nvfp4+sr", "nvfp4@torchao", "nvfp4@ts:row", "e2m1/64@e4m3", "e1m2/16@e4m3", "nvfp4/16x16"):
        assert not has_table(pipeline_of(x, text).quantizer), text
