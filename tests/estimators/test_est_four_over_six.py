"""Four-over-six: Transformer Engine's exact mode bit for bit, the worked example, and which blocks take 4."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given, settings

import fp4sim
from fp4sim.io.source import ArrayTensor
from fp4sim.kernels.cpu.kernels import CpuKernels
from fp4sim.kernels.reference.kernels import ReferenceKernels
from fp4sim.packing import quantize_tensor
from tests.conftest import golden
from tests.dialects.inputs import matrices

DTYPES = {"bf16": ml_dtypes.bfloat16, "fp32": np.float32}


@pytest.mark.parametrize("kernels", [CpuKernels, ReferenceKernels], ids=["cpu", "reference"])
@pytest.mark.parametrize("tile", ["1x16", "16x16"])
@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
@pytest.mark.parametrize("metric", ["MAE", "MSE"])
@pytest.mark.parametrize("bound", [448, 256])
@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_transformer_engine_s_modes(mode: str, bound: int, metric: str, dtype: str, tile: str, kernels: type) -> None:
    vectors, case = golden("golden_te.npz"), f"4over6_{bound}_{metric}_{mode}/{dtype}/{tile}"
    flags = f"{metric.lower()}:bound={bound}{':fast' if mode == 'fast' else ''}"
    spec = fp4sim.parse(f"{'nvfp4/16x16' if tile == '16x16' else 'nvfp4'}+4over6:{flags}")
    x = vectors[f"{case}/x"].view(DTYPES[dtype])
    packed = quantize_tensor(ArrayTensor("", x), spec, kernels=kernels)
    np.testing.assert_array_equal(packed.packed, vectors[f"{case}/q"])
    scales = packed.block_scale.repeat(16, axis=0) if tile == "16x16" else packed.block_scale
    np.testing.assert_array_equal(scales, vectors[f"{case}/s"])
    assert packed.tensor_scale == vectors[f"{case}/amax"][0] / np.float32(6 * bound)


def test_the_fast_mode_is_another_arithmetic() -> None:
    """The stored vectors are the same in both modes; among more blocks some that are nearly tied fall the other way."""
    x = np.random.default_rng(3).standard_normal((1024, 1024)).astype(ml_dtypes.bfloat16)
    exact, fast = (fp4sim.quantize(x, f"nvfp4+4over6:{flags}") for flags in ("mae", "mae:fast"))
    assert 0 < np.count_nonzero(exact.block_scale != fast.block_scale) < 1e-2 * exact.block_scale.size


def fouroversix_choice(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """fouroversix's default rule in plain NumPy, from its published operations: scale bytes and codes."""
    f32, blocks = np.float32, x.astype(np.float32).reshape(x.shape[0], -1, 16)
    amax, largest = np.abs(blocks).max(axis=-1), np.abs(blocks).max()
    g = f32(1) if largest == 0 else f32(1536) / largest
    found = []
    for ratio in (f32(1), f32(1.5)):
        code = np.minimum(((amax / f32(6)) * g) * ratio, f32(448)).astype(ml_dtypes.float8_e4m3fn)
        s = code.astype(f32)
        factor = np.where(s == 0, f32(0), f32(1) / ((f32(1) / g) * s))
        elements = np.clip(blocks * factor[..., None], -6, 6).astype(ml_dtypes.float4_e2m1fn)
        back = ((elements.astype(f32) * s[..., None]) * largest) / f32(1536)
        squares = (back - blocks) * (back - blocks)
        total = np.zeros(s.shape, f32)
        for column in range(16):
            total = total + squares[..., column]
        found.append((code.view(np.uint8), elements.view(np.uint8), total))
    (six, codes6, error6), (four, codes4, error4) = found
    better = error4 < error6
    codes = np.where(better[..., None], codes4, codes6)
    return np.where(better, four, six), codes.reshape(x.shape)


@pytest.mark.parametrize("kernels", [CpuKernels, ReferenceKernels], ids=["cpu", "reference"])
@settings(max_examples=100)
@given(x=matrices())
def test_fouroversix_s_own_arithmetic(kernels: type, x: np.ndarray) -> None:
    with np.errstate(all="ignore"):
        scales, codes = fouroversix_choice(x)
    assume(np.isfinite(np.float32(1536) / max(np.abs(x.astype(np.float32)).max(), np.float32(1e-35))))
    assume(np.abs(x.astype(np.float32)).max() > 1e-35 or not x.astype(np.float32).any())
    packed = quantize_tensor(ArrayTensor("", x), fp4sim.parse("nvfp4@fouroversix+4over6"), kernels=kernels)
    np.testing.assert_array_equal(packed.block_scale, scales)
    np.testing.assert_array_equal(packed.codes, codes)


