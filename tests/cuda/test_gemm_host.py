"""The GPU's GEMM with its kernels on the host (tests/cuda/fibers.h): the CPU's bits by every path and order, from any C.

The machine code of a GPU is not what runs here, nor Hopper's own loop; tests/cuda/test_gpu_gemm.py is for that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fp4sim
from fp4sim.errors import UsageError
from fp4sim.kernels.cuda import gemm, gemm_launch
from fp4sim.mma import block_scaled_mma
from tests.mma.cases import FAMILIES, KINDS, Operands, operands

PATHS = ("compiled", "emulated", "wide")
ORDERS = ("chain", "split-k:2", "split-k:3:backward", "stream-k:1:2", "stream-k:2:c-last", "split-k:4:backward:c-last")
MODELS = ("blackwell", "mma-sim-2026-01", "probe:F24", "probe:F37", "probe:floorNone")
STARTS = ("none", "words", "ordinary", "earlier")


def quiet(bits: np.ndarray) -> np.ndarray:
    """NaNs as the GPU makes them: its additions give these bits, an x86's do not."""
    return np.where((bits & 0x7FFFFFFF) > 0x7F800000, np.uint32(0x7FFFFFFF), bits)


def both(fake: Any, ops: Operands, kind: tuple[str, int], **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Bits of the host's kernels and of the CPU."""
    given_ = {"scale_format": kind[0], "block": kind[1], **options}
    there = block_scaled_mma(*(fake.asarray(part) for part in ops), **given_).get()
    given_.pop("path", None)
    return quiet(there.view(np.uint32)), block_scaled_mma(*ops, **given_, threads=1).view(np.uint32)


def begun(name: str, ops: Operands, kind: tuple[str, int], seed: int) -> Operands:
    """The operands with another C: zeros, any words, numbers of the products' size, or an earlier product."""
    a, b, c, sa, sb = ops
    product = block_scaled_mma(a, b, np.zeros_like(c), sa, sb, scale_format=kind[0], block=kind[1], threads=1)
    if name == "none":
        c = np.zeros_like(c)
    elif name == "earlier":
        c = product.view(np.uint32)
    elif name == "ordinary":
        size = np.where(np.isfinite(product), np.abs(product), 1).mean(dtype=np.float64)
        noise = np.random.default_rng(seed).standard_normal(c.shape) * min(size, 1e30)
        c = noise.astype(np.float32).view(np.uint32)
    return a, b, c, sa, sb


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    seed=st.integers(0, 1 << 30),
    family=st.sampled_from(FAMILIES),
    kind=st.sampled_from(KINDS),
    path=st.sampled_from(PATHS),
    order=st.sampled_from(ORDERS),
    model=st.sampled_from(MODELS),
    start=st.sampled_from(STARTS),
    blocks=st.sampled_from([2, 7, 16, 24]),
)
def test_every_path_and_order(host_device, seed, family, kind, path, order, model, start, blocks):
    ops = begun(start, operands(seed, family, kind, m=20, n=18, blocks=blocks), kind, seed)
    found, expected = both(host_device, ops, kind, path=path, order=order, model=model)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
@settings(max_examples=1000, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    seed=st.integers(0, 1 << 30),
    family=st.sampled_from(FAMILIES),
    kind=st.sampled_from(KINDS),
    path=st.sampled_from(PATHS[:2]),
    order=st.sampled_from(ORDERS[:3]),
    start=st.sampled_from(STARTS[1:]),
)
def test_many_starts(host_device, seed, family, kind, path, order, start):
    ops = begun(start, operands(seed, family, kind, m=40, n=20, blocks=12), kind, seed)
    found, expected = both(host_device, ops, kind, path=path, order=order)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("path", ["compiled", "emulated"])
@pytest.mark.parametrize("family", ["ordinary", "zero_products", "subnormal"])
def test_every_exponent_of_an_accumulator(family, path, host_device):
    """Steps of which some anchor and some do not, from accumulators of every exponent, on both sides of what float32 holds."""
    kind, rng = ("ue4m3", 16), np.random.default_rng(4)
    a, b, _, sa, sb = operands(3, family, kind, m=9, n=512, blocks=12)
    a[:, 32:64] = 0  # a step without products
    exponents = np.arange(512) % 256
    mantissas = np.where(rng.random((9, 512)) < 0.2, 0x7FFFFF, rng.integers(0, 1 << 23, (9, 512)))
    c = (rng.integers(0, 2, (9, 512)) << 31 | exponents << 23 | mantissas).astype(np.uint32)
    found, expected = both(host_device, (a, b, c, sa, sb), kind, path=path)
    np.testing.assert_array_equal(found, expected)


@pytest.fixture
def launched(monkeypatch):
    """Names of the kernels that are launched."""
    names: list[str] = []

    def launch(name, *rest):
        names.append(name)
        gemm_launch.launch(name, *rest)

    monkeypatch.setattr(gemm, "launch", launch)
    return names


