"""Bit equality with golden words of block-scaled steps, predictions of rival models, silicon's words, and a library's GEMM."""

from __future__ import annotations

import numpy as np
import pytest

from fp4sim.mma import block_scaled_mma, dense_mma, model_named
from fp4sim.mma.instances import MXF8F6F4_PROBE_MODELS, PROBE_MODELS
from tests.conftest import golden
from tests.mma.cases import multiply, pairs, shared

PATHS = ["proven", "emulated", "wide", "reference"]
FIELDS = ("A", "B", "C", "SA", "SB")


@pytest.mark.parametrize("path", PATHS)
def test_every_golden_word(path: str) -> None:
    vectors, words = golden("golden_mma.npz"), 0
    for key in vectors:
        if not key.endswith("/D"):
            continue
        scale_format, block = key.split("/")[1].split("_b")
        ops = tuple(vectors[key[:-1] + field] for field in FIELDS)
        d = multiply(ops, (scale_format, int(block)), "blackwell", path)
        np.testing.assert_array_equal(d, vectors[key], err_msg=key)
        words += d.size
    assert words == 54_528


def test_the_models_are_those_of_the_probes() -> None:
    vectors = golden("mma_probes.npz")
    assert [name.removeprefix("probe:") for name in PROBE_MODELS] == vectors["k64/models"].tolist()
    assert [name.removeprefix("mxf8f6f4:") for name in MXF8F6F4_PROBE_MODELS] == vectors[
        "mxf8f6f4_e2m1_k32/models"
    ].tolist()


@pytest.mark.parametrize("path", ["wide", "reference"])
@pytest.mark.parametrize("index", range(50))
def test_probes_of_k64(index: int, path: str) -> None:
    vectors, model = golden("mma_probes.npz"), list(PROBE_MODELS)[index]
    mxf4 = vectors["k64/is_mxf4"]
    for rows, kind, blocks in ((~mxf4, ("ue4m3", 16), 4), (mxf4, ("ue8m0", 32), 2)):
        a, b, c, sa, sb = (vectors[f"k64/{field}"][rows] for field in FIELDS)
        d = pairs((a, b, c, sa[:, :blocks], sb[:, :blocks]), kind, model, path)
        np.testing.assert_array_equal(d, vectors["k64/pred"][rows, index], err_msg=model)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("field", "model"), [("D_hw", "blackwell"), ("D_c785138", "mma-sim-2026-01")])
@pytest.mark.parametrize(("batch", "kind"), [("nvf4", ("ue4m3", 16)), ("mxf4", ("ue8m0", 32))])
def test_batches_of_probes(batch: str, kind: tuple[str, int], field: str, model: str, path: str) -> None:
    vectors = golden("mma_probes.npz")
    ops = tuple(vectors[f"batch_{batch}/{name}"] for name in FIELDS)
    np.testing.assert_array_equal(pairs(ops, kind, model, path), vectors[f"batch_{batch}/{field}"])


@pytest.mark.parametrize("path", ["wide", "reference"])
@pytest.mark.parametrize("index", range(14))
def test_probes_of_mxf8f6f4(index: int, path: str) -> None:
    vectors, prefix = golden("mma_probes.npz"), "mxf8f6f4_e2m1_k32"
    a, b, c, sa, sb = (vectors[f"{prefix}/{field}"] for field in FIELDS)
    packed = [codes[:, 0::2] | codes[:, 1::2] << 4 for codes in (a, b)]
    model = list(MXF8F6F4_PROBE_MODELS)[index]
    d = pairs((*packed, c, sa[:, None], sb[:, None]), ("ue8m0", 32), model, path)
    np.testing.assert_array_equal(d, vectors[f"{prefix}/pred"][:, index], err_msg=model)


def check_dense(vectors: np.lib.npyio.NpzFile, kind: str, path: str) -> int:
    prefix = f"b200_mma_sync/{kind}"
    a, b, c, d = (vectors[f"{prefix}/{field}"] for field in ("a", "b", "c_f32bits", "d_fp32_f32bits"))
    ours = dense_mma(a[:, None], b[:, None], c[:, None, None], kind=kind, path=path)
    np.testing.assert_array_equal(ours.view(np.uint32)[:, 0, 0], d)
    return d.size


@pytest.mark.parametrize("path", ["compiled", "reference"])
@pytest.mark.parametrize("kind", ["fp16", "bf16", "tf32"])
def test_dense_products_of_a_b200(kind: str, path: str) -> None:
    assert check_dense(golden("b200_mma_sync.npz"), kind, path) == 1000


@pytest.mark.parametrize("kind", ["fp16", "bf16", "tf32"])
def test_every_dense_product_of_a_b200(kind: str) -> None:
    assert check_dense(shared("hw_vectors.npz"), kind, "compiled") == 5000


@pytest.mark.parametrize("path", ["compiled", "reference"])
@pytest.mark.parametrize("shape", ["16x16x64", "32x8x256", "64x32x512"])
def test_fp32_rn_is_transformer_engines_reference_gemm(shape: str, path: str) -> None:
    vectors = golden("golden_te.npz")
    x, w, sx, sw, ax, aw = (vectors[f"gemm/{shape}/{field}"] for field in ("qx", "qw", "sx", "sw", "ax", "aw"))
    c = np.zeros((x.shape[0], w.shape[0]), np.float32)
    given = {"scale_format": "ue4m3", "block": 16, "model": "fp32-rn", "path": path}
    d = block_scaled_mma(x, w, c, sx, sw, **given)
    factor = np.float32(ax[0] * aw[0]) / np.float32(36 * 448 * 448)
    np.testing.assert_array_equal((d * factor).view(np.uint32), vectors[f"gemm/{shape}/fp32/y"])


def test_named_instances_are_the_probes_models() -> None:
    for name, probe in (
        ("blackwell", "probe:hw_F35"),
        ("mma-sim-2026-01", "probe:mmasim_c785138"),
        ("mxf8f6f4", "mxf8f6f4:hw gs32 F25 native"),
        ("f8f6f4", "mxf8f6f4:hw gs32 F25 native"),
    ):
        ours, theirs = model_named(name), model_named(probe)
        assert {**vars(ours), "name": ""} == {**vars(theirs), "name": ""}
