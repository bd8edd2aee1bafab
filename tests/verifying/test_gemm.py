"""GEMM outputs held to the bound of FP32 accumulation, which says so, and its commonest faults named."""

from __future__ import annotations

import json

import ml_dtypes
import numpy as np
import pytest

import fp4sim
from fp4sim.errors import UnreadableError
from fp4sim.io.writer import write_safetensors
from fp4sim.verifying.check import Options, verify_dump
from fp4sim.verifying.dump import dump_of
from tests.cli.conftest import *  # noqa: F403  the fixtures run and run_json
from tests.verifying.inputs import many_amax

BF16 = ml_dtypes.bfloat16
X, W = many_amax(1, (48, 256)), many_amax(2, (64, 256))
SQUARE = many_amax(3, (256, 256))


def operands(spec, x=X, w=W):
    return fp4sim.quantize(x, spec), fp4sim.quantize(w, spec)


def accumulated(a, b, dtype=np.float32):
    """FP32 sums in the order of K, rounded once to the output's dtype."""
    total = np.zeros((a.shape[0], b.shape[0]), np.float32)
    for k in range(a.shape[1]):
        total += a[:, k, None] * b[None, :, k]
    with np.errstate(over="ignore"):
        return total.astype(dtype)


def right(spec="nvfp4", dtype=np.float32, x=X, w=W):
    a, b = operands(spec, x, w)
    y = accumulated(a.dequantize(), b.dequantize(), dtype)
    return {"x": x, "codes": a.packed, "scales": a.block_scale, "ts": a.tensor_scale, "w": w, "y": y}


def verify(arrays, spec="nvfp4"):
    return verify_dump(dump_of(arrays), fp4sim.parse(spec), Options(model="bound"))


@pytest.mark.parametrize("dtype", [np.float32, BF16, np.float16])
@pytest.mark.parametrize("spec", ["nvfp4", "mxfp4", "nvfp4@ts:row", "nvfp4@torchao", "nvfp4+4over6"])
def test_right_kernels_are_inside(spec, dtype):
    arrays = right(spec, dtype)
    if spec == "nvfp4@ts:row":
        arrays["ts"] = arrays["ts"].reshape(-1)
    case = verify({key: array for key, array in arrays.items() if spec != "mxfp4" or key != "ts"}, spec).cases[0]
    assert case.ok, case
    assert (case.gemm.outside, case.gemm.total, case.gemm.shape) == (0, 48 * 64, (48, 64, 256))
    assert 0 <= case.gemm.worst <= 1
    assert case.gemm.worst > 0 or spec == "mxfp4"  # its sums are exact


def test_order_of_sums_is_free_but_an_ulp_of_the_result_is_not():
    arrays = right()
    a, b = (one.dequantize() for one in operands("nvfp4"))
    for order in (np.arange(256)[::-1], np.random.default_rng(1).permutation(256)):
        assert verify({**arrays, "y": accumulated(a[:, order], b[:, order])}).ok
    exact = a.astype(np.float64) @ b.astype(np.float64).T
    off = (exact + 300 * 2.0**-24 * (np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64).T)).astype(np.float32)
    assert verify({**arrays, "y": off}).cases[0].gemm.outside > 0.9 * off.size
    narrow = arrays["y"].astype(BF16)
    one_step = (narrow.view(np.uint16) + np.uint16(2)).view(BF16)
    assert verify({**arrays, "y": one_step}).cases[0].gemm.outside > 0.9 * off.size


def test_one_element():
    arrays = right()
    arrays["y"][7, 9] *= 1.5
    case = verify(arrays).cases[0]
    assert (case.ok, case.gemm.outside, case.gemm.worst_at) == (False, 1, (7, 9))
    assert [finding.cause for finding in case.findings] == ["unknown"]


