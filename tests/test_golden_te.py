"""Bit equality with Transformer Engine's NVFP4 reference quantizer, torchao's MX scales, and stochastic rounding."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import fp4sim
from fp4sim.floats import E2M1, scale_format
from fp4sim.kernels.cpu.kernels import CpuKernels
from fp4sim.kernels.interface import ElementCast
from fp4sim.kernels.reference.encode import decode, encode
from fp4sim.rounding import Rounding
from tests.conftest import golden

DTYPES = {"bf16": ml_dtypes.bfloat16, "fp32": np.float32, "fp16": np.float16}
DISTRIBUTIONS = [
    "normal",
    "heavy",
    "outlier",
    "zeroblk",
    "tiny",
    "small",
    "huge",
    "expspread",
    "allzero",
    "ties",
    "negzero",
]


def plain_cases() -> list[str]:
    half = [f"{dist}/fp16/{block}" for dist in ("normal", "heavy", "ties") for block in ("1x16", "16x16")]
    wide = [
        f"{dist}/{dtype}/{block}" for dist in DISTRIBUTIONS for dtype in ("bf16", "fp32") for block in ("1x16", "16x16")
    ]
    return wide + half


def te_inputs(case: str) -> tuple[np.lib.npyio.NpzFile, np.ndarray]:
    vectors = golden("golden_te.npz")
    if f"{case}/x" not in vectors:
        pytest.fail(f"golden_te.npz has no case {case}")
    return vectors, vectors[f"{case}/x"].view(DTYPES[case.split("/")[1]])


@pytest.mark.parametrize("case", plain_cases())
def test_nvfp4_equals_transformer_engine(case: str) -> None:
    vectors, x = te_inputs(case)
    tiles = case.endswith("16x16")
    packed = fp4sim.quantize(x, "nvfp4/16x16" if tiles else "nvfp4")
    codes = vectors[f"{case}/q_hw"] if f"{case}/q_hw" in vectors else vectors[f"{case}/q"]
    scales = packed.block_scale.repeat(16, axis=0) if tiles else packed.block_scale
    np.testing.assert_array_equal(packed.packed, codes)
    np.testing.assert_array_equal(scales, vectors[f"{case}/s"])
    software = fp4sim.kernels.reference.blocks.unpack(vectors[f"{case}/q"])
    differing = packed.codes != software  # the reference's own cast drops the sign of a -0 product
    assert np.all((packed.codes[differing] == 8) & (software[differing] == 0))
    amax, largest = vectors[f"{case}/amax"], np.abs(x.astype(np.float32)).max()
    assert amax == vectors[f"{case}/amaxT"] == largest
    assert packed.tensor_scale == (np.float32(1) if largest == 0 else largest / np.float32(2688))


@pytest.mark.parametrize("case", plain_cases())
def test_nvfp4_along_the_other_axis_equals_transformer_engine_on_the_transpose(case: str) -> None:
    vectors, x = te_inputs(case)
    tiles = case.endswith("16x16")
    packed = fp4sim.quantize(x, "nvfp4/16x16" if tiles else "nvfp4", axis=0)
    scales = packed.block_scale.repeat(16, axis=0) if tiles else packed.block_scale
    np.testing.assert_array_equal(scales, vectors[f"{case}/sT"])
    theirs = fp4sim.kernels.reference.blocks.unpack(vectors[f"{case}/qT"])
    ours = fp4sim.kernels.reference.blocks.unpack(packed.packed)
    # The transposed reference codes carry no hardware zero sign: a -0 product is 0x0 there and 0x8 here.
    differing = ours != theirs
    assert np.all((ours[differing] == 8) & (theirs[differing] == 0))


@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
def test_row_scaled_nvfp4_equals_transformer_engine(dtype: str) -> None:
    case = f"rowscaled/{dtype}/1x16"
    vectors = golden("golden_te.npz")
    x = vectors[f"{case}/x"].view(DTYPES[dtype])
    packed = fp4sim.quantize(x, "nvfp4@ts:row")
    codes = vectors[f"{case}/q_hw"] if f"{case}/q_hw" in vectors else vectors[f"{case}/q"]
    np.testing.assert_array_equal(packed.packed, codes)
    np.testing.assert_array_equal(packed.block_scale, vectors[f"{case}/s"])
    amax = vectors[f"{case}/amax"].reshape(-1)
    np.testing.assert_array_equal(packed.tensor_scale, (amax / np.float32(2688)).astype(np.float32))


@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
def test_row_scaled_nvfp4_of_the_transpose_equals_transformer_engine(dtype: str) -> None:
    case, vectors = f"rowscaled/{dtype}/1x16", golden("golden_te.npz")
    packed = fp4sim.quantize(np.ascontiguousarray(vectors[f"{case}/x"].view(DTYPES[dtype]).T), "nvfp4@ts:row")
    np.testing.assert_array_equal(packed.packed, vectors[f"{case}/qT"])
    np.testing.assert_array_equal(packed.block_scale, vectors[f"{case}/sT"])
    amax = vectors[f"{case}/amaxT"].reshape(-1)
    np.testing.assert_array_equal(packed.tensor_scale, (amax / np.float32(2688)).astype(np.float32))


@pytest.mark.parametrize("shape", ["16x16x64", "32x8x256", "64x32x512"])
def test_products_of_decoded_operands_equal_transformer_engine_s_reference(shape: str) -> None:
    """Its own order: blocks added in turn in float32, then fl(fl(Ax Aw) / (36 448²)); not a tensor core's."""
    vectors = golden("golden_te.npz")
    part = {name: vectors[f"gemm/{shape}/{name}"] for name in ("qx", "qw", "sx", "sw", "ax", "aw", "aw_col")}
    x, w = (decode(fp4sim.kernels.reference.blocks.unpack(part[q]), E2M1).astype(np.float32) for q in ("qx", "qw"))
    sx, sw = (decode(part[s], scale_format("e4m3")).astype(np.float32) for s in ("sx", "sw"))
    y = np.zeros((x.shape[0], w.shape[0]), np.float32)
    for block in range(sx.shape[1]):
        columns = slice(16 * block, 16 * block + 16)
        dots = (x[:, columns].astype(np.float64) @ w[:, columns].T.astype(np.float64)).astype(np.float32)  # exact
        y = y + np.outer(sx[:, block], sw[:, block]) * dots
    y = y * (part["ax"] * part["aw"] / np.float32(36 * 448 * 448))
    np.testing.assert_array_equal(y, vectors[f"gemm/{shape}/fp32/y"].view(np.float32))
    np.testing.assert_array_equal(y.astype(ml_dtypes.bfloat16).view(np.uint16), vectors[f"gemm/{shape}/bf16/y"])
    assert part["aw"] == part["aw_col"]


