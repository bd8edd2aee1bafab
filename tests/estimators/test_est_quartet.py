"""Quartet's and Quartet II's reference quantizers: codes, scales and, in their order of products, every value.

Their kernels store the dequantized float32 value. Power-of-two scales make that exact, so it is compared as it is. Under
NVFP4 it is fl(q fl(b t)), two roundings; fp4sim's own is q (b t) rounded once. The tests form their value from fp4sim's codes,
block scales and tensor scale, so that equality holds bit for bit and speaks of all three at once. Signs of zero are not
compared: their value of a negative zero depends on the kernel.
"""

from __future__ import annotations

import numpy as np
import pytest

import fp4sim
from fp4sim.floats import E2M1
from fp4sim.io.source import ArrayTensor
from fp4sim.kernels.reference.encode import decode
from fp4sim.kernels.reference.kernels import ReferenceKernels
from fp4sim.kernels.reference.rotate import rotate
from fp4sim.packed import PackedTensor
from fp4sim.packing import quantize_tensor
from tests.conftest import golden

INPUTS = ["gauss", "scaled", "heavy", "edge"]
ONE = np.float32(1)


def vector(key: str) -> np.ndarray:
    return golden("golden_quartet.npz")[key]


def mx_input(name: str) -> np.ndarray:
    return vector("in_edge_mx" if name == "edge" else f"in_{name}")


def scale_values(packed: PackedTensor) -> np.ndarray:
    assert packed.spec.scale is not None
    return decode(packed.block_scale, packed.spec.scale).astype(np.float32)


def in_their_order(packed: PackedTensor) -> np.ndarray:
    """fl(q fl(b t))."""
    rows, cols = packed.spec.block.rows, packed.spec.block.cols
    step = (scale_values(packed) * packed.tensor_scale).repeat(rows, axis=0).repeat(cols, axis=1)
    return decode(packed.codes, E2M1).astype(np.float32) * step


NVFP4 = [
    ("nvfp4_rtn_1x16_460", "nvfp4@quartet2"),
    ("nvfp4_rtn_16x16_460", "nvfp4/16x16@ts:bound=447.99@quartet2"),
    ("nvfp4_rtn_1x16_461", "nvfp4@quartet2+4over6"),
    ("nvfp4_rtn_16x16_461", "nvfp4/16x16@quartet2+4over6"),
    ("nvfp4_rtn_1x16_qrtn0.93", "nvfp4@quartet2+max:6.072106262"),
    ("nvfp4_rtn_1x16_sr17_16", "nvfp4@quartet2+max:5.647058824"),
]


@pytest.mark.parametrize("kernels", [None, ReferenceKernels], ids=["cpu", "reference"])
@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize(("key", "spec"), NVFP4)
def test_nvfp4_round_to_nearest(key: str, spec: str, name: str, kernels: type | None) -> None:
    packed = quantize_tensor(ArrayTensor("", vector(f"in_{name}")), fp4sim.parse(spec), kernels=kernels)
    np.testing.assert_array_equal(in_their_order(packed), vector(f"q2/{name}__{key}"))


def test_the_default_arithmetic_is_not_theirs() -> None:
    """Which gives the equalities on the edge cases their power; on continuous data both arithmetics have the same codes."""
    packed = fp4sim.quantize(vector("in_edge"), "nvfp4")
    assert not np.array_equal(in_their_order(packed), vector("q2/edge__nvfp4_rtn_1x16_460"))


QUEST = [("quest_mxfp4", "quest:mult=1"), ("quest_mxfp4_mult1.5", "quest:mult=1.5")]


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("domain", ["H32", "I"])
@pytest.mark.parametrize(("key", "step"), QUEST)
def test_quest(key: str, step: str, domain: str, name: str) -> None:
    """Bit-equal under fp4sim's own rotation too: power-of-two scales forgive its other order of sums."""
    size = "" if domain == "H32" else ":size=1"
    packed = fp4sim.quantize(mx_input(name), f"mxfp4+{step}{size}+rnz")
    np.testing.assert_array_equal(packed.dequantize(domain="rotated"), vector(f"q1/{name}__{key}_{domain}"))
    if key == "quest_mxfp4":
        np.testing.assert_array_equal(packed.extra["trust"], vector(f"q1/{name}__{key}_{domain}_mask"))


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("domain", ["H32", "I"])
def test_absmax_at_three_quarters(domain: str, name: str) -> None:
    rotation = "+h:32" if domain == "H32" else ""
    packed = fp4sim.quantize(mx_input(name), f"mxfp4{rotation}+max:4.5+rnz")
    np.testing.assert_array_equal(packed.dequantize(domain="rotated"), vector(f"q1/{name}__absmax_rtn_mxfp4_{domain}"))


@pytest.mark.parametrize("name", INPUTS)
def test_constant_alignment(name: str) -> None:
    """Theirs is fl(value 1.009276); ours puts the constant into the tensor scale, which rounds it once with 4/3.

    So bit equality is of codes, scales and fl(value 1.009276) formed in their order; ours is within two roundings of it.
    """
    plain = fp4sim.quantize(mx_input(name), "mxfp4+h:32+max:4.5+rnz")
    aligned = fp4sim.quantize(mx_input(name), "mxfp4+h:32+max:4.5+rnz+pma")
    want = vector(f"q1/{name}__absmax_rtn_pma_H32")
    np.testing.assert_array_equal(plain.dequantize(domain="rotated") * np.float32(1.009276), want)
    np.testing.assert_array_equal(aligned.packed, plain.packed)
    np.testing.assert_array_equal(aligned.block_scale, plain.block_scale)
    assert aligned.tensor_scale == plain.tensor_scale * np.float32(1.009276)
    np.testing.assert_allclose(aligned.dequantize(domain="rotated"), want, rtol=2**-22, atol=0)


