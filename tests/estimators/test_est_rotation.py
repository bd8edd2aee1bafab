"""Rotations: the matrix they are, the signs they draw, Transformer Engine's transform, and their inverse."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import fp4sim
from fp4sim.kernels.cpu.kernels import CpuKernels
from fp4sim.kernels.reference.blocks import unpack
from fp4sim.kernels.reference.rotate import normalizer, rotate
from fp4sim.randbits import Stream
from fp4sim.transforms import TE_SIGNS, Rotation, hadamard, rotation_of
from tests.conftest import golden

SIZES = [2, 4, 8, 16, 32, 64, 128, 256]
FROZEN = {
    0: (1, 1, 1, -1, -1, 1, -1, 1, -1, 1, -1, -1, 1, -1, -1, 1),
    1: (-1, 1, -1, -1, 1, -1, 1, 1, -1, -1, -1, -1, -1, 1, -1, -1),
}
EPSILON = 2.0**-24  # of one float32 operation


def signs_of(size: int, draw: int = 0, seed: int = 0) -> tuple[int, ...]:
    rotation = rotation_of(fp4sim.parse(f"nvfp4+rht:{size}"), Stream.of(seed, "any name", draw))
    assert rotation is not None
    return rotation.signs


@pytest.mark.parametrize("size", SIZES)
def test_the_matrix_is_orthogonal(size: int) -> None:
    matrix = hadamard(size)
    np.testing.assert_array_equal(matrix @ matrix.T, size * np.eye(size))
    rows = rotate(np.eye(size, dtype=np.float32), np.ones(size, np.float32))
    # Sums of one nonzero term are exact: the entries are those of the matrix times c, one rounding each.
    np.testing.assert_array_equal(rows, (matrix * normalizer(size)).astype(np.float32))
    off = np.abs(rows.astype(np.float64) @ rows.T.astype(np.float64) - np.eye(size)).max()
    assert off <= 2.5 * EPSILON


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("inverse", [False, True])
def test_it_is_the_sylvester_matrix_product_to_rounding(size: int, inverse: bool) -> None:
    rng = np.random.default_rng(size)
    x = rng.standard_normal((7, 2 * size)).astype(np.float32)
    signs = np.array(signs_of(size), np.float32)
    matrix = signs.astype(np.float64)[:, None] * hadamard(size) * size**-0.5  # y = (s x) H c
    groups = x.reshape(-1, size).astype(np.float64)
    want = (groups @ (matrix.T if inverse else matrix)).reshape(x.shape)
    stages = size.bit_length()  # additions, the product with c and c's own rounding
    bound = (stages + 2) * EPSILON * np.abs(groups).sum(axis=1).repeat(size).reshape(x.shape) * size**-0.5
    found = rotate(x, signs, inverse=inverse)
    assert np.all(np.abs(found - want) <= bound)


def test_the_butterfly_s_order_is_neighbours_first() -> None:
    """Entry 1 is (1 - t) + (t - t) = 1 - 2^-24; were distance 2 first, (1 + t) - (t + t) would give 1 - 2^-23."""
    tiny = np.float32(2.0**-24)
    x = np.array([[1, tiny, tiny, tiny]], np.float32)
    ones = np.ones(4, np.float32)
    assert rotate(x, ones)[0, 1] == np.float32(0.5) * (np.float32(1) - tiny)
    assert CpuKernels.rotate(x, ones)[0, 1] == np.float32(0.5) * (np.float32(1) - tiny)


def test_frozen_signs() -> None:
    """Known answers of the project's random stream; they may change in a major release alone."""
    assert signs_of(16, draw=0) == FROZEN[0]
    assert signs_of(16, draw=1) == FROZEN[1]


def test_signs_depend_on_seed_and_draw_alone() -> None:
    first = rotation_of(fp4sim.parse("nvfp4+rht:64"), Stream.of(5, "x", 3))
    second = rotation_of(fp4sim.parse("mxfp4+rht:64"), Stream.of(5, "dy", 3))
    assert first == second
    assert signs_of(64, seed=1) != signs_of(64, seed=2)
    assert signs_of(128)[:64] == signs_of(64)
    assert -40 < sum(signs_of(256)) < 40  # 2.5 standard deviations of fair signs


def test_the_quantized_tensor_carries_its_signs() -> None:
    x = np.random.default_rng(0).standard_normal((4, 128)).astype(np.float32)
    assert tuple(fp4sim.quantize(x, "nvfp4+rht:64", seed=3, draw=2, name="w").signs) == signs_of(64, 2, 3)
    assert tuple(fp4sim.quantize(x, "nvfp4+rht:16:te").signs) == TE_SIGNS
    assert tuple(fp4sim.quantize(x, "nvfp4+h:8").signs) == (1,) * 8
    assert fp4sim.quantize(x, "mxfp4+quest:size=1").signs is None


RHT = ["normal", "heavy", "expspread", "outlier"]


def te_rotated(case: str) -> tuple[np.lib.npyio.NpzFile, np.ndarray]:
    vectors = golden("golden_te.npz")
    return vectors, vectors[f"{case}/x"].view(ml_dtypes.bfloat16)


