"""GEMMs of packed tensors: the epilogue's order, tails, and what is refused."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import fp4sim
from fp4sim.errors import UsageError
from fp4sim.mma import block_scaled_mma
from tests.conftest import golden


def matrix(seed: int, rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)


@pytest.mark.parametrize("spec", ["nvfp4", "nvfp4/16x16", "mxfp4", "nvfp4+4over6", "nvfp4@ts:none"])
@pytest.mark.parametrize("k", [64, 256, 40, 200, 7])
def test_ordinary_products_are_exact_sums(spec: str, k: int) -> None:
    """On Gaussian data nothing is cut: the product before the epilogue is float64's, and so is its rounding."""
    a, b = fp4sim.quantize(matrix(0, 19, k), spec), fp4sim.quantize(matrix(1, 35, k), spec)
    scales = np.float64(a.tensor_scale), np.float64(b.tensor_scale)
    x, y = (packed.dequantize(np.float64) / scale for packed, scale in zip((a, b), scales, strict=True))
    sums = np.rint(x @ y.T * 2.0**40) / 2.0**40 if spec.startswith("nvfp4") else x @ y.T  # whole multiples of the unit
    expected = sums.astype(np.float32) * (a.tensor_scale * b.tensor_scale)
    for model in ("blackwell", "exact"):
        np.testing.assert_array_equal(fp4sim.gemm(a, b, model=model), expected)


@pytest.mark.parametrize(
    ("out", "dtype"), [("float32", np.float32), ("bfloat16", ml_dtypes.bfloat16), ("float16", np.float16)]
)
def test_the_epilogue_rounds_in_its_order(out: str, dtype: type) -> None:
    a, b = fp4sim.quantize(matrix(0, 8, 96), "nvfp4"), fp4sim.quantize(matrix(1, 5, 96), "nvfp4")
    c, bias = matrix(2, 8, 5), matrix(3, 1, 5)[0]
    zero = np.zeros((8, 5), np.float32)
    d = block_scaled_mma(a.packed, b.packed, zero, a.block_scale, b.block_scale, scale_format="ue4m3", block=16)
    factor = np.float32(np.float32(a.tensor_scale * b.tensor_scale) * np.float32(0.3))
    expected = ((d * factor + c * np.float32(0.7)) + bias).astype(dtype)
    actual = fp4sim.gemm(a, b, c, alpha=0.3, beta=0.7, bias=bias, out=out)
    assert actual.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(actual.view(f"u{actual.itemsize}"), expected.view(f"u{expected.itemsize}"))
    np.testing.assert_array_equal(fp4sim.gemm(a, b, c), d * np.float32(a.tensor_scale * b.tensor_scale) + c)


@pytest.mark.parametrize(("out", "bits"), [("float32", 0x7FFFFFFF), ("bfloat16", 0x7FC0), ("float16", 0x7FFF)])
def test_a_nan_of_the_epilogue_has_the_bits_of_one_of_the_steps(out: str, bits: int) -> None:
    a, b = fp4sim.quantize(matrix(0, 4, 64), "nvfp4"), fp4sim.quantize(matrix(1, 3, 64), "nvfp4")
    scales = a.block_scale.copy()
    scales[0, 0] = 0x7F
    object.__setattr__(a, "block_scale", scales)
    c, bias = np.zeros((4, 3), np.float32), np.full(3, -np.inf, np.float32)
    c[1], c[2] = np.inf, np.nan
    with np.errstate(invalid="raise"):
        actual = fp4sim.gemm(a, b, c, bias=bias, out=out)
    words = actual.view(f"u{actual.itemsize}")
    assert (words[:3] == bits).all()
    assert np.isneginf(actual[3].astype(np.float32)).all()


def test_a_product_under_its_model() -> None:
    a, b = fp4sim.quantize(matrix(0, 16, 64) * 1e3, "nvfp4"), fp4sim.quantize(matrix(1, 8, 64), "nvfp4")
    wide = np.where(np.arange(4) % 2, a.block_scale, 1).astype(np.uint8)
    object.__setattr__(a, "block_scale", wide)
    given = {"scale_format": "ue4m3", "block": 16, "model": "probe:F24"}
    d = block_scaled_mma(a.packed, b.packed, np.zeros((16, 8), np.float32), wide, b.block_scale, **given)
    np.testing.assert_array_equal(fp4sim.gemm(a, b, model="probe:F24"), d * (a.tensor_scale * b.tensor_scale))