@pytest.mark.parametrize("name", INPUTS[:3])
def test_eden_s_e8m0_quantizer_without_correction(name: str) -> None:
    """override 1.0: amax in [3, 6) of the scale, which is +max:4.5; in the H32 domain."""
    packed = fp4sim.quantize(vector(f"in_{name}"), "mxfp4+h:32+max:4.5")
    np.testing.assert_array_equal(packed.dequantize(domain="rotated"), vector(f"q2/{name}__eden_e8m0_g32_no_1.0"))


@pytest.mark.parametrize("name", INPUTS[:3])
@pytest.mark.parametrize(("key", "spec"), [("no", "+max:6.25"), ("eden", "+eden:size=1:s=128")])
def test_eden_s_fp32_quantizers(key: str, spec: str, name: str) -> None:
    """amax at 6/0.96 in the H128 domain. Codes are equal; float32 scales follow the sums of the rotation and of S.

    A value is q, amax, 0.16 and S multiplied with a rounding each; amax differs by the rotation's 7 additions, S less.
    """
    rotated = rotate(vector(f"in_{name}"), np.ones(128, np.float32))
    packed = fp4sim.quantize(rotated, f"e2m1/128@fp32{spec}")
    want = vector(f"q2/{name}__eden_fp32_g128_{key}_0.96")
    step = np.abs(want).reshape(128, 2, 128).max(axis=2)
    largest = decode(packed.codes & 7, E2M1).reshape(128, 2, 128).max(axis=2)
    codes = np.rint(2 * want / (step / largest).repeat(128, axis=1)) / 2
    np.testing.assert_array_equal(decode(packed.codes, E2M1), codes)
    np.testing.assert_allclose(packed.dequantize(), want, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", INPUTS[:3])
@pytest.mark.parametrize("s", [16, 128])
def test_ms_eden(s: int, name: str) -> None:
    """The deterministic part on rotated data: codes, base scales and tensor scale bit-equal; S and what it corrects to 1e-6."""
    rotated, key = vector(f"q2/{name}__rht128"), f"q2/{name}__mseden_S{s}"
    spec = f"nvfp4@ts:bound=255.99@quartet2+mseden:s={s}:size=1"
    base = fp4sim.quantize(rotated, "nvfp4@ts:bound=255.99@quartet2+max:6.072106262")
    draws = [fp4sim.quantize(rotated, spec, seed=seed) for seed in range(8)]
    np.testing.assert_array_equal(decode(draws[0].codes, E2M1), vector(f"{key}_codes"))
    np.testing.assert_array_equal(base.codes, draws[0].codes)
    np.testing.assert_array_equal(scale_values(base), vector(f"{key}_base_scale_e4m3"))
    assert draws[0].tensor_scale == vector(f"{key}_tensor_scale")[0]
    down, up, corrected = (vector(f"{key}_{part}") for part in ("down", "up", "corrected_scale"))
    drawn = np.stack([scale_values(packed) for packed in draws])
    assert np.all((drawn == down) | (drawn == up))
    p_up = np.where(up > down, (corrected - down) / np.where(up > down, up - down, ONE), 0)
    assert np.abs(p_up - vector(f"{key}_p_up"))[up > down].max() < 2e-5
    chance = np.clip((corrected - down) / np.where(up > down, up - down, ONE), 0, 1)
    # 8 draws of 2048 scales: the mean share of ups within four standard errors of its probability
    spread = np.sqrt((chance * (1 - chance)).sum() / 8) / chance.size
    assert (
        abs((drawn > down)[:, up > down].mean() - chance[up > down].mean())
        < 4 * spread * chance.size / (up > down).sum()
    )


@pytest.mark.parametrize("name", INPUTS[:3])
@pytest.mark.parametrize("s", [16, 128])
def test_ms_eden_s_correction(s: int, name: str) -> None:
    """S from fp4sim's own kernels, before any draw: 16 ulp, because their float32 sums have another order."""
    from fp4sim.estimators.eden import correction
    from fp4sim.kernels.cpu.kernels import CpuKernels
    from fp4sim.kernels.interface import ElementCast
    from fp4sim.rounding import Rounding

    rotated, key = vector(f"q2/{name}__rht128"), f"q2/{name}__mseden_S{s}"
    base = fp4sim.quantize(rotated, "nvfp4@ts:bound=255.99@quartet2+max:6.072106262")
    divisor = scale_values(base) * base.tensor_scale
    cast = ElementCast(E2M1, Rounding.RNA, divides=True)
    found = correction(*CpuKernels.products(rotated, base.codes, divisor, (1, 16), cast, s))
    np.testing.assert_array_max_ulp(found, vector(f"{key}_S"), 16)
    corrected = scale_values(base) * found.repeat(s // 16, axis=1)
    np.testing.assert_array_max_ulp(corrected, vector(f"{key}_corrected_scale"), 16)
    down, up = vector(f"{key}_down"), vector(f"{key}_up")
    chance = (corrected - down) / np.where(up > down, up - down, ONE)
    assert np.abs(chance - vector(f"{key}_p_up"))[up > down].max() < 2e-5


@pytest.mark.parametrize("name", INPUTS)
def test_their_rotation_to_rounding(name: str) -> None:
    """x (H D)^T = (x s) H: the golden's sums are another order, so equality is to 4e-7 of a group's norm."""
    x = vector(f"in_{name}")
    signs = vector("rht_signs128")
    found, want = rotate(x, signs), vector(f"q2/{name}__rht128")
    norm = np.linalg.norm(x.reshape(-1, 128).astype(np.float64), axis=1).repeat(128).reshape(x.shape)
    assert np.all(np.abs(found - want) <= 4e-7 * norm)
