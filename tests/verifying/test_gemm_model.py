"""GEMM outputs against models of the matrix unit: bit for bit, inside what an order of steps could give, or neither."""

from __future__ import annotations

import json
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest

import fp4sim
from fp4sim.errors import UnreadableError, UsageError
from fp4sim.io.writer import write_safetensors
from fp4sim.mma.raw import RawPair
from fp4sim.verifying.check import Options, verify_dump
from fp4sim.verifying.dump import dump_of
from tests.cli.conftest import *  # noqa: F403  the fixtures run and run_json

OUTS = {"float32": np.float32, "bfloat16": ml_dtypes.bfloat16, "float16": np.float16}


def matrix(seed: int, rows: int, columns: int, spread: float = 0.0) -> np.ndarray:
    """Gaussian, each block of 16 scaled by up to 2^±spread: with a spread products lose bits."""
    rng = np.random.default_rng(seed)
    scales = np.exp2(rng.uniform(-spread, spread, (rows, columns // 16))).repeat(16, axis=1)
    return (rng.standard_normal((rows, columns)) * scales).astype(np.float32)


X, W = matrix(1, 24, 512), matrix(2, 40, 512)
WIDE_X, WIDE_W = matrix(3, 24, 512, 10), matrix(4, 40, 512, 10)


def dump(x=X, w=W, spec="nvfp4", model="blackwell", *, y=None, **given):
    a, b = fp4sim.quantize(x, spec), fp4sim.quantize(w, spec)
    y = fp4sim.gemm(a, b, model=model, **given) if y is None else y
    names = ("codes", "scales", "ts")
    arrays = {"x": x, "w": w, "y": y, **dict(zip(names, (a.packed, a.block_scale, a.tensor_scale), strict=True))}
    if spec.startswith("mxfp4"):
        del arrays["ts"]
    return arrays


def split(x, w, parts, spec="nvfp4"):
    a, b = fp4sim.quantize(x, spec), fp4sim.quantize(w, spec)
    words = RawPair.of(a, b).words(order=f"split-k:{parts}")
    return words * np.float32(a.tensor_scale * b.tensor_scale)


def verify(arrays, spec="nvfp4", **options):
    return verify_dump(dump_of(arrays), fp4sim.parse(spec), Options(**options)).cases[0]


@pytest.mark.parametrize("out", OUTS)
@pytest.mark.parametrize("spec", ["nvfp4", "mxfp4", "nvfp4+4over6"])
@pytest.mark.parametrize("data", [(X, W), (WIDE_X, WIDE_W)], ids=["ordinary", "wide"])
def test_a_right_kernel_is_right_bit_for_bit(data, spec, out):
    case = verify(dump(*data, spec, out=out), spec)
    assert case.ok
    found = case.gemm
    assert (found.method, found.model, found.equal, found.outside, found.total) == (
        "enclosure",
        "blackwell",
        960,
        0,
        960,
    )
    assert found.obeyed[0] == "blackwell"
    if data[0] is X:
        assert "exact" in found.obeyed  # ordinary data tell no models apart


def test_the_epilogue():
    rng = np.random.default_rng(0)
    c, bias = rng.standard_normal((24, 40)).astype(np.float32), rng.standard_normal(40).astype(np.float32)
    arrays = dump(WIDE_X, WIDE_W, c=c, alpha=-0.3, beta=0.7, bias=bias, out="bfloat16")
    given = {"alpha": np.float32(-0.3), "beta": np.float32(0.7), "c": c, "bias": bias}
    assert verify({**arrays, **given}).gemm.equal == 960
    assert not verify({**arrays, **given, "beta": np.float32(0.8)}).ok
    assert verify({**arrays, **given}, model="bound").ok
    # the ends of an enclosure change places under a negative factor
    y = split(WIDE_X, WIDE_W, 4) * np.float32(-1)
    case = verify({**dump(WIDE_X, WIDE_W, y=y), "alpha": np.float32(-1)})
    assert case.ok
    assert case.gemm.equal < 960


@pytest.mark.parametrize("parts", [2, 4, 8])
def test_another_order_is_inside_and_named(parts):
    case = verify(dump(WIDE_X, WIDE_W, y=split(WIDE_X, WIDE_W, parts)))
    assert case.ok
    assert case.gemm.equal < case.gemm.total
    assert case.gemm.obeyed == (f"blackwell split-k:{parts}",)


def step_of(pair, index):
    codes, scales = slice(32 * index, 32 * index + 32), slice(4 * index, 4 * index + 4)
    a, b = (part[:, codes] for part in (pair.a_packed, pair.b_packed))
    sa, sb = (part[:, scales] for part in (pair.a_scale, pair.b_scale))
    return replace(pair, a_packed=a, b_packed=b, a_scale=sa, b_scale=sb)


@pytest.mark.parametrize("seed", range(4))
def test_any_order_is_inside(seed):
    """Steps permuted, cut into runs at random, and the runs' words added in another order, toward zero or to nearest."""
    rng = np.random.default_rng(seed)
    a, b = fp4sim.quantize(WIDE_X, "nvfp4"), fp4sim.quantize(WIDE_W, "nvfp4")
    pair, order = RawPair.of(a, b), rng.permutation(8)
    words = [step_of(pair, int(step)).words() for step in order]
    while len(words) > 1:
        left, right = words.pop(int(rng.integers(len(words)))), words.pop(int(rng.integers(len(words))))
        words.append(left + right)
    case = verify(dump(WIDE_X, WIDE_W, y=words[0] * np.float32(a.tensor_scale * b.tensor_scale)))
    assert case.ok, case
    assert case.gemm.equal < 960


@pytest.mark.parametrize("model", ["fp32-rn", "mma-sim-2026-01", "ue5m3-report", "exact"])
def test_another_model_is_named(model):
    x, w = WIDE_X, WIDE_W
    if model == "mma-sim-2026-01":  # differs where groups of zero products anchor
        a, b = fp4sim.quantize(x, "nvfp4"), fp4sim.quantize(w, "nvfp4")
        a, b = zeros_under_big_scales(a), zeros_under_big_scales(b)
        y = fp4sim.gemm(a, b, model=model)
        arrays = {"x": x, "codes": a.packed, "scales": a.block_scale, "ts": a.tensor_scale, "y": y}
        arrays |= {"w_codes": b.packed, "w_scales": b.block_scale, "w_ts": b.tensor_scale}
    else:
        arrays = dump(x, w, model=model)
    found = verify(arrays).gemm
    assert model in found.obeyed
    assert "blackwell" not in found.obeyed
    assert verify(arrays, model=model).gemm.equal == 960


def zeros_under_big_scales(packed):
    """Every fourth group zeros under 448, the others under small scales."""
    codes, scales = packed.packed.copy(), packed.block_scale.copy()
    scales[:] = 1 + scales % 24
    scales[:, ::4] = 0x7E
    for group in range(0, scales.shape[1], 4):
        codes[:, 8 * group : 8 * group + 8] = 0
    return replace(packed, packed=codes, block_scale=scales)


def test_the_cause_names_the_model():
    a, b = fp4sim.quantize(WIDE_X, "nvfp4"), fp4sim.quantize(WIDE_W, "nvfp4")
    case = verify(dump(WIDE_X, WIDE_W, y=fp4sim.gemm(a, b, model="probe:F24")), model="exact")
    assert not case.ok
    assert case.gemm.beyond_bound == 0
    assert [finding.cause for finding in case.findings] == ["gemm.accumulation"]
    exact = dump(WIDE_X, WIDE_W, y=fp4sim.gemm(a, b, model="ue5m3-report"))
    findings = verify(exact, model="exact").findings
    assert findings[0].cause == "gemm.model"
    assert "what ue5m3-report gives" in findings[0].sentence


@pytest.mark.parametrize("out", OUTS)
def test_one_ulp_outside_is_found_and_named(out):
    y = fp4sim.gemm(*(fp4sim.quantize(one, "nvfp4") for one in (X, W)), out=out)
    words = y.view(f"u{y.itemsize}").copy()
    words[7, 9] += 1  # ordinary data: every enclosure is one value
    case = verify(dump(y=words.view(y.dtype)))
    assert (case.ok, case.gemm.outside, case.gemm.equal) == (False, 1, 959)
    beyond = case.gemm.beyond[0]
    assert (beyond.index, beyond.low) == ((7, 9), beyond.high)
    assert beyond.found == float(words.view(y.dtype)[7, 9])
    assert beyond.low == float(y[7, 9])


def test_one_ulp_beyond_either_end_of_an_enclosure():
    a, b = fp4sim.quantize(WIDE_X, "nvfp4"), fp4sim.quantize(WIDE_W, "nvfp4")
    scale = np.float32(a.tensor_scale * b.tensor_scale)
    enclosure = RawPair.of(a, b).enclose()
    for end, away in ((enclosure.low, -np.inf), (enclosure.high, np.inf)):
        y = fp4sim.gemm(a, b)
        y[3, 5] = (end * scale)[3, 5]
        assert verify(dump(WIDE_X, WIDE_W, y=y)).ok
        y[3, 5] = np.nextafter(y[3, 5], np.float32(away))
        case = verify(dump(WIDE_X, WIDE_W, y=y))
        assert case.gemm.outside == 1
        assert case.gemm.beyond[0].index == (3, 5)


def test_nan_and_infinity():
    for value in (np.nan, np.inf, -np.inf):
        y = dump()["y"]
        y[3, 4] = value
        case = verify(dump(y=y))
        assert case.gemm.outside == 1
        assert case.gemm.beyond[0].found == str(value)
        json.dumps(case.gemm.beyond[0].found, allow_nan=False)
    b = fp4sim.quantize(W, "nvfp4")
    scales = b.block_scale.copy()
    scales[5, 3] = 0x7F
    words = {"w_codes": b.packed, "w_scales": scales, "w_ts": b.tensor_scale}
    nan = fp4sim.gemm(fp4sim.quantize(X, "nvfp4"), replace(b, block_scale=scales))
    arrays = {key: value for key, value in dump(y=nan).items() if key != "w"} | words
    assert verify(arrays).gemm.equal == 960
    arrays["y"] = np.nan_to_num(nan)
    assert verify(arrays).gemm.outside == 24


def test_a_zero_has_its_sign():
    x = X.copy()
    x[2] = 0
    y = dump(x)["y"]
    assert not np.signbit(y[2]).any()
    y[2, 5] = -0.0
    case = verify(dump(x, y=y))
    assert (case.ok, case.gemm.outside, case.gemm.beyond[0].index) == (False, 1, (2, 5))
    assert verify(dump(x, y=y), zeros="any").ok
    a, b = (fp4sim.quantize(one, "nvfp4") for one in (x, W))
    for alpha in (-1.5, -0.0):  # then -0 is right
        assert verify(dump(x, y=fp4sim.gemm(a, b, alpha=alpha)) | {"alpha": np.float32(alpha)}).ok


def test_what_no_instruction_takes_is_held_to_the_bound():
    a, b = (fp4sim.quantize(one, "nvfp4@ts:none").dequantize() for one in (X, W))
    case = verify({"x": X, "w": W, "dequantized": a, "y": a @ b.T}, "nvfp4@ts:none")
    assert case.ok
    assert (case.gemm.method, case.gemm.model) == ("bound", None)
    assert "decoded values" in case.gemm.reason
    e1m2 = [fp4sim.quantize(one, "e1m2/16@e4m3") for one in (X, W)]
    y = e1m2[0].dequantize() @ e1m2[1].dequantize().T
    found = verify({"x": X, "w": W, "y": y}, "e1m2/16@e4m3").gemm
    assert found.outside == 0
    assert "no instruction" in found.reason


def test_faults_are_still_named():
    y = dump()["y"]
    findings = verify(dump(y=y * np.float32(3))).findings
    assert findings[0].cause == "gemm.factor"
    assert [finding.cause for finding in verify(dump(y=np.zeros_like(y))).findings] == ["gemm.all_zero"]
    narrow = y.astype(ml_dtypes.bfloat16).astype(np.float32)
    assert {finding.cause for finding in verify(dump(y=narrow)).findings} == {"gemm.narrowed"}


def test_a_factor_rounded_otherwise():
    a, b = (fp4sim.quantize(one, "nvfp4") for one in (X, W))
    factor = np.float32(a.tensor_scale * b.tensor_scale)
    words = RawPair.of(a, b).words()
    for end, word in ((np.inf, "larger"), (-np.inf, "smaller")):
        other = np.nextafter(factor, np.float32(end))
        case = verify(dump(y=words * other))
        assert not case.ok
        assert case.gemm.obeyed == (f"blackwell under a factor one ulp {word}",)
        assert [finding.cause for finding in case.findings] == ["gemm.factor_rounding"]
        assert word in case.findings[0].sentence
        assert verify({**dump(y=words * other), "alpha": other}).gemm.equal == 960


def test_options():
    with pytest.raises(UsageError, match="unknown model"):
        verify(dump(), model="hopper")
    for bad, message in (({"beta": np.float32(1)}, "beta without c"), ({"c": X}, "c is"), ({"bias": X}, "bias is")):
        with pytest.raises(UnreadableError, match=message):
            verify({**dump(), **bad})


def test_reports(run, tmp_path):
    y = split(WIDE_X, WIDE_W, 4)
    y[0, 1] *= np.float32(1.0001)
    arrays = dump(WIDE_X, WIDE_W, y=y)
    write_safetensors(tmp_path / "d.safetensors", {key: np.asarray(array) for key, array in arrays.items()})
    for columns in (80, 100):
        result = run("verify", tmp_path / "d.safetensors", "--spec", "nvfp4", env={"COLUMNS": str(columns)})
        assert result.exit_code == 1, result.stdout
        assert max(map(len, [line for line in result.stdout.splitlines() if "REPRO" not in line])) <= columns
    text = " ".join(result.stdout.split())
    assert "at (0, 1): found" in text
    assert "1 outside" in text
    outputs = [tmp_path / "r.json", tmp_path / "r.md"]
    run("verify", tmp_path / "d.safetensors", "--spec", "nvfp4", "-o", outputs[0], "-o", outputs[1])
    found = json.loads(outputs[0].read_text())["cases"][0]["gemm"]
    assert (found["method"], found["outside"], found["beyond"][0]["index"]) == ("enclosure", 1, [0, 1])
    assert "Of 960 GEMM outputs 1 are not possible" in outputs[1].read_text()
    good = {key: np.asarray(array) for key, array in dump().items()}
    write_safetensors(tmp_path / "g.safetensors", good)
    result = run("verify", tmp_path / "g.safetensors", "--spec", "nvfp4")
    assert result.exit_code == 0
    assert "960 GEMM outputs: 960 bit for bit blackwell" in " ".join(result.stdout.split())
