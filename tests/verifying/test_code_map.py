"""Where codes are wrong and how near a tie: counted in bins, held to the planted places."""

from __future__ import annotations

import numpy as np
import pytest

import fp4sim
from fp4sim.report.verify_model import CodeMap


def dump(x, spec, axis=-1):
    packed = fp4sim.quantize(x, spec, axis=axis)
    return np.array(packed.codes), {"block_scale": packed.block_scale, "tensor_scale": packed.tensor_scale}


@pytest.mark.parametrize(
    ("shape", "spec", "axis"),
    [((40, 64), "nvfp4", -1), ((5, 40), "mxfp4", -1), ((96, 7), "nvfp4", 0), ((3, 20, 48), "nvfp4/16x16", -1)],
)
def test_bins_count_the_wrong_codes_where_they_are(shape, spec, axis):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape).astype(np.float32)
    codes, scales = dump(x, spec, axis)
    wrong = rng.random(shape) < 0.05
    codes[wrong] ^= 1
    case = fp4sim.verify(x, spec, codes=codes, axis=axis, **scales).cases[0]
    found = case.code_map
    matrix = np.moveaxis(wrong, axis, -1).reshape(-1, shape[axis])
    assert (found.rows, found.columns) == matrix.shape
    bins = len(found.cells), len(found.cells[0])
    assert bins == (min(24, matrix.shape[0]), min(32, matrix.shape[1]))
    want = np.zeros(bins, int)
    for row, column in np.argwhere(matrix):
        want[row * bins[0] // found.rows, column * bins[1] // found.columns] += 1
    np.testing.assert_array_equal(found.cells, want)
    sizes = np.array([[found.share(i, j) for j in range(bins[1])] for i in range(bins[0])])
    assert sizes.sum() == x.size
    assert sizes.min() > 0
    assert sum(case.tie_distances) == wrong.sum()


def test_shares_of_uneven_bins():
    found = CodeMap(5, 7, ((0, 0, 0), (0, 0, 0)))
    assert [[found.share(i, j) for j in range(3)] for i in range(2)] == [[9, 6, 6], [6, 4, 4]]


def test_ties_rounded_the_other_way_are_told_from_the_rest():
    x = np.tile(np.array([6, 2.5, 3.5, 5, 0.25, 0.75, 1.25, 1.75], np.float32), (4, 4))
    codes, scales = dump(x, "mxfp4")
    ties = np.tile(np.array([0, 1, 1, 1, 1, 1, 1, 1], bool), (4, 4))
    up = {2.5: 5, 3.5: 5, 5.0: 7, 0.25: 1, 0.75: 1, 1.25: 3, 1.75: 3}  # away from the even code
    codes[ties] = [up[value] for value in x[ties].tolist()]
    case = fp4sim.verify(x, "mxfp4", codes=codes, **scales).cases[0]
    assert case.tie_distances[0] == case.counts["codes"].wrong == ties.sum()
    assert sum(case.tie_distances[1:]) == 0
    codes, _ = dump(x, "mxfp4")
    codes[0, 0] ^= 1  # at a code: half a gap from any tie
    assert fp4sim.verify(x, "mxfp4", codes=codes, **scales).cases[0].tie_distances[-1] == 1


def test_codes_that_follow_from_wrong_scales_are_no_matter_of_ties():
    x = np.random.default_rng(0).standard_normal((8, 64)).astype(np.float32)
    packed = fp4sim.quantize(x, "mxfp4@rceil")
    case = fp4sim.verify(x, "mxfp4", codes=packed.codes, block_scale=packed.block_scale).cases[0]
    assert case.counts["codes"].wrong > 0
    assert case.tie_distances == ()


def test_a_right_case_has_no_map():
    x = np.random.default_rng(0).standard_normal((8, 64)).astype(np.float32)
    codes, scales = dump(x, "nvfp4")
    case = fp4sim.verify(x, "nvfp4", codes=codes, **scales).cases[0]
    assert (case.code_map, case.tie_distances) == (None, ())


def test_maps_survive_a_file(tmp_path):
    x = np.random.default_rng(0).standard_normal((8, 64)).astype(np.float32)
    codes, scales = dump(x, "nvfp4")
    codes[0] ^= 1
    result = fp4sim.verify(x, "nvfp4", codes=codes, **scales)
    result.save(tmp_path / "r.json")
    assert fp4sim.load_result(tmp_path / "r.json") == result
