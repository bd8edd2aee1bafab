"""Rotation, quantization and MS-EDEN in one pass, bit for bit the CPU's; the kernels' source runs on the host."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import fp4sim
from fp4sim.geometry import Geometry
from fp4sim.gpu.rotated import is_fused, quantize_rotated
from fp4sim.grammar import parse
from fp4sim.kernels.cuda import rotate
from fp4sim.kernels.cuda.arrays import on_device
from fp4sim.kernels.reference.rotate import rotate as reference_rotate
from fp4sim.randbits import Stream
from tests.cuda.test_tensor_stats import adversarial

pytestmark = pytest.mark.usefixtures("host_device")


TEXTS = ["nvfp4+mseden", "nvfp4+mseden:size=32", "nvfp4+rht", "nvfp4+rht:16", "nvfp4+h:8", "nvfp4+h:256"]
CASES = [(text, "float32") for text in TEXTS]  # the other inputs differ in how they are widened alone
CASES += [(text, dtype) for text in ("nvfp4+mseden", "nvfp4+rht:16") for dtype in ("bfloat16", "float16")]
RARER = [(text, dtype) for text in TEXTS for dtype in ("bfloat16", "float16") if (text, dtype) not in CASES]


def same_bits(found, expected):
    assert found.stored == expected.tensor_scale
    assert np.array_equal(found.scales.get(), expected.block_scale.ravel())
    assert np.array_equal(found.packed.get(), expected.packed.ravel())


@pytest.mark.parametrize(("text", "dtype"), [*CASES, *(pytest.param(*case, marks=pytest.mark.slow) for case in RARER)])
def test_bits(text, dtype):
    x = np.clip(adversarial((133, 512), 9), -60000, 60000).astype(getattr(ml_dtypes, dtype, None) or dtype)
    spec = parse(text)
    expected = fp4sim.quantize(x, spec, seed=7, draw=3, name="w")
    geometry = Geometry.for_spec(x.shape, -1, spec)
    raw = on_device(x.view(np.uint16) if dtype == "bfloat16" else x)
    assert is_fused(spec, geometry, raw)
    found = quantize_rotated(raw, spec, geometry, Stream.of(7, "w", 3))
    assert np.array_equal(found.rotation.signs, expected.signs)
    same_bits(found, expected)


def test_many_rounds(monkeypatch):
    """Nineteen blocks a thread, so that random integers are made five times, and a last warp that is not full."""
    monkeypatch.setattr(rotate, "_MOST_AT_ONCE", 256)
    x, spec = adversarial((1001, 80), 11), parse("nvfp4+mseden:size=16")
    expected = fp4sim.quantize(x, spec, seed=1)
    found = quantize_rotated(on_device(x), spec, Geometry.for_spec(x.shape, -1, spec), Stream.of(1, "", 0))
    same_bits(found, expected)


@pytest.mark.parametrize("size", [2, 4, 8, 16, 32, 64, 128, 256])
@pytest.mark.parametrize(
    "pair",
    [(2.0**-149, 0), (2.0**-126, 2.0**-127), (1, -3e38), (np.inf, 1), (np.nan, 1), (np.nan, np.inf), (np.inf, np.nan)],
)
def test_amax(size, pair):
    """Of what the rotation gives, subnormal ones too; NaN where any of it is, whether Inf comes before or after."""
    rng = np.random.default_rng(size)
    x = (rng.standard_normal((9, 768)) * 2.0**-147).astype(np.float32)
    x[4, [32, 44]] = pair
    signs = rng.choice(np.array([-1, 1], np.float32), size)
    expected = np.abs(reference_rotate(x, signs)).max()
    np.testing.assert_array_equal(rotate.rotated_amax(on_device(x), signs), expected)


@pytest.mark.parametrize("scale", [0.0, 2.0**-149, 1e-40, 1e-36, 1e-30, 1e30])
def test_extreme_tensors(scale):
    """All zero, subnormal, and scales whose reciprocal overflows."""
    x = (np.random.default_rng(2).standard_normal((8, 128)) * scale).astype(np.float32)
    spec = parse("nvfp4+mseden")
    expected = fp4sim.quantize(x, spec)
    found = quantize_rotated(on_device(x), spec, Geometry.for_spec(x.shape, -1, spec), Stream.of(0, "", 0))
    same_bits(found, expected)


@pytest.mark.parametrize(("text", "scale"), [("nvfp4+mseden:size=16", 1.5e37), ("nvfp4+h:2", 4e37)])
def test_largest_tensors(text, scale):
    """Factors that 2^-14 makes subnormal, and enough blocks for codes and scales to differ if that were not noticed."""
    x, spec = (np.random.default_rng(3).standard_normal((1024, 128)) * scale).astype(np.float32), parse(text)
    expected = fp4sim.quantize(x, spec)
    found = quantize_rotated(on_device(x), spec, Geometry.for_spec(x.shape, -1, spec), Stream.of(0, "", 0))
    same_bits(found, expected)


def test_not_finite_is_left_to_the_general_path():
    x = np.ones((8, 128), np.float32)
    x[3, 5] = np.nan
    spec = parse("nvfp4+mseden")
    assert quantize_rotated(on_device(x), spec, Geometry.for_spec(x.shape, -1, spec), Stream()) is None


@pytest.mark.parametrize(
    "text",
    ["nvfp4", "nvfp4+mseden:s=128", "nvfp4+mseden:posthoc", "nvfp4+rht+sr", "nvfp4+rht:16:te", "nvfp4@ts:row+rht"],
)
def test_not_fused(text):
    x = np.ones((16, 128), np.float32)
    spec = parse(text)
    assert not is_fused(spec, Geometry.for_spec(x.shape, -1, spec), on_device(x))