@pytest.mark.parametrize("dist", RHT)
def test_transformer_engine_s_rotated_operand(dist: str) -> None:
    vectors, x = te_rotated(f"rht_sign/{dist}/bf16")
    packed = fp4sim.quantize(x, "nvfp4+rht:16:te", axis=0)
    np.testing.assert_array_equal(packed.packed, vectors[f"rht_sign/{dist}/bf16/qT"])
    np.testing.assert_array_equal(packed.block_scale, vectors[f"rht_sign/{dist}/bf16/sT"])
    amax = vectors[f"rht_sign/{dist}/bf16/amaxT"][0]
    assert packed.tensor_scale == amax / np.float32(2688)


@pytest.mark.parametrize("kernels", [CpuKernels, None], ids=["cpu", "reference"])
@pytest.mark.parametrize("sign", ["sign", "nosign"])
@pytest.mark.parametrize("dist", RHT)
def test_transformer_engine_s_transform_in_bf16(dist: str, sign: str, kernels: type | None) -> None:
    from fp4sim.kernels.reference.kernels import ReferenceKernels

    vectors, x = te_rotated(f"rht_{sign}/{dist}/bf16")
    rotation = Rotation(TE_SIGNS if sign == "sign" else (1,) * 16, bf16=True)
    panel = np.ascontiguousarray(x.astype(np.float32).T)
    rotated = rotation.apply(panel, kernels or ReferenceKernels).astype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(rotated.view(np.uint16), vectors[f"rht_{sign}/{dist}/bf16/rhtT_exact"])
    np.testing.assert_array_equal(rotated.view(np.uint16), vectors[f"rht_{sign}/{dist}/bf16/rhtT_cpu"])


@pytest.mark.parametrize("dist", RHT)
def test_transformer_engine_s_operand_without_signs(dist: str) -> None:
    case = f"rht_nosign/{dist}/bf16"
    vectors, x = te_rotated(case)
    packed = fp4sim.quantize(x, "nvfp4+h:16:te", axis=0)
    np.testing.assert_array_equal(packed.packed, vectors[f"{case}/qT"])
    np.testing.assert_array_equal(packed.block_scale, vectors[f"{case}/sT"])
    assert packed.tensor_scale == vectors[f"{case}/amaxT"][0] / np.float32(2688)


@pytest.mark.parametrize("sign", ["sign", "nosign"])
@pytest.mark.parametrize("dist", RHT)
def test_transformer_engine_does_not_rotate_the_other_operand(dist: str, sign: str) -> None:
    case = f"rht_{sign}/{dist}/bf16"
    vectors, x = te_rotated(case)
    packed = fp4sim.quantize(x, "nvfp4")
    ours, theirs = unpack(packed.packed), unpack(vectors[f"{case}/q"])
    differ = ours != theirs
    assert np.all((ours[differ] == 8) & (theirs[differ] == 0))  # -0, as in test_golden_te.py
    np.testing.assert_array_equal(packed.block_scale, vectors[f"{case}/s"])
    assert packed.tensor_scale == vectors[f"{case}/amax"][0] / np.float32(2688)


@pytest.mark.parametrize("spec", ["e2m1", "bf16", "fp32"])
def test_the_spec_h_of_an_unscaled_cast_is_the_cast_of_the_rotated(spec: str) -> None:
    x = np.random.default_rng(4).standard_normal((5, 64)).astype(np.float32)
    rotated = rotate(x, np.ones(32, np.float32))
    found = fp4sim.quantize(x, f"{spec}+h:32").dequantize(domain="rotated")
    np.testing.assert_array_equal(found, fp4sim.quantize(rotated, spec).dequantize())


@pytest.mark.parametrize("spec", ["nvfp4+rht:16", "nvfp4+rht:16:te", "mxfp4+h:32", "nvfp4+mseden:size=64"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_dequantize_undoes_the_rotation(spec: str, axis: int) -> None:
    x = np.random.default_rng(4).standard_normal((64, 128, 64)).astype(np.float32)
    packed = fp4sim.quantize(x, spec, axis=axis, seed=9)
    rotated = packed.dequantize(np.float64, domain="rotated")
    size = len(packed.signs)
    matrix = packed.signs.astype(np.float64)[:, None] * hadamard(size) * np.float64(normalizer(size))
    groups = np.moveaxis(rotated, axis, -1)
    want = np.moveaxis((groups.reshape(-1, size) @ matrix.T).reshape(groups.shape), -1, axis)
    np.testing.assert_allclose(packed.dequantize(np.float64), want, rtol=0, atol=1e-14 * np.abs(want).max())
    assert np.array_equal(packed.dequantize(), packed.dequantize(np.float64).astype(np.float32))
    assert 1e-3 < np.mean((packed.dequantize() - x) ** 2) < 0.03


def test_a_float32_element_survives_the_round_trip() -> None:
    x = np.random.default_rng(4).standard_normal((8, 256)).astype(np.float32)
    back = fp4sim.quantize(x, "fp32+rht:128", seed=1).dequantize()
    assert np.abs(back - x).max() < 16 * EPSILON * np.abs(x).max()
    assert not np.array_equal(back, x)
