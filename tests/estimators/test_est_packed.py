"""What a PackedTensor of an estimator holds, and that its values are the pipeline's."""

from __future__ import annotations

import numpy as np
import pytest

import fp4sim
from fp4sim.estimators.pipeline import is_random, prepare
from fp4sim.geometry import Geometry
from fp4sim.io.source import ArrayTensor
from fp4sim.panels import Panels
from fp4sim.randbits import Stream
from tests.estimators.data import data
from tests.estimators.test_est_backends import SPECS, fits_any_shape

CASES = [(spec, (64, 128)) for spec in SPECS] + [(spec, (3, 5, 77)) for spec in SPECS if fits_any_shape(spec)]


def pipeline_values(x: np.ndarray, spec: str, axis: int, seed: int) -> np.ndarray:
    """The values of the pipeline, cell by cell, in the logical shape and the domain that is quantized."""
    parsed = fp4sim.parse(spec)
    geometry = Geometry.for_spec(x.shape, axis, parsed)
    pipeline = prepare(Panels(ArrayTensor("w", x), geometry.axis), parsed, geometry, Stream.of(seed, "w"))
    matrix = np.empty((geometry.rows, geometry.length), np.float32)
    for cell in geometry.cells:
        values = pipeline.values(cell, pipeline.encode(cell, pipeline.load(cell)))
        place = slice(cell.row0, cell.row0 + cell.rows), slice(cell.col0, cell.col0 + cell.cols)
        matrix[place] = values[: cell.rows, : cell.cols]
    return np.moveaxis(matrix.reshape(geometry.moved_shape), -1, geometry.axis)


