"""Bit equality with torchao: stored vectors of two versions, and the installed library where there is one."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given, settings

import fp4sim
from fp4sim.floats import UE4M3
from fp4sim.kernels.reference.encode import encode
from tests.conftest import golden
from tests.dialects.inputs import matrices

DTYPES = {"bf16": ml_dtypes.bfloat16, "fp32": np.float32}
DISTRIBUTIONS = [
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
VERSIONS = {"": "main36027d8", ":v0.18": "v0.18.0"}
RULES = ["floor", "ceil", "even", "rceil"]


def vectors(case, dtype, flag=""):
    stored = golden("golden_torchao.npz")

    def of(key):
        versioned = f"{VERSIONS[flag]}/{case}/{dtype}/{key}"
        return stored[versioned if versioned in stored else f"{case}/{dtype}/{key}"]

    return of("x").view(DTYPES[dtype]), of


def check(packed, scales, codes):
    """Equal bytes; the sign of a NaN scale, which depends on the processor, is left out."""
    scales = scales.view(np.uint8)
    scales = scales & 0x7F if packed.spec.scale.has_zero else scales
    np.testing.assert_array_equal(packed.block_scale, scales.reshape(packed.block_scale.shape))
    np.testing.assert_array_equal(packed.packed, codes.view(np.uint8).reshape(packed.packed.shape))


@pytest.mark.parametrize("flag", VERSIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", DISTRIBUTIONS)
class TestVectors:
    @pytest.mark.parametrize("rule", RULES)
    def test_mx(self, case, dtype, flag, rule):
        x, of = vectors(case, dtype, flag)
        packed = fp4sim.quantize(x, f"mxfp4@torchao{flag}@{rule}", nonfinite="propagate")
        check(packed, of(f"mx_{rule.upper()}_s"), of(f"mx_{rule.upper()}_q"))

    def test_nvfp4_of_one_level(self, case, dtype, flag):
        x, of = vectors(case, dtype, flag)
        text = f"nvfp4@torchao:onelevel{flag}"
        check(fp4sim.quantize(x, text, nonfinite="propagate"), of("nv1_s"), of("nv1_q"))

    def test_nvfp4_of_two_levels(self, case, dtype, flag):
        x, of = vectors(case, dtype, flag)
        scale = of("nv2_pts").reshape(())
        given = fp4sim.quantize(x, f"nvfp4@torchao{flag}@ts:given", tensor_scale=scale, nonfinite="propagate")
        check(given, of("nv2_s"), of("nv2_q"))
        if case != "naninf":
            own = fp4sim.quantize(x, f"nvfp4@torchao{flag}")
            assert own.tensor_scale == scale
            check(own, of("nv2_s"), of("nv2_q"))


def installed():
    pytest.importorskip("torch")
    torchao = pytest.importorskip("torchao")
    if not torchao.__version__.startswith("0.18"):
        pytest.skip(f"torchao {torchao.__version__} is not the version that is followed")
    return pytest.importorskip("torchao.prototype.mx_formats.nvfp4_tensor"), pytest.importorskip(
        "torchao.prototype.mx_formats.mx_tensor"
    )


def to_torch(x):
    import torch

    bf16 = x.dtype == ml_dtypes.bfloat16
    return torch.from_numpy(x.view(np.int16)).view(torch.bfloat16) if bf16 else torch.from_numpy(x)


def raw(tensor):
    import torch

    return tensor.contiguous().view(torch.uint8).numpy()


INPUTS = matrices((ml_dtypes.bfloat16, np.float32))


@settings(max_examples=150)
@given(x=INPUTS)
def test_nvfp4_equals_the_installed_library(x):
    nvfp4, _ = installed()
    assume(np.abs(x.astype(np.float32)).max() > 1e-35)  # else p = 0, and the codes are bits of the processor's NaN
    data = to_torch(x)
    check(fp4sim.quantize(x, "nvfp4@torchao:onelevel"), *map(raw, nvfp4.nvfp4_quantize(data)))
    scale = nvfp4.per_tensor_amax_to_scale(data.abs().amax())
    check(fp4sim.quantize(x, "nvfp4@torchao"), *map(raw, nvfp4.nvfp4_quantize(data, per_tensor_scale=scale)))


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_an_all_zero_tensor_equals_the_installed_library(dtype):
    nvfp4, _ = installed()
    data = to_torch(np.zeros((2, 32), dtype))
    scale = nvfp4.per_tensor_amax_to_scale(data.abs().amax())
    scales, _codes = map(raw, nvfp4.nvfp4_quantize(data, per_tensor_scale=scale))
    np.testing.assert_array_equal(fp4sim.quantize(np.zeros((2, 32), dtype), "nvfp4@torchao").block_scale, scales & 0x7F)


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=100)
@given(x=INPUTS)
def test_mx_equals_the_installed_library(rule, x):
    _, mx = installed()
    import torch

    mode = mx.ScaleCalculationMode[rule.upper()]
    scales, codes = mx.to_mx(to_torch(x), torch.float4_e2m1fn_x2, 32, mode)
    check(fp4sim.quantize(x, f"mxfp4@torchao:v0.18@{rule}"), raw(scales), raw(codes))


def test_rceil_of_the_installed_library_on_all_exponents():
    _, mx = installed()
    import torch

    powers = np.ldexp(np.float32(6), np.arange(-126, 125)).astype(np.float32)
    amax = np.concatenate([powers, np.nextafter(powers, np.float32(0)), np.nextafter(powers, np.float32(np.inf))])
    amax = np.concatenate([amax, np.nextafter(amax, np.float32(np.inf)), amax * np.float32(0.7)])
    x = np.zeros((amax.size, 32), np.float32)
    x[:, 3] = amax
    scales, codes = mx.to_mx(to_torch(x), torch.float4_e2m1fn_x2, 32, mx.ScaleCalculationMode.RCEIL)
    check(fp4sim.quantize(x, "mxfp4@torchao:v0.18@rceil"), raw(scales), raw(codes))


def test_the_arithmetic_of_eager_gpu_code_multiplies_by_rounded_reciprocals() -> None:
    """Where the two differ: a = fl(6·s) one ulp off a tie of E4M3, as an H200 showed for torchao 0.18.0."""
    points = (UE4M3.magnitudes()[9:-1] + UE4M3.magnitudes()[10:]) / 2
    amax = np.repeat((points * 6).astype(np.float32).view(np.uint32), 3) + np.tile([0, 1, 0xFFFFFFFF], points.size)
    x = np.zeros((amax.size, 16), np.float32)
    x[:, 3] = amax.astype(np.uint32).view(np.float32)
    plain, on_gpu = (fp4sim.quantize(x, f"nvfp4@torchao:onelevel{flag}").block_scale[:, 0] for flag in ("", ":cuda"))
    a, sixth = x[:, 3], np.float32(1) / np.float32(6)
    np.testing.assert_array_equal(plain, encode(a / np.float32(6), UE4M3))
    np.testing.assert_array_equal(on_gpu, encode(a * sixth, UE4M3))
    assert (plain != on_gpu).any()
    two = fp4sim.quantize(x, "nvfp4@torchao:cuda")
    assert two.tensor_scale == a.max() * (np.float32(1) / np.float32(2688))
