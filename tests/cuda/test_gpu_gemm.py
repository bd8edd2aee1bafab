"""The GEMM on a GPU: the CPU's bits by every path, proofs that hold, and dense instructions whose model is found."""

from __future__ import annotations

import numpy as np
import pytest

import fp4sim
from fp4sim.errors import UsageError
from fp4sim.kernels.cuda.dense_mma import INSTRUCTIONS, available, instruction
from fp4sim.mma import block_scaled_mma
from fp4sim.mma.fit import fit_mma
from tests.conftest import golden
from tests.cuda.on_gpu import to_gpu
from tests.mma.cases import FAMILIES, KINDS, multiply, operands

pytestmark = pytest.mark.gpu

PATHS = ("compiled", "proven", "emulated", "wide")


def on_gpu(gpu, ops, kind, model="blackwell", path="compiled", order="chain"):
    given = {"scale_format": kind[0], "block": kind[1], "model": model, "path": path, "order": order}
    return block_scaled_mma(*(to_gpu(gpu, np.ascontiguousarray(part)) for part in ops), **given).get().view(np.uint32)


def gaussian(seed, rows, k, spread=0, spec="nvfp4"):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, k)) * np.exp2(rng.integers(-spread, spread + 1, (rows, 1)))
    return fp4sim.quantize(x.astype(np.float32), spec)