def test_equal_rotations_multiply_and_different_ones_are_refused() -> None:
    x, w = matrix(0, 8, 128), matrix(1, 8, 128)
    a, b = fp4sim.quantize(x, "nvfp4+rht:16", seed=3), fp4sim.quantize(w, "nvfp4+rht:16", seed=3)
    reference = a.dequantize(np.float64, domain="rotated") @ b.dequantize(np.float64, domain="rotated").T
    np.testing.assert_allclose(fp4sim.gemm(a, b), reference, rtol=1e-5, atol=1e-5)  # the epilogue's roundings
    other, plain = fp4sim.quantize(w, "nvfp4+rht:16", seed=4), fp4sim.quantize(w, "nvfp4")
    assert not np.array_equal(a.signs, other.signs)
    for wrong in (other, plain):
        with pytest.raises(UsageError, match="rotated differently"):
            fp4sim.gemm(a, wrong)


def test_refusals() -> None:
    x = matrix(0, 16, 64)
    a = fp4sim.quantize(x, "nvfp4")
    refused = {
        "PackedTensor first": x,
        "along axis": fp4sim.quantize(x.T.copy(), "nvfp4", axis=0),
        "no instruction multiplies it": fp4sim.quantize(x, "e1m2/16@e4m3@te"),
        "more than codes": fp4sim.quantize(x, "nvfp4+if4"),
        "one scale format": fp4sim.quantize(x, "mxfp4"),
        "tensor scales of shape": fp4sim.quantize(x, "nvfp4@ts:16"),
        "K differs": fp4sim.quantize(x[:, :48], "nvfp4"),
    }
    for message, operand in refused.items():
        with pytest.raises(UsageError, match=message):
            fp4sim.gemm(a, operand)
    for given in (
        {"beta": 1},
        {"out": "float64"},
        {"c": x},
        {"bias": x},
        {"alpha": "two"},
        {"model": "x"},
        {"order": 3},
    ):
        with pytest.raises(UsageError):
            fp4sim.gemm(a, a, **given)
    for alpha in (None, np.ones(3), 10**400, 1j):
        with pytest.raises(UsageError, match="alpha is not one number"):
            fp4sim.gemm(a, a, alpha=alpha)


def test_arrays_of_the_other_byte_order() -> None:
    a = fp4sim.quantize(matrix(0, 16, 64), "nvfp4")
    c, bias = matrix(1, 16, 16), matrix(2, 1, 16)[0]
    swapped = fp4sim.gemm(a, a, c.astype(">f4"), bias=bias.astype(">f4"))
    np.testing.assert_array_equal(swapped, fp4sim.gemm(a, a, c, bias=bias))


@pytest.mark.parametrize("shape", ["16x16x64", "64x32x512"])
def test_library_operands_multiply_exactly_on_blackwell_too(shape: str) -> None:
    vectors = golden("golden_te.npz")
    x, w, sx, sw = (vectors[f"gemm/{shape}/{field}"] for field in ("qx", "qw", "sx", "sw"))
    c = np.zeros((x.shape[0], w.shape[0]), np.float32)
    models = [
        block_scaled_mma(x, w, c, sx, sw, scale_format="ue4m3", block=16, model=m) for m in ("blackwell", "fp32-rn")
    ]
    np.testing.assert_array_equal(*models)


@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_a_tensor_scale_for_every_row(alpha: float) -> None:
    x, w = matrix(0, 20, 200) * np.exp2(np.arange(20) % 7)[:, None].astype(np.float32), matrix(1, 17, 200)
    a, whole, rows = fp4sim.quantize(x, "nvfp4@ts:row"), fp4sim.quantize(w, "nvfp4"), fp4sim.quantize(w, "nvfp4@ts:row")
    assert a.tensor_scale.shape == (20,)
    zero, bias = np.zeros((20, 17), np.float32), matrix(3, 1, 17)[0]
    for b, scales in ((whole, np.full(17, whole.tensor_scale)), (rows, rows.tensor_scale)):
        pad = ((0, 0), (0, 24))  # K = 200 is packed as 208; steps are of 64
        codes = [np.pad(p.packed, pad) for p in (a, b)]
        bytes_ = [np.pad(p.block_scale, ((0, 0), (0, 3))) for p in (a, b)]
        d = block_scaled_mma(*codes, zero, *bytes_, scale_format="ue4m3", block=16)
        factor = (a.tensor_scale[:, None] * scales) * np.float32(alpha)
        np.testing.assert_array_equal(fp4sim.gemm(a, b, alpha=alpha, bias=bias), d * factor + bias)


def test_a_nan_scale_byte_makes_its_row_nan() -> None:
    a, b = fp4sim.quantize(matrix(0, 20, 64), "nvfp4"), fp4sim.quantize(matrix(1, 18, 64), "nvfp4")
    a.block_scale[3, 1] = 0x7F
    d = fp4sim.gemm(a, b)
    np.testing.assert_array_equal(np.isnan(d), np.broadcast_to(np.arange(20)[:, None] == 3, d.shape))