def test_nan_and_infinity():
    for value in (np.nan, np.inf):
        arrays = right()
        arrays["y"][3, 4] = value
        case = verify(arrays).cases[0]
        assert (case.gemm.outside, case.gemm.worst, case.gemm.worst_at) == (1, None, (3, 4))
    arrays = right(dtype=np.float16)
    a, b = (one.dequantize() * np.float32(300) for one in operands("nvfp4"))
    arrays |= {"y": accumulated(a, b, np.float16), "alpha": np.float32(90000)}
    assert np.isinf(arrays["y"]).any()
    assert verify(arrays).ok


def test_operands_in_codes():
    arrays = right()
    b = operands("nvfp4")[1]
    del arrays["w"]
    given = {"w_codes": b.packed, "w_scales": b.block_scale, "w_ts": b.tensor_scale}
    case = verify({**arrays, **given}).cases[0]
    assert case.ok
    assert case.gemm.operands == "x as the kernel dumped it, w as the kernel dumped it"
    divisor = {key: array for key, array in given.items() if key != "w_ts"} | {"w_global_scale": 1 / b.tensor_scale}
    assert verify({**arrays, **divisor}).ok
    wrong = verify({**arrays, **given, "w_codes": b.packed ^ np.uint8(1)}).cases[0]
    assert wrong.gemm.outside > 0
    alone = verify({"x": X, "w": W, "y": arrays["y"]}).cases[0]
    assert alone.ok
    assert alone.counts == {}
    assert "x as fp4sim quantizes it" in alone.gemm.operands


def test_alpha_may_be_the_tensor_scales_or_a_factor():
    arrays = right()
    a, b = operands("nvfp4")
    combined = verify({**arrays, "alpha": np.float32(a.tensor_scale * b.tensor_scale)})
    assert combined.ok
    assert "alpha is taken for" in combined.cases[0].gemm.operands
    assert verify({**arrays, "y": arrays["y"] * np.float32(0.5), "alpha": np.float32(0.5)}).ok


def without(name):
    a, b = operands("nvfp4")
    factor = {"x": a.tensor_scale, "w": b.tensor_scale, "both": a.tensor_scale * b.tensor_scale}[name]
    return {**right(), "y": right()["y"] / np.float32(factor)}


def no_block_scales():
    a, b = operands("nvfp4")
    codes = fp4sim.formats("e2m1").magnitudes()[a.codes & 7] * np.where(a.codes & 8, -1, 1)
    y = accumulated((codes * a.tensor_scale).astype(np.float32), b.dequantize())
    return {**right(), "y": y}


def twisted():
    a, b = operands("nvfp4", w=SQUARE)
    return {**right(w=SQUARE), "y": accumulated(a.dequantize(), np.ascontiguousarray(b.dequantize().T))}


