"""On a real GPU: every path bit-equal to the CPU, whatever the layout, size, stream and grid."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import fp4sim
from fp4sim.errors import DeviceError, UnreadableError
from fp4sim.geometry import Geometry
from fp4sim.gpu import fused
from fp4sim.gpu.arrays import DeviceArray
from fp4sim.kernels.cuda import load
from fp4sim.randbits import Stream
from fp4sim.rounding import Rounding, thresholds
from tests.cuda.on_gpu import adversarial, assert_same, bytes_of, to_gpu
from tests.cuda.test_quantize_host import SPECS

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("by_definition")]


@pytest.mark.parametrize("spec", SPECS)
def test_every_spec(spec, gpu):
    x = adversarial(96, 512, np.float32)
    device, host = fp4sim.quantize(to_gpu(gpu, x), spec, seed=5), fp4sim.quantize(x, spec, seed=5)
    assert_same(device, host)
    for dtype in ("float32", "bfloat16", "float16", "float64"):
        assert bytes_of(device.dequantize(dtype)) == host.dequantize(dtype).tobytes(), dtype


@pytest.mark.parametrize(
    ("shape", "axis"), [((7, 33), -1), ((33, 7), 0), ((3, 40, 50), 1), ((1,), 0), ((5, 16, 48), -1)]
)
def test_shapes_axes_and_strides(shape, axis, gpu):
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    for spec in ("nvfp4", "mxfp4+sr", "e2m1/row@fp32"):
        assert_same(fp4sim.quantize(gpu.asarray(x), spec, axis=axis), fp4sim.quantize(x, spec, axis=axis))
        if x.ndim > 1:
            part = (slice(None, None, 2), slice(None, None, -1))
            assert_same(fp4sim.quantize(gpu.asarray(x)[part], spec), fp4sim.quantize(x[part], spec))


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_subnormals_are_kept(dtype, gpu):
    """CuPy's own float32 arithmetic flushes them."""
    x = (np.random.default_rng(6).standard_normal((32, 64)) * (1e-6 if dtype == np.float16 else 1e-40)).astype(dtype)
    for spec in ("mxfp4", "nvfp4@ts:none", "mxfp4@torchao", "nvfp4@ts:row"):
        assert_same(fp4sim.quantize(gpu.asarray(x), spec), fp4sim.quantize(x, spec))
        assert bytes_of(fp4sim.fake_quant(gpu.asarray(x), spec)) == fp4sim.fake_quant(x, spec).tobytes()


def test_unaligned_and_given_scales(gpu):
    x = np.random.default_rng(2).standard_normal(16 * 64 + 1).astype(np.float32)
    shifted = gpu.asarray(x)[1:].reshape(64, 16)
    assert_same(fp4sim.quantize(shifted, "nvfp4"), fp4sim.quantize(x[1:].reshape(64, 16), "nvfp4"))
    scale = np.float32(0.003)
    device = fp4sim.quantize(shifted, "nvfp4@ts:given", tensor_scale=gpu.asarray(scale))
    assert_same(device, fp4sim.quantize(x[1:].reshape(64, 16), "nvfp4@ts:given", tensor_scale=scale))


def test_nan_and_inf(gpu):
    x = adversarial(64, 256, np.float32)
    x[3, 5], x[20, 7] = np.nan, -np.inf
    for spec in ("nvfp4", "mxfp4", "nvfp4@torchao", "nvfp4+4over6"):
        for policy in ("propagate", "ignore"):
            assert_same(
                fp4sim.quantize(gpu.asarray(x), spec, nonfinite=policy), fp4sim.quantize(x, spec, nonfinite=policy)
            )
        with pytest.raises(UnreadableError, match=r"nan at \[3, 5\]"):
            fp4sim.quantize(gpu.asarray(x), spec)