def test_golden_words(gpu):
    vectors, words = golden("golden_mma.npz"), 0
    for key in vectors:
        if key.endswith("/D"):
            fmt, block = key.split("/")[1].split("_b")
            ops = tuple(vectors[key[:-1] + field] for field in ("A", "B", "C", "SA", "SB"))
            np.testing.assert_array_equal(on_gpu(gpu, ops, (fmt, int(block))), vectors[key], err_msg=key)
            words += vectors[key].size
    assert words == 54_528


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("model", ["blackwell", "mma-sim-2026-01", "probe:F24"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_adversarial_operands(family, kind, model, path, gpu):
    a, b, c, sa, sb = operands(1, family, kind, m=70, n=90, blocks=24)
    for start in (np.zeros_like(c), c):
        ops = (a, b, start, sa, sb)
        np.testing.assert_array_equal(on_gpu(gpu, ops, kind, model, path), multiply(ops, kind, model))


@pytest.mark.parametrize("path", ["proven", "emulated"])
@pytest.mark.parametrize("width", [4, 12, 25, 60])
def test_powers_of_two_near_and_far_apart(width, path, gpu):
    kind = ("ue8m0", 32)
    a, b, c, *_ = operands(2, "any", kind, m=130, n=70, blocks=32)
    rng = np.random.default_rng(width)
    scales = (rng.integers(127 - width // 2, 128 + width // 2, (rows, 32)).astype(np.uint8) for rows in (130, 70))
    ops = (a, b, np.zeros_like(c), *scales)
    np.testing.assert_array_equal(on_gpu(gpu, ops, kind, path=path), multiply(ops, kind, "blackwell"))


@pytest.mark.parametrize("shape", [(1, 1, 16), (16, 8, 64), (129, 257, 144), (300, 517, 1040), (512, 512, 4096)])
def test_shapes(shape, gpu):
    m, n, k = shape
    a, b = gaussian(1, m, k), gaussian(2, n, k)
    expected = fp4sim.gemm(a, b)
    np.testing.assert_array_equal(
        fp4sim.gemm(a.to_device(), b.to_device()).get().view(np.uint32), expected.view(np.uint32)
    )


@pytest.mark.parametrize("out", ["float32", "bfloat16", "float16"])
def test_epilogue(out, gpu):
    a, b, rng = gaussian(3, 65, 192, 3), gaussian(4, 77, 192), np.random.default_rng(5)
    c, bias = rng.standard_normal((65, 77)).astype(np.float32), rng.standard_normal(77).astype(np.float32)
    c[1, ::2], c[2], bias[::4] = np.inf, np.nan, np.inf  # times beta the first is -Inf
    given = {"alpha": 0.7, "beta": -1.1, "out": out}
    expected = fp4sim.gemm(a, b, c, bias=bias, **given)
    d = fp4sim.gemm(a.to_device(), b.to_device(), to_gpu(gpu, c), bias=to_gpu(gpu, bias), **given).get()
    word = np.uint32 if out == "float32" else np.uint16
    np.testing.assert_array_equal(d.view(word), expected.view(word))
    assert np.isnan(d[1, ::4].astype(np.float32)).all()


@pytest.mark.parametrize("order", ["split-k:4", "stream-k:3:4:11", "split-k:3:backward"])
@pytest.mark.parametrize("specs", [("nvfp4", "nvfp4@ts:row"), ("nvfp4@ts:row", "nvfp4@ts:row"), ("mxfp4", "mxfp4")])
def test_orders_and_tensor_scales_a_row(specs, order, gpu):
    a, b = gaussian(3, 131, 1000, 3, specs[0]), gaussian(4, 270, 1000, 3, specs[1])
    for out, word in (("float32", np.uint32), ("bfloat16", np.uint16)):
        expected = fp4sim.gemm(a, b, order=order, out=out, alpha=0.7)
        found = fp4sim.gemm(a.to_device(), b.to_device(), order=order, out=out, alpha=0.7).get()
        np.testing.assert_array_equal(found.view(word), expected.view(word))


@pytest.mark.parametrize("path", ["compiled", "emulated"])
@pytest.mark.parametrize("order", ["chain", "split-k:2", "split-k:2:c-last"])
def test_accumulators(order, path, gpu):
    """A product, noise, and both with single words that float32 does not hold under the rows' shifts."""
    kind, rng = ("ue4m3", 16), np.random.default_rng(10)
    a, b, _, sa, sb = operands(10, "ordinary", kind, m=300, n=600, blocks=64)
    product = multiply((a, b, np.zeros((300, 600), np.uint32), sa, sb), kind, "blackwell")
    noise = rng.standard_normal(product.shape).astype(np.float32).view(np.uint32)
    for start in (product, noise):
        for words in (start, np.where(rng.random(start.shape) < 1e-3, rng.integers(0, 1 << 32, start.shape), start)):
            ops = (a, b, words.astype(np.uint32), sa, sb)
            given = {"scale_format": kind[0], "block": kind[1], "order": order}
            expected = block_scaled_mma(*ops, **given).view(np.uint32)
            np.testing.assert_array_equal(on_gpu(gpu, ops, kind, path=path, order=order), expected)


@pytest.mark.parametrize(("k", "same_sign"), [(4096, False), (16384, False), (2048, True), (1024, True)])
def test_proven_outputs_are_the_emulated_ones(k, same_sign, gpu):
    a, b = gaussian(6, 2048, k), gaussian(7, 2048, k)
    mask = np.uint8(0x77 if same_sign else 0xFF)  # sums of one sign come near the bound and pass it
    ops = (a.packed & mask, b.packed & mask, np.zeros((2048, 2048), np.uint32), a.block_scale, b.block_scale)
    proven, emulated = (on_gpu(gpu, ops, ("ue4m3", 16), path=path) for path in ("proven", "emulated"))
    np.testing.assert_array_equal(proven, emulated)
    np.testing.assert_array_equal(on_gpu(gpu, ops, ("ue4m3", 16)), proven)  # no order of work changes a bit


def test_errors(gpu):
    a, b = gaussian(8, 16, 64), gaussian(9, 16, 64)
    with pytest.raises(UsageError, match="b is on the host"):
        fp4sim.gemm(a.to_device(), b)
    ops = (a.packed, b.packed, np.zeros((16, 16), np.float32), a.block_scale, b.block_scale)
    with pytest.raises(UsageError, match="not computed on the GPU"):
        on_gpu(gpu, ops, ("ue4m3", 16), model="exact")


def test_models_of_the_host(gpu):
    a, b = gaussian(8, 16, 64), gaussian(9, 16, 64)
    found = fp4sim.gemm(a.to_device(), b.to_device(), model="exact").get()
    np.testing.assert_array_equal(found, fp4sim.gemm(a, b, model="exact"))


def test_the_gpus_own_instructions_obey_one_model(gpu):
    for name in available():
        found = fit_mma(instruction(name), INSTRUCTIONS[name].kind, outputs=10_000)
        assert len(found.models) == 1, (name, found)