@pytest.mark.parametrize("kind", ["normal", "spread"])
@pytest.mark.parametrize(("spec", "shape"), CASES)
def test_dequantize_gives_the_pipeline_s_values(
    spec: str, shape: tuple[int, ...], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fp4sim.geometry.CELL_ELEMENTS", 1 << 10)
    x = data(kind, shape)
    for axis in (-1, 0):
        packed = fp4sim.quantize(x, spec, axis=axis, seed=3, name="w")
        np.testing.assert_array_equal(packed.dequantize(domain="rotated"), pipeline_values(x, spec, axis, 3))


@pytest.mark.parametrize(("spec", "shape"), CASES)
@pytest.mark.parametrize("axis", [-1, 0])
def test_extras_have_the_shapes_they_belong_to(spec: str, shape: tuple[int, ...], axis: int) -> None:
    packed = fp4sim.quantize(data("normal", shape), spec, axis=axis)
    keeps = {
        "residual": "occ" in spec and "nocomp" not in spec,
        "trust": "quest" in spec,
        "index": "mxplus" in spec,
    }
    assert set(packed.extra) == {name for name, kept in keeps.items() if kept}
    shapes = {
        "residual": (shape, np.float32),
        "trust": (shape, np.bool_),
        "index": (packed.block_scale.shape, np.uint8),
    }
    for name, array in packed.extra.items():
        assert (array.shape, array.dtype) == shapes[name]


def test_the_residual_is_what_was_clamped() -> None:
    x = data("normal", (32, 64))
    lower, upper = np.sort(x.ravel())[[int((1 - 0.9) * x.size), int(0.9 * x.size)]]
    packed = fp4sim.quantize(x, "nvfp4+occ:0.9", axis=0)
    np.testing.assert_array_equal(packed.extra["residual"], x - np.clip(x, lower, upper))
    clamped = fp4sim.quantize(np.clip(x, lower, upper), "nvfp4", axis=0)
    np.testing.assert_array_equal(packed.packed, clamped.packed)
    np.testing.assert_array_equal(packed.block_scale, clamped.block_scale)


def test_row_quantiles_are_each_row_s() -> None:
    x = data("normal", (8, 200)) * np.exp2(np.arange(8, dtype=np.float32))[:, None]
    packed = fp4sim.quantize(x, "e2m1/row@fp32+occ:0.95:row:nocomp")
    ordered = np.sort(x, axis=1)
    lower, upper = ordered[:, [int((1 - 0.95) * 200)]], ordered[:, [int(0.95 * 200)]]
    want = fp4sim.quantize(np.clip(x, lower, upper), "e2m1/row@fp32")
    np.testing.assert_array_equal(packed.packed, want.packed)
    np.testing.assert_array_equal(packed.block_scale, want.block_scale)


def test_the_index_is_the_first_largest_element_s_and_it_has_three_mantissa_bits() -> None:
    x = data("ties", (8, 96))
    packed = fp4sim.quantize(x, "mxplus")
    blocks, plain = np.abs(x).reshape(8, 3, 32), fp4sim.quantize(x, "mxfp4")
    np.testing.assert_array_equal(packed.extra["index"], blocks.argmax(axis=2))
    np.testing.assert_array_equal(packed.block_scale, plain.block_scale)
    scale = np.exp2(packed.block_scale.astype(np.float64) - 127)
    largest = blocks.max(axis=2)
    want = np.minimum(np.rint(2 * largest / scale) / 2, 7.5) * scale
    at = packed.extra["index"][..., None].astype(np.int64)
    kept = np.take_along_axis(np.abs(packed.dequantize()).reshape(8, 3, 32), at, 2)[..., 0]
    np.testing.assert_array_equal(kept, want)
    others = packed.dequantize().reshape(8, 3, 32).copy()
    theirs = plain.dequantize().reshape(8, 3, 32).copy()
    for values in (others, theirs):
        np.put_along_axis(values, at, 0, 2)
    np.testing.assert_array_equal(others, theirs)


def test_mx_plus_leaves_zero_blocks_and_the_smallest_scale_alone() -> None:
    x = np.zeros((3, 32), np.float32)
    x[1, 4] = 2.0**-126  # its floor exponent is below what E8M0 holds
    x[2, 9] = -5.0
    values = fp4sim.quantize(x, "mxplus").dequantize()
    np.testing.assert_array_equal(values, fp4sim.quantize(x, "mxfp4").dequantize() + np.where(x == -5, -1, 0))


def test_if4_s_choice_is_the_scale_s_sign_bit() -> None:
    x = data("normal", (16, 64))
    packed, four, eight = (fp4sim.quantize(x, spec) for spec in ("if4", "nvfp4", "nvint4"))
    integer = packed.block_scale >= 0x80
    np.testing.assert_array_equal(packed.block_scale & 0x7F, four.block_scale)
    assert 0.4 < integer.mean() < 0.8  # 63 % on N(0, 1), recipes.md §4.1
    wide = integer.repeat(16, axis=1)
    np.testing.assert_array_equal(packed.dequantize()[~wide], four.dequantize()[~wide])
    np.testing.assert_array_equal(packed.codes[~wide], four.codes[~wide])
    assert np.abs(packed.codes[wide] & 7).max() == 7
    assert eight.codes.shape == packed.codes.shape


def test_trust_is_what_does_not_clip() -> None:
    x = data("normal", (64, 128))
    packed = fp4sim.quantize(x, "mxfp4+quest:size=1:mult=1", axis=0)
    scale = np.exp2(packed.block_scale.astype(np.float64) - 127).repeat(32, axis=1).T
    np.testing.assert_array_equal(packed.extra["trust"], np.abs(x / scale) < 6)
    assert packed.extra["trust"].mean() == pytest.approx(0.9275, abs=0.015)  # quartet.md §7


@pytest.mark.parametrize("spec", ["mxfp4+quest", "mxfp4+minmse", "mxplus", "mxfp4+quest+sr"])
def test_a_given_tensor_scale_scales_and_nothing_else(spec: str) -> None:
    base, *steps = spec.replace("mxplus", "mxfp4+mxplus").split("+")
    given = "+".join([f"{base}@ts:given", *steps])
    x = data("normal", (16, 64))
    plain, scaled = fp4sim.quantize(x, spec), fp4sim.quantize(x * 8, given, tensor_scale=8.0)
    np.testing.assert_array_equal(scaled.packed, plain.packed)
    np.testing.assert_array_equal(scaled.block_scale, plain.block_scale)
    np.testing.assert_array_equal(scaled.dequantize(), plain.dequantize() * 8)


@pytest.mark.parametrize("sr", ["", "+sr"])
def test_quest_s_values_are_near_what_they_stand_for(sr: str) -> None:
    """A scale that is not undone shows as a slope: range matching must not enter, because QuEST clips anyway."""
    x = data("normal", (64, 256))
    values = fp4sim.quantize(x, f"mxfp4+quest{sr}").dequantize()
    assert np.vdot(values, x) / np.vdot(x, x) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("spec", [spec for spec in SPECS if ":posthoc" not in spec])
def test_the_seed_is_kept_where_draws_differ(spec: str) -> None:
    x = data("normal", (64, 128))
    first, second = (fp4sim.quantize(x, spec, seed=seed) for seed in (1, 2))
    differ = not (
        np.array_equal(first.packed, second.packed)
        and np.array_equal(first.block_scale, second.block_scale)
        and np.array_equal(first.signs, second.signs)
    )
    assert is_random(fp4sim.parse(spec)) == differ
    assert first.seed == (1 if differ else None)


@pytest.mark.parametrize("spec", ["nvfp4+mseden", "nvfp4+mseden:posthoc", "e2m1/128@fp32+eden"])
def test_the_correction_aligns_each_group(spec: str) -> None:
    """<x_hat, x> = <x, x>: exactly under float32 scales; on average over draws where scales are drawn."""
    x = data("normal", (64, 256))
    slopes = []
    for seed in range(16):
        packed = fp4sim.quantize(x, spec, seed=seed)
        values = packed.dequantize(np.float64)
        slopes.append(np.vdot(values, x) / np.vdot(x, x))
    if "fp32" in spec:
        np.testing.assert_allclose(slopes, 1, atol=1e-6)
    else:
        assert abs(np.mean(slopes) - 1) < 4 * np.std(slopes, ddof=1) / 4
        assert np.std(slopes, ddof=1) > 1e-5