EXAMPLE = np.zeros((1, 16), np.float32)
EXAMPLE[0, :4] = [10, 20, 30, 40]


def test_the_worked_example() -> None:
    """arXiv 2512.02010: [10, 20, 30, 40] at tensor scale 1 loses 4.33 at 6 (scale 6.5) and nothing at 4 (scale 10)."""
    six = fp4sim.quantize(EXAMPLE, "nvfp4@ts:given", tensor_scale=1.0)
    np.testing.assert_array_equal(six.dequantize()[0, :4], np.array([9.75, 19.5, 26, 39], np.float32))
    assert np.mean((six.dequantize() - EXAMPLE)[0, :4] ** 2) == pytest.approx(4.33, abs=0.005)
    four = fp4sim.quantize(EXAMPLE, "nvfp4@ts:given+4over6", tensor_scale=1.0)
    np.testing.assert_array_equal(four.dequantize(), EXAMPLE)
    assert four.to_numpy()["block_scale"].astype(np.float32)[0, 0] == 10


def test_ties_go_to_six() -> None:
    """Both encodings of a lone 6 are exact at tensor scale 1: 6 times 1, 4 times 1.5."""
    x = np.zeros((1, 16), np.float32)
    x[0, 5] = 6
    packed = fp4sim.quantize(x, "nvfp4@ts:given+4over6", tensor_scale=1.0)
    assert packed.to_numpy()["block_scale"].astype(np.float32)[0, 0] == 1
    assert packed.codes[0, 5] == 7


def test_the_kept_encoding_is_the_better_of_the_two() -> None:
    """Against both candidates made apart, from the scales alone: no kept block has more squared error than the other."""
    x = np.random.default_rng(5).standard_normal((64, 256)).astype(np.float32)
    spec = "nvfp4@ts:bound=256"
    six, chosen = fp4sim.quantize(x, spec), fp4sim.quantize(x, "nvfp4+4over6")
    four = fp4sim.quantize(x, f"{spec}+max:4")
    np.testing.assert_array_equal(six.tensor_scale, chosen.tensor_scale)
    # At +max:4 the tensor scale is amax / (256 * 4) and the scale 1.5 times smaller in it: the same product but for roundings.

    def error(packed: fp4sim.PackedTensor) -> np.ndarray:
        return ((packed.dequantize(np.float64) - x) ** 2).reshape(64, 16, 16).sum(axis=2)

    assert np.all(error(chosen) <= error(six) * (1 + 1e-6))
    assert error(chosen).sum() < 0.85 * error(six).sum()
    assert error(chosen).sum() < 0.85 * error(four).sum()
    fours = chosen.block_scale != six.block_scale
    np.testing.assert_array_equal(chosen.codes.reshape(64, 16, 16)[~fours], six.codes.reshape(64, 16, 16)[~fours])


@pytest.mark.parametrize(("metric", "share"), [("mse", 0.452), ("mae", 0.337), ("absmax", 0.599)])
def test_share_of_blocks_on_four(metric: str, share: float) -> None:
    """recipes.md §4.1, N(0, 1): within three standard errors of a share of 2^17 blocks and the last digit."""
    x = np.random.default_rng(11).standard_normal((1024, 2048)).astype(np.float32)
    six = fp4sim.quantize(x, "nvfp4@ts:bound=256").block_scale
    fours = np.mean(fp4sim.quantize(x, f"nvfp4+4over6:{metric}").block_scale != six)
    assert fours == pytest.approx(share, abs=0.0005 + 3 * (share * (1 - share) / six.size) ** 0.5)


def test_under_stochastic_rounding_both_encodings_have_bits_of_their_own() -> None:
    x = np.random.default_rng(5).standard_normal((16, 256)).astype(np.float32)
    mean = np.mean([fp4sim.quantize(x, "nvfp4+4over6+sr", seed=seed).dequantize() for seed in range(64)], axis=0)
    draws = [fp4sim.quantize(x, "nvfp4+4over6+sr", seed=seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(draws[0].packed, draws[1].packed)
    assert not np.array_equal(draws[0].packed, draws[2].packed)
    slope = np.vdot(mean, x) / np.vdot(x, x)
    assert slope == pytest.approx(1.0073, abs=0.004)  # not unbiased: it inflates (quartet.md §7)