FAULTS = {
    "no tensor scale of x": (lambda: without("x"), "gemm.tensor_scale_missing", "of x is"),
    "no tensor scale of w": (lambda: without("w"), "gemm.tensor_scale_missing", "of w is"),
    "no tensor scales": (lambda: without("both"), "gemm.tensor_scale_missing", "of x and of w"),
    "alpha left out": (lambda: {**right(), "alpha": np.float32(0.25)}, "gemm.alpha_missing", "0.25"),
    "y transposed": (lambda: {**right(), "y": np.ascontiguousarray(right()["y"].T)}, "gemm.transposed", "(64, 48)"),
    "w not transposed": (twisted, "gemm.operand_transposed", "x · w"),
    "factor": (lambda: {**right(), "y": right()["y"] * np.float32(3)}, "gemm.factor", "3 times"),
    "rounded": (lambda: {**right(), "y": right()["y"].astype(BF16).astype(np.float32)}, "gemm.narrowed", "bfloat16"),
    "zeros": (lambda: {**right(), "y": np.zeros((48, 64), np.float32)}, "gemm.all_zero", "zero"),
    "no block scales": (no_block_scales, "gemm.no_block_scales", "of x are"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named(fault):
    make, cause, words = FAULTS[fault]
    findings = verify(make()).cases[0].findings
    assert [finding.cause for finding in findings] == [cause]
    assert words in findings[0].sentence


@pytest.mark.parametrize("seed", range(4))
def test_other_faults_stay_unknown(seed):
    arrays, rng = right(), np.random.default_rng(seed)
    y = arrays["y"]
    faults = (
        lambda: y * rng.uniform(0.5, 2, y.shape).astype(np.float32),
        lambda: np.roll(y, 1, axis=0),
        lambda: y + np.float32(np.abs(y).max()),
        lambda: rng.permutation(y.reshape(-1)).reshape(y.shape),
    )
    findings = verify({**arrays, "y": faults[seed]()}).cases[0].findings
    assert [finding.cause for finding in findings] == ["unknown"], findings


def test_report_says_that_it_is_a_bound(run, tmp_path):
    write_safetensors(tmp_path / "d.safetensors", {key: np.asarray(array) for key, array in right().items()})
    for columns in (80, 100):
        result = run(
            "verify", tmp_path / "d.safetensors", "--spec", "nvfp4", "--model", "bound", env={"COLUMNS": str(columns)}
        )
        assert result.exit_code == 0, result.stdout
        text = " ".join(result.stdout.split())
        assert "a bound, not bit equality" in text
        assert "3,072 GEMM outputs: 3,072 within the bound of FP32 accumulation, not bit for bit" in text
        assert max(map(len, result.stdout.splitlines())) <= columns
    alone = {"x": X, "w": W, "y": right()["y"] * np.float32(2)}
    write_safetensors(tmp_path / "y.safetensors", alone)
    outputs = [tmp_path / "r.json", tmp_path / "r.md", tmp_path / "r.xml"]
    args = ["-o", outputs[0], "-o", outputs[1], "--junit", outputs[2]]
    result = run("verify", tmp_path / "y.safetensors", "--spec", "nvfp4", "--model", "bound", *args)
    assert result.exit_code == 1
    assert "Mismatched elements" not in result.stdout
    assert "CAUSE gemm.factor" in result.stdout
    assert json.loads(outputs[0].read_text())["cases"][0]["gemm"]["outside"] > 3000
    assert "not bit equality" in outputs[1].read_text()
    assert "gemm_outside" in outputs[2].read_text()


BAD = {
    "no second operand": (lambda a: {k: v for k, v in a.items() if k != "w"}, "no second operand"),
    "another length": (lambda a: {**a, "w": a["w"][:, :128]}, "not x's"),
    "another shape": (lambda a: {**a, "y": a["y"][:, :5]}, "needs (48, 64)"),
    "integers": (lambda a: {**a, "y": a["y"].astype(np.int32)}, "dtype int32"),
    "codes alone": (lambda a: {"x": a["x"], "y": a["y"], "w_codes": operands("nvfp4")[1].packed}, "w_block_scale"),
    "an alpha of NaN": (lambda a: {**a, "alpha": np.float32("nan")}, "alpha"),
    "two names": (lambda a: {**a, "gemm_out": a["y"]}, "keep one of them"),
    "NaN alone": (lambda a: {**a, "y": np.full((48, 64), np.nan, np.float32)}, "is NaN"),
    "c the other way round": (lambda a: {**a, "c": np.zeros((64, 48), np.float32)}, "(48, 64)"),
    "w of NaN": (lambda a: {**a, "w": np.full(W.shape, np.nan, np.float32)}, "is NaN"),
}


@pytest.mark.parametrize("change", BAD)
def test_bad_dumps(change):
    make, words = BAD[change]
    with pytest.raises(UnreadableError) as error:
        verify(make(right()))
    assert words in str(error.value).replace("\\n", "")
    assert "\n" not in str(error.value)


def test_a_second_operand_without_output_is_not_read():
    arrays = right()
    del arrays["y"]
    assert verify(arrays).ignored == ("w",)
