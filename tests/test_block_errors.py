"""Errors by block, held to the whole tensor quantized and to compare; in pieces of any size."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fp4sim
from fp4sim.commands import block_sums
from fp4sim.commands.block_sums import MAP_BLOCKS, MAP_ROWS
from fp4sim.commands.blocks import block_errors
from fp4sim.commands.compare import Settings
from fp4sim.errors import NothingComparedError, UsageError
from fp4sim.grammar import parse_list
from fp4sim.io.source import ArrayTensor, ListSource

FORMATS = "nvfp4,mxfp4,nvfp4/16x16,nvfp4+4over6,e2m1/row@fp32,e2m1/tensor@fp32,mxfp4@torchao,nvfp4+sr,mxfp4+quest,nvint4,mxplus"


def wide(rows=70, columns=352, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((rows, columns)) * np.exp(3 * rng.standard_normal((rows, 1)))).astype(np.float32)


def measure(x, formats, **settings):
    source = ListSource("arrays", [ArrayTensor("w", x)])
    result = block_errors([(source, source.tensors())], parse_list(formats), Settings(**settings))
    return result.tensors[0].results


@pytest.mark.parametrize("spec", FORMATS.split(","))
def test_sums_are_compare_s(spec):
    x = wide()
    found, metrics = measure(x, spec)[0], fp4sim.compare({"w": x}, spec).tensors[0].results[0]
    assert found.blocks == metrics.blocks == sum(one.blocks for one in found.scales)
    x2, e2 = sum(one.x2 for one in found.scales), sum(one.e2 for one in found.scales)
    if spec != "mxfp4+quest":  # rotated, in float32
        assert x2 == pytest.approx(float((x.astype(np.float64) ** 2).sum()), rel=1e-12)
    assert e2 / x2 == pytest.approx(metrics.rel_mse, rel=1e-12)
    shares = {
        zone: sum(one.blocks for one in found.scales if one.zone == zone) / found.blocks
        for zone in ("zero", "subnormal")
    }
    if spec not in ("e2m1/row@fp32", "e2m1/tensor@fp32"):
        assert shares == {"zero": metrics.scale_zero, "subnormal": metrics.scale_subnormal}
    assert sum(found.ratios) == x.size


def test_scales_and_ratios_block_by_block():
    x = wide(9, 64)
    found, packed = measure(x, "nvfp4")[0], fp4sim.quantize(x, "nvfp4")
    codes = np.asarray(packed.block_scale).reshape(-1)
    values = fp4sim.formats("ue4m3").values()
    assert {one.scale: one.blocks for one in found.scales} == {
        float(values[code]): int(count) for code, count in zip(*np.unique(codes, return_counts=True), strict=True)
    }
    blocks = np.abs(x).reshape(-1, 16)
    ratio = blocks / blocks.max(axis=1, keepdims=True)
    want = np.bincount(np.minimum((ratio * 240).astype(int), 239).reshape(-1), minlength=240)
    assert found.ratios == tuple(want.tolist())


def test_map_is_the_error_of_each_block():
    x = wide(9, 64)
    found, packed = measure(x, "nvfp4")[0], fp4sim.quantize(x, "nvfp4")
    e = packed.dequantize().astype(np.float64) - x
    blocks = (e**2).reshape(9, 4, 16).sum(axis=2) / (x.astype(np.float64) ** 2).reshape(9, 4, 16).sum(axis=2)
    np.testing.assert_allclose(found.map.relative, blocks, rtol=1e-5)  # dequantize rounds to float32 once
    energy = (e**2).reshape(9, 4, 16).mean(axis=2) / (e**2).mean()
    np.testing.assert_allclose(found.map.energy, energy, rtol=1e-5)
    assert (found.map.rows, found.map.blocks) == (9, 4)


@pytest.mark.parametrize("spec", ["nvfp4", "nvfp4/16x16", "e2m1/row@fp32", "mxfp4"])
def test_map_counts_elements_and_no_padding(spec):
    x = wide(70, 350)  # neither whole blocks nor whole tiles
    found = measure(x, spec)[0].map
    one = measure(np.full_like(x, 6), "mxfp4")[0].map  # exact: no error anywhere
    assert set(one.energy[0]) == {None}
    e = fp4sim.quantize(x, spec).dequantize().astype(np.float64) - x
    height, width = (16, 16) if "x16" in spec else (1, 32) if spec == "mxfp4" else (1, 16)
    down, across = np.arange(70) // height, np.arange(350) // width
    rows, blocks = down * len(found.energy) // found.rows, across * len(found.energy[0]) // found.blocks
    for row, block in ((0, 0), (2, 5), (len(found.energy) - 1, len(found.energy[0]) - 1)):
        inside = e[np.ix_(rows == row, blocks == block)]
        assert found.energy[row][block] == pytest.approx((inside**2).mean() / (e**2).mean(), rel=1e-5)


def test_map_bins_hold_whole_blocks_of_large_tensors():
    x = wide(200, 200 * 16)
    found = measure(x, "nvfp4")[0].map
    assert (len(found.relative), len(found.relative[0])) == (MAP_ROWS, MAP_BLOCKS)
    packed = fp4sim.quantize(x, "nvfp4")
    e2 = ((packed.dequantize().astype(np.float64) - x) ** 2).reshape(200, 200, 16).sum(axis=2)
    x2 = (x.astype(np.float64) ** 2).reshape(200, 200, 16).sum(axis=2)
    rows, blocks = np.arange(200) * MAP_ROWS // 200, np.arange(200) * MAP_BLOCKS // 200
    for row, block in ((0, 0), (17, 50), (63, 95)):
        place = np.ix_(rows == row, blocks == block)
        assert found.relative[row][block] == pytest.approx(e2[place].sum() / x2[place].sum(), rel=1e-5)


def test_fours_are_the_choice_s():
    x = np.random.default_rng(0).standard_normal((16, 160)).astype(np.float32)
    found = measure(x, "nvfp4+4over6,nvfp4")
    six = np.asarray(fp4sim.quantize(x, "nvfp4@ts:bound=256").block_scale)
    chosen = np.asarray(fp4sim.quantize(x, "nvfp4+4over6").block_scale)
    assert found[0].fours == int((six != chosen).sum())
    assert 0 < found[0].fours < found[0].blocks
    assert found[1].fours is None


def test_reach_is_where_amax_goes():
    x = np.random.default_rng(0).standard_normal((64, 320)).astype(np.float32)
    nv, mx, sr = measure(x, "nvfp4,mxfp4,nvfp4+sr")
    assert 5.6 < nv.reach[0] < 5.95 < nv.reach[1] < 6.05 < nv.reach[2] < 6.4
    assert 3.99 < mx.reach[0] < mx.reach[2] < 8
    assert sr.reach[2] < 6.003  # the width of a bin


@pytest.mark.parametrize("spec", ["nvfp4", "nvfp4/16x16", "e2m1/row@fp32", "nvfp4@ts:row"])
def test_no_threads_or_pieces_change_a_digit(spec, monkeypatch):
    x = wide(700, 1056)
    monkeypatch.setattr("fp4sim.geometry.CELL_ELEMENTS", 1 << 14)
    first = measure(x, spec, threads=1)[0]
    assert measure(x, spec, threads=3)[0] == first


class Recorded(ArrayTensor):
    """A tensor in a file: reads in pieces, and remembers how large they were."""

    load_whole = False

    def __init__(self, name, array):
        super().__init__(name, array)
        self.reads = []

    def read_all(self):
        raise AssertionError("read whole")

    def _read(self, start, stop):
        self.reads.append(stop - start)
        return super()._read(start, stop)


def test_large_tensors_are_never_read_whole(monkeypatch):
    x = wide(3000, 1056)
    monkeypatch.setattr("fp4sim.panels.RESIDENT_BYTES", 1 << 20)
    tensor = Recorded("w", x)
    source = ListSource("file", [tensor])
    found = block_errors([(source, [tensor])], parse_list("nvfp4"), Settings(threads=2)).tensors[0].results[0]
    assert max(tensor.reads) <= 1 << 20 < x.size
    assert sum(tensor.reads) == 2 * x.size
    assert found == measure(x, "nvfp4")[0]


def test_blocks_with_nan_are_left_out_and_counted():
    x = np.random.default_rng(0).standard_normal((8, 64)).astype(np.float32)
    bad = x.copy()
    bad[2, 20] = np.nan
    found = measure(bad, "nvfp4@ts:none", nonfinite="propagate")[0]
    assert (found.blocks, found.nonfinite_blocks) == (32, 1)
    assert found.map.relative[2][1] is None
    whole = measure(x, "nvfp4@ts:none")[0]
    assert sum(one.blocks for one in found.scales) == 31
    assert [row[:1] + row[2:] for row in found.map.relative] == [row[:1] + row[2:] for row in whole.map.relative]
    assert sum(found.ratios) == 31 * 16


def test_zeros_have_no_error_and_no_ratio():
    found = measure(np.zeros((4, 32), np.float32), "nvfp4")[0]
    assert found.reach is None
    assert sum(found.ratios) == 0
    assert set(found.map.relative[0]) == {None}
    assert [(one.zone, one.blocks, one.x2) for one in found.scales] == [("zero", 8, 0.0)]


def test_the_first_tensors_are_taken_and_the_rest_counted():
    tensors = [ArrayTensor(f"w{i}", np.ones((2, 16), np.float32)) for i in range(5)]
    tensors.insert(1, ArrayTensor("bias", np.ones(3, np.float32)))
    source = ListSource("arrays", tensors)
    result = block_errors([(source, tensors)], parse_list("nvfp4"), Settings(), most=2)
    assert [tensor.name for tensor in result.tensors] == ["w0", "w1"]
    assert (result.left_out, [one.name for one in result.skipped]) == (3, ["bias"])


def test_errors():
    source = ListSource("arrays", [ArrayTensor("b", np.ones(3, np.float32))])
    with pytest.raises(NothingComparedError, match="nothing to compare in arrays"):
        block_errors([(source, source.tensors())], parse_list("nvfp4"), Settings())
    with pytest.raises(UsageError, match="no format"):
        block_errors([(source, source.tensors())], [], Settings())


def test_wide_encodings_are_binned_by_exponent():
    found = measure(wide(16, 64), "e2m1/16@bf16")[0]
    assert all(math.log2(one.scale).is_integer() for one in found.scales if one.scale)
    assert block_sums.scale_bins(fp4sim.formats("ubf16")) == 256