@pytest.mark.parametrize("name", ["nvfp4", "nvfp4+sr:bits=8", "nvfp4/16x16", "mxfp4", "nvfp4+4over6"])
def test_same_bytes_in_every_run_and_grid(name, gpu, monkeypatch):
    spec, x = fp4sim.parse(name), adversarial(1024, 4096)
    array = DeviceArray(gpu.asarray(x.view(np.uint16)), "bfloat16", "cupy")
    geometry, plan, seen = Geometry.for_spec(x.shape, -1, spec), fused.fused_of(spec), set()
    for unroll in (1, 2, 4):
        monkeypatch.setattr(fused, "_MOST_BLOCKS", unroll)
        for block in (32, 128, 256):
            monkeypatch.setattr(load.launch, "__kwdefaults__", {"block": block, "shared": 0})
            for _ in range(3):
                packed, scales = gpu.full(x.size // 2, 0xA5, np.uint8), gpu.full(geometry.block_shape, 0xA5, np.uint8)
                numbers = fused.numbers_of(spec, array, None)
                fused.start_quantize(plan, array, numbers, geometry, Stream.of(3), packed, scales)
                seen.add((bytes_of(packed), bytes_of(scales)))
    assert len(seen) == 1


def test_every_float_through_the_element_encoder(gpu):
    table = gpu.asarray(thresholds(fp4sim.formats("e2m1"), Rounding.RN))
    counts = gpu.zeros(18, np.uint64)
    kernel = load.kernel("exhaustive.cu", "encode_every_float")
    load.launch(kernel, 1 << 20, (table, counts, 0, 1 << 32))
    found = counts.get()
    assert found[:2].tolist() == [0, 0]
    assert int(found[2:].sum()) == 1 << 32
    # cuda_fp4.hpp's histogram over all patterns
    positive = [1048576001, 12582911, 6291457, 4194303, 4194305, 4194303, 4194305, 1071644670]
    assert found[2:10].tolist() == positive
    assert found[10:17].tolist() == positive[:7]


def test_more_than_2_to_31_elements(gpu):
    rows, cols = (1 << 17) + 3, 1 << 14
    try:
        x = gpu.zeros((rows, cols), np.uint16).view(ml_dtypes.bfloat16)
    except Exception as error:
        pytest.skip(f"no memory for {rows * cols * 2 >> 30} GiB: {error}")
    tail = adversarial(16, cols, seed=4)
    x.view(np.uint16)[-16:] = gpu.asarray(tail.view(np.uint16))
    for spec in ("nvfp4@ts:given", "nvfp4@ts:given@torchao"):
        device = fp4sim.quantize(x, spec, tensor_scale=np.float32(1e-3))
        host = fp4sim.quantize(tail, spec, tensor_scale=np.float32(1e-3))
        assert bytes_of(device.packed[-16:]) == host.packed.tobytes()
        assert bytes_of(device.block_scale[-16:]) == host.block_scale.tobytes()
        assert not device.packed[:-16].any()
        if spec == "nvfp4@ts:given":
            values = fp4sim.fake_quant(x, spec, tensor_scale=np.float32(1e-3))
            assert bytes_of(values[-16:]) == host.dequantize("bfloat16").tobytes()
    drawn = fp4sim.quantize(x, "mxfp4+sr", seed=1)
    first = (rows - 16) * cols
    stream = Stream.of(1)
    expected = fp4sim.quantize(tail, "mxfp4+sr", seed=1)  # other elements' bits
    assert bytes_of(drawn.block_scale[-16:]) == expected.block_scale.tobytes()
    assert bytes_of(drawn.packed[-16:]) == _drawn_at(tail, first, stream)


def _drawn_at(x: np.ndarray, first: int, stream: Stream) -> bytes:
    """MXFP4 codes of rows whose elements begin at a flat index of their tensor, by the reference."""
    from fp4sim.dialects.target import target_of
    from fp4sim.kernels.interface import ElementCast, Place
    from fp4sim.kernels.reference.kernels import ReferenceKernels

    spec, wide = fp4sim.parse("mxfp4+sr"), x.astype(np.float32)
    codes = fp4sim.quantize(x, "mxfp4+sr").block_scale.astype(np.int32)
    factor = np.ldexp(np.float32(1), 127 - codes).astype(np.float32) * np.float32(target_of(spec).shrink)
    place = Place(first // x.shape[1], 0, x.shape[1], 1)
    cast = ElementCast(spec.element, Rounding.SR, 32)
    return ReferenceKernels.encode_packed(wide, factor, (1, 32), cast, stream, place).tobytes()


def test_out_of_memory_is_a_device_error(gpu):
    with pytest.raises(DeviceError, match="out of GPU memory"), load.device_errors():
        gpu.empty(1 << 48, np.uint8)
