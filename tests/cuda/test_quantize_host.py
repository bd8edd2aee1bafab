"""fp4sim.quantize of a device array against the host's, through the general path, on a device that is the host."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import fp4sim
from fp4sim.errors import UnreadableError, UsageError
from fp4sim.gpu import quantize
from fp4sim.gpu.quantize import runs_on_device
from fp4sim.randbits import Stream, random_bits
from tests.cuda.packed_cases import FUSED

pytestmark = pytest.mark.usefixtures("host_device")

SPECS = [
    "nvfp4", "nvfp4/16x16", "nvfp4@ts:none", "nvfp4@ts:row", "nvfp4@ts:128", "nvfp4@up", "nvfp4+rz", "nvfp4+ru",
    "mxfp4", "mxfp4@rceil", "mxfp4@ceil", "mxfp4@even", "mxfp4@log2", "mxfp4+sr", "mxfp4/16x16",
    "nvfp4+sr", "nvfp4+sr:bits=8", "nvfp4+sr:clip", "nvfp4+4over6", "nvfp4+4over6:mae", "nvfp4+4over6:fast",
    "nvfp4/16x16+4over6:absmax", "nvfp4+4over6+sr", "nvfp4+rht", "nvfp4+rht:16:te", "mxfp4+h:32", "nvfp4+max:4.5+pma",
    "e1m2/8@e4m3", "e3m0/32@e8m0", "nvint4", "e2m1/row@fp32", "e2m1/tensor@bf16", "e4m3/128@fp32", "e2m1/16@ue5m3", "bf16",
    "nvfp4@torchao", "nvfp4@torchao:onelevel", "mxfp4@torchao@rceil", "nvfp4@vllm-cuda", "nvfp4@modelopt",
    "nvfp4@flashinfer", "nvfp4@cublaslt", "nvfp4@compressed-tensors", "nvfp4@fouroversix+4over6",
    "mxplus", "if4", "mxfp4+minmse", "mxfp4+quest", "nvfp4+mseden", "nvfp4+occ:0.9", "mxfp4+eden", "nvfp4+mseden:posthoc",
]  # fmt: skip


def tensor(shape=(48, 256), seed=0, dtype=np.float32) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) * np.exp2(rng.integers(-6, 7, (*shape[:-1], 1)))
    x[..., 0, :] = 0
    return x.astype(ml_dtypes.bfloat16).astype(dtype)


def same(device: fp4sim.PackedTensor, host: fp4sim.PackedTensor) -> None:
    moved = device.to_host()
    for name in ("packed", "block_scale", "tensor_scale"):
        left, right = getattr(moved, name), getattr(host, name)
        assert (left.dtype, left.shape) == (right.dtype, right.shape), name
        assert left.tobytes() == right.tobytes(), name
    assert set(moved.extra) == set(host.extra)
    for name, array in host.extra.items():
        assert moved.extra[name].tobytes() == array.tobytes(), name
    assert (moved.shape, moved.axis, moved.spec, moved.dtype) == (host.shape, host.axis, host.spec, host.dtype)
    assert (moved.seed, moved.nonfinite) == (host.seed, host.nonfinite)
    assert (moved.signs is None) == (host.signs is None)


@pytest.mark.parametrize("spec", SPECS)
def test_bits_are_the_hosts(spec, host_device):
    x = tensor()
    device, host = fp4sim.quantize(host_device.asarray(x), spec, seed=7), fp4sim.quantize(x, spec, seed=7)
    same(device, host)
    assert device.is_on_device
    assert device.origin == "cupy"
    assert np.array_equal(device.codes.get(), host.codes)
    for dtype in ("float32", "float16", "float64"):
        assert device.dequantize(dtype).get().tobytes() == host.dequantize(dtype).tobytes(), dtype
    half = device.dequantize("bfloat16").get()
    assert half.tobytes() == host.dequantize("bfloat16").tobytes()


@pytest.mark.parametrize(("shape", "axis"), [((5, 33), -1), ((33, 5), 0), ((3, 21, 50), 1), ((1, 1), -1), ((100,), 0)])
@pytest.mark.parametrize("spec", ["nvfp4", "mxfp4+sr", "nvfp4@ts:row", "e2m1/row@fp32", "nvfp4+sr:bits=8"])
def test_shapes_and_axes(spec, shape, axis, host_device):
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    device, host = fp4sim.quantize(host_device.asarray(x), spec, axis=axis), fp4sim.quantize(x, spec, axis=axis)
    same(device, host)
    assert device.dequantize().get().tobytes() == host.dequantize().tobytes()
    if len(shape) == 3:
        tiles = "nvfp4/16x16"
        same(fp4sim.quantize(host_device.asarray(x), tiles, axis=axis), fp4sim.quantize(x, tiles, axis=axis))


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_dtypes_widen(dtype, host_device):
    x = np.random.default_rng(2).standard_normal((8, 64)).astype(dtype)
    same(fp4sim.quantize(host_device.asarray(x), "nvfp4"), fp4sim.quantize(x, "nvfp4"))


def test_bfloat16_by_its_bits(host_device):
    x = tensor().astype(ml_dtypes.bfloat16)
    same(fp4sim.quantize(host_device.asarray(x), "nvfp4"), fp4sim.quantize(x, "nvfp4"))


def test_strided_input(host_device):
    x = np.random.default_rng(3).standard_normal((64, 96)).astype(np.float32)
    device = host_device.asarray(x)
    same(fp4sim.quantize(device[::2, ::3], "nvfp4"), fp4sim.quantize(x[::2, ::3], "nvfp4"))
    same(fp4sim.quantize(device.T, "mxfp4"), fp4sim.quantize(x.T, "mxfp4"))


def test_given_tensor_scale(host_device):
    x = tensor()
    for given in (np.float32(0.01), np.full(48, 0.02, np.float32)):
        same(
            fp4sim.quantize(host_device.asarray(x), "nvfp4@ts:given", tensor_scale=given),
            fp4sim.quantize(x, "nvfp4@ts:given", tensor_scale=given),
        )
    same(
        fp4sim.quantize(host_device.asarray(x), "nvfp4@ts:given", tensor_scale=host_device.asarray(np.float32(0.01))),
        fp4sim.quantize(x, "nvfp4@ts:given", tensor_scale=np.float32(0.01)),
    )


@pytest.mark.parametrize("spec", ["nvfp4", "mxfp4", "nvfp4@torchao", "nvfp4+sr", "nvfp4+4over6"])
def test_nan_and_inf(spec, host_device):
    x = tensor()
    x[3, 5], x[20, 7] = np.nan, -np.inf
    for policy in ("propagate", "ignore"):
        device = fp4sim.quantize(host_device.asarray(x), spec, nonfinite=policy)
        same(device, fp4sim.quantize(x, spec, nonfinite=policy))
    with pytest.raises(UnreadableError, match=r"nan at \[3, 5\]"):
        fp4sim.quantize(host_device.asarray(x), spec)


def awkward(dtype) -> np.ndarray:
    """Blocks of every size of scale, subnormals, ties, zeros; 64 rows of 512."""
    rng = np.random.default_rng(11)
    x = rng.standard_normal((64, 512))
    x[8:24] *= np.exp2(rng.integers(-140 if dtype != np.float16 else -24, 4, (16, 1)))
    x[24:40] *= np.exp2(rng.integers(-30, 1, (16, 512)))
    x[40:48] = rng.integers(-48, 49, (8, 512)) / 8
    x[48:52] *= rng.random((4, 512)) < 0.05
    x[52:54] = rng.choice([0.0, -0.0], (2, 512))
    return x.astype(dtype)


# Each case compiles two kernels; inputs differ in how they are widened and where their signs lie, so a few specs show them.
OTHER_INPUTS = ["nvfp4", "nvfp4/16x16+sr:bits=8", "mxfp4@even", "mxfp4+sr", "nvfp4+4over6:mae"]
CASES = [(spec, ml_dtypes.bfloat16) for spec in FUSED]
CASES += [(spec, dtype) for spec in OTHER_INPUTS for dtype in (np.float32, np.float16)]


@pytest.mark.parametrize(("spec", "dtype"), CASES)
def test_fused_kernels(spec, dtype, host_device, monkeypatch):
    x = awkward(dtype)
    monkeypatch.setattr(quantize, "quantize_panels", None)  # the general path is not to be needed
    device = fp4sim.quantize(host_device.asarray(x), spec, seed=3, name="w")
    host = fp4sim.quantize(x, spec, seed=3, name="w")
    same(device, host)
    monkeypatch.setattr(quantize, "_quantize", None)
    values = fp4sim.fake_quant(host_device.asarray(x), spec, seed=3, name="w").get()
    expected = fp4sim.fake_quant(x, spec, seed=3, name="w")
    assert (values.dtype, expected.dtype) == (x.dtype, x.dtype)
    assert values.tobytes() == expected.tobytes() == host.dequantize(x.dtype).tobytes()


def test_random_bits_beyond_the_first_twenty_decide(host_device):
    """Elements whose first 20 bits leave the carry open: fraction and random word add up to ones there."""
    index = np.arange(64 * 32)
    word = random_bits(Stream.of(5, "w"), index, 32).astype(np.int64)
    low = index % 16  # of 24 bits that a float32 fraction has; the random word's own lower bits decide with them
    fraction = ((((1 << 20) - 1 - (word >> 12)) << 4) | low) / 2.0**24
    x = (fraction / 2).astype(np.float32).reshape(64, 32)  # between codes 0 and 1
    x[:, 7] = 6.0  # a scale of 1
    device = fp4sim.quantize(host_device.asarray(x), "mxfp4@rceil+sr", seed=5, name="w")
    host = fp4sim.quantize(x, "mxfp4@rceil+sr", seed=5, name="w")
    assert (host.block_scale == 127).all()
    assert 0.3 < np.delete(host.codes, 7, axis=1).mean() < 0.7
    same(device, host)


@pytest.mark.parametrize("given", [1e-30, 1e-9, 0.37, 3e20])
def test_fused_kernels_under_a_given_scale(given, host_device):
    for dtype in (np.float32, ml_dtypes.bfloat16):
        x, scale = awkward(dtype), np.float32(given)
        for spec in ("nvfp4@ts:given", "nvfp4@ts:given+sr:bits=8", "nvfp4@ts:given+4over6"):
            device = fp4sim.quantize(host_device.asarray(x), spec, tensor_scale=scale)
            same(device, fp4sim.quantize(x, spec, tensor_scale=scale))
            values = fp4sim.fake_quant(host_device.asarray(x), spec, tensor_scale=scale).get()
            assert values.tobytes() == fp4sim.fake_quant(x, spec, tensor_scale=scale).tobytes()


def test_fused_kernels_leave_extremes_to_the_general_path(host_device):
    x = np.zeros((2, 64), np.float32)
    x[0, 3] = 3.4e38  # rounds to 2^128 under `even`
    for spec in ("mxfp4@even", "mxfp4", "mxfp4@rceil", "nvfp4"):
        same(fp4sim.quantize(host_device.asarray(x), spec), fp4sim.quantize(x, spec))


def test_fake_quant_of_what_has_no_kernel(host_device):
    x = tensor((40, 50))
    for spec, axis in (("nvfp4@torchao", -1), ("nvfp4", 0), ("mxplus", -1), ("e1m2/8@e4m3", 1)):
        values = fp4sim.fake_quant(host_device.asarray(x), spec, axis=axis).get()
        assert values.tobytes() == fp4sim.fake_quant(x, spec, axis=axis).tobytes()


def test_saved_and_laid_out_from_the_device(tmp_path, host_device):
    x = tensor()
    device, host = fp4sim.quantize(host_device.asarray(x), "nvfp4"), fp4sim.quantize(x, "nvfp4")
    for name, packed in (("gpu", device), ("cpu", host)):
        fp4sim.save(tmp_path / f"{name}.safetensors", {"w": packed})
    assert (tmp_path / "gpu.safetensors").read_bytes() == (tmp_path / "cpu.safetensors").read_bytes()
    assert np.array_equal(device.swizzled_scale("128x4"), host.swizzled_scale("128x4"))
    assert device.to_numpy()["codes"].tobytes() == host.to_numpy()["codes"].tobytes()


def test_refusals(host_device):
    with pytest.raises(UsageError, match="int32 cannot be quantized on the GPU"):
        fp4sim.quantize(host_device.asarray(np.zeros((2, 2), np.int32)), "nvfp4")
    with pytest.raises(UsageError, match="no elements"):
        fp4sim.quantize(host_device.asarray(np.zeros((0, 16), np.float32)), "nvfp4")


def test_what_runs_on_the_device():
    assert runs_on_device(fp4sim.parse("nvfp4+4over6+sr"))
    assert not runs_on_device(fp4sim.parse("mxplus"))