MX_DISTRIBUTIONS = [
    "normal",
    "heavy",
    "zeroblk",
    "tiny",
    "small",
    "huge",
    "expspread",
    "ties",
    "negzero",
    "naninf",
    "pow2amax",
]


@pytest.mark.parametrize("rule", ["floor", "ceil", "even", "rceil"])
@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
@pytest.mark.parametrize("dist", MX_DISTRIBUTIONS)
def test_mx_scale_rules_equal_torchao_main(dist: str, dtype: str, rule: str) -> None:
    vectors = golden("golden_torchao.npz")

    def stored(key: str) -> np.ndarray:
        return vectors[f"main36027d8/{key}"] if f"main36027d8/{key}" in vectors else vectors[key]

    case = f"{dist}/{dtype}"
    x = vectors[f"{case}/x"].view(DTYPES[dtype])
    packed = fp4sim.quantize(x, f"mxfp4@{rule}", nonfinite="propagate")
    scales = stored(f"{case}/mx_{rule.upper()}_s").view(np.uint8).reshape(packed.block_scale.shape)
    np.testing.assert_array_equal(packed.block_scale, scales)
    theirs = fp4sim.kernels.reference.blocks.unpack(stored(f"{case}/mx_{rule.upper()}_q").reshape(packed.packed.shape))
    counted = (scales != 255).repeat(32, axis=1)
    # Under a NaN scale torchao's codes are the payload bits of its NaNs (3); the instruction's are 7.
    np.testing.assert_array_equal(packed.codes[counted], theirs[counted])
    assert np.all(packed.codes[~counted] == 7)


def test_stochastic_rounding_equals_the_carry_model_given_its_random_bytes() -> None:
    vectors = golden("golden_sr.npz")
    x = vectors["x"].view(np.float32)
    codes = encode(x, E2M1, Rounding.SR, random=vectors["r"].astype(np.uint32), random_bits=8)
    np.testing.assert_array_equal(codes, vectors["hw_model"])
    np.testing.assert_array_equal(codes, vectors["te_sw"])


@pytest.mark.parametrize(("key", "order"), [("x4_hw", (0, 2, 1, 3)), ("x4_te_fallback_bytes", (0, 1, 2, 3))])
def test_four_element_stochastic_words_given_their_random_word(key: str, order: tuple[int, ...]) -> None:
    vectors = golden("golden_sr.npz")
    x = vectors["x4"].view(np.float32)
    words = vectors["rbits"].astype(np.uint32)
    random = np.stack([(words >> np.uint32(8 * byte)) & np.uint32(255) for byte in order], axis=1)
    codes = encode(x, E2M1, Rounding.SR, random=random, random_bits=8).astype(np.uint16)
    np.testing.assert_array_equal(codes[:, 0] | codes[:, 1] << 4 | codes[:, 2] << 8 | codes[:, 3] << 12, vectors[key])


def test_a_nan_element_reaches_the_compiled_backend_only_through_the_reference() -> None:
    x = np.zeros((1, 32), np.float32)
    x[0, 3] = np.nan
    packed = fp4sim.quantize(x, "nvfp4", nonfinite="propagate")
    factor = np.full((1, 2), np.finfo(np.float32).max, np.float32)
    reference = encode(x * factor.repeat(16, axis=1), E2M1)
    np.testing.assert_array_equal(packed.codes, reference)
    clean = CpuKernels.encode(np.zeros((1, 32), np.float32), factor, (1, 16), ElementCast(E2M1))
    assert not clean.any()