def test_which_kernels_take_an_accumulator(host_device, launched):
    kind = ("ue4m3", 16)
    a, b, c, sa, sb = operands(5, "ordinary", kind, m=20, n=18, blocks=8)
    provable = (np.random.default_rng(0).integers(-50, 50, c.shape) / 4).astype(np.float32).view(np.uint32)
    single = provable.copy()
    single[3, 5] = 0x7F000000
    ordinary = np.random.default_rng(1).standard_normal(c.shape).astype(np.float32).view(np.uint32)
    for start, proven, wide in ((provable, True, False), (single, True, True), (ordinary, False, False)):
        launched.clear()
        found, expected = both(host_device, (a, b, start, sa, sb), kind)
        np.testing.assert_array_equal(found, expected)
        assert ("gemm_proven_begun" in launched, "gemm_wide" in launched) == (proven, wide), launched


@pytest.mark.parametrize("family", ["ordinary", "cancelling"])
def test_a_proof_that_fails_for_some_outputs(family, host_device, launched):
    """Starts that are no multiples of the unit, here and there: their 16 x 8 outputs go through the steps, no others."""
    kind = ("ue4m3", 16)
    a, b, c, sa, sb = operands(6, family, kind, m=150, n=280, blocks=8)
    c = np.zeros_like(c)
    c[::40, ::50] = 0x3F800001
    found, expected = both(host_device, (a, b, c, sa, sb), kind)
    np.testing.assert_array_equal(found, expected)
    assert "gemm_proven_begun" in launched


def packed(seed: int, rows: int, k: int, spec: str) -> fp4sim.PackedTensor:
    rng = np.random.default_rng(seed)
    return fp4sim.quantize(
        (rng.standard_normal((rows, k)) * np.exp2(rng.integers(-3, 4, (rows, 1)))).astype(np.float32), spec
    )


@pytest.mark.parametrize("out", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize(
    ("specs", "order"),
    [
        (("nvfp4@ts:row", "nvfp4@ts:row"), "chain"),
        (("nvfp4", "nvfp4@ts:row"), "split-k:3"),
        (("nvfp4@ts:row", "nvfp4"), "stream-k:2:3:backward"),
        (("mxfp4", "mxfp4"), "split-k:2:c-last"),
        (("nvfp4", "nvfp4"), "stream-k:1"),
    ],
)
def test_gemm(specs, order, out, host_device):
    """Orders, tensor scales a row, and the epilogue; K that is no whole number of steps."""
    a, b, rng = packed(0, 21, 456, specs[0]), packed(1, 19, 456, specs[1]), np.random.default_rng(2)
    c, bias = rng.standard_normal((21, 19)).astype(np.float32), rng.standard_normal(19).astype(np.float32)
    there = [host_device.asarray(part) for part in (c, bias)]
    for given_ in ({}, {"alpha": 0.7}, {"alpha": 1.3, "beta": -1.1}):
        addend = (None, None) if len(given_) < 2 else (c, there[0])
        options = {**given_, "order": order, "out": out}
        expected = fp4sim.gemm(a, b, addend[0], bias=bias, **options)
        found = fp4sim.gemm(a.to_device(), b.to_device(), addend[1], bias=there[1], **options).get()
        np.testing.assert_array_equal(found.view(f"u{found.itemsize}"), expected.view(f"u{expected.itemsize}"))


@pytest.mark.parametrize("shape", [(1, 1, 16), (5, 1030, 80), (129, 3, 32)])
def test_shapes(shape, host_device):
    m, n, k = shape
    a, b = packed(3, m, k, "nvfp4@ts:row"), packed(4, n, k, "nvfp4")
    expected = fp4sim.gemm(a, b, order="stream-k:1")
    found = fp4sim.gemm(a.to_device(), b.to_device(), order="stream-k:1").get()
    np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("out", ["float32", "bfloat16", "float16"])
def test_models_that_no_kernel_computes(out, host_device):
    rng = np.random.default_rng(1)
    a, b = (fp4sim.quantize(rng.standard_normal((rows, 64)).astype(np.float32), "nvfp4") for rows in (16, 9))
    c, bias = rng.standard_normal((16, 9)).astype(np.float32), np.arange(9, dtype=np.float32)
    options = {"alpha": 1.5, "beta": -2.0, "model": "exact", "order": "split-k:2", "out": out}
    there = host_device.asarray(c), host_device.asarray(bias)
    found = fp4sim.gemm(a.to_device(), b.to_device(), there[0], bias=there[1], **options)
    assert found.get().tobytes() == fp4sim.gemm(a, b, c, bias=bias, **options).tobytes()


@pytest.mark.parametrize("model", ["blackwell", "exact"])
@pytest.mark.parametrize("kind", ["list", "big endian", "torch", "torch bfloat16"])
def test_addends_of_the_host_are_read_as_on_the_host(kind, model, host_device):
    rng = np.random.default_rng(1)
    a, b = (fp4sim.quantize(rng.standard_normal((rows, 64)).astype(np.float32), "nvfp4") for rows in (16, 9))
    c = rng.standard_normal((16, 9)).astype(np.float32)
    if kind.startswith("torch"):
        torch = pytest.importorskip("torch")
        c = torch.from_numpy(c).requires_grad_() if kind == "torch" else torch.from_numpy(c).bfloat16()
    else:
        c = c.tolist() if kind == "list" else c.astype(">f4")
    if kind == "torch bfloat16":
        with pytest.raises(UsageError, match="c is bfloat16 of shape"):
            fp4sim.gemm(a.to_device(), b.to_device(), c, model=model)
        return
    found = fp4sim.gemm(a.to_device(), b.to_device(), c, model=model)
    assert found.get().tobytes() == fp4sim.gemm(a, b, c, model=model).tobytes()
