"""What a finding says is so under every spec: no exception, nothing that the counts contradict, no contrast of another spec."""

from __future__ import annotations

import json

import numpy as np
import pytest

import fp4sim
from fp4sim.report.verify_model import CaseResult
from fp4sim.verifying.dialects import variants

RNG = np.random.default_rng(3)
X = RNG.standard_normal((16, 128)).astype(np.float32)
TIES = (RNG.integers(-12, 13, (16, 128)) / 4).astype(np.float32)
BASES = ("nvfp4", "mxfp4@rceil", "nvfp4@ts:row", "nvfp4/16x16", "nvfp4@ts:none", "nvfp4@up", "e2m1/16@e5m2", "e1m2/16@e4m3",
         "e3m0/32@ue5m3", "nvint4", "e2m1/row@fp32", "e2m1")  # fmt: skip


def outputs(made: fp4sim.PackedTensor) -> dict[str, np.ndarray]:
    found = {"codes": made.packed.copy()}
    if made.spec.scale is not None:
        found["block_scale"] = made.block_scale.copy()
    if made.spec.tensor_scale.mode != "none":
        found["tensor_scale"] = made.tensor_scale.copy()
    return found


def verified(x: np.ndarray, spec: str, **found: np.ndarray) -> CaseResult:
    result = fp4sim.verify(x, spec, **found)
    json.dumps(result.to_dict(), allow_nan=False)
    return result.cases[0]


def inputs() -> dict[str, np.ndarray]:
    """Values under which scales underflow or overflow, factors are infinite, or nothing is a number."""
    with_nan, sparse = X.copy(), X.copy()
    with_nan[3, 4], with_nan[7, 9] = np.nan, np.inf
    sparse[::3], sparse[1::3, ::2] = 0, -0.0
    wide = np.exp2(RNG.uniform(-32, 0, (16, 4))).repeat(32, axis=1)
    return {
        "tiny": (X * wide * 2.0**-118).astype(np.float32),
        "huge": (np.clip(X, -1, 1) * wide * 3.4e38).astype(np.float32),
        "nan": with_nan,
        "sparse": sparse,
    }


@pytest.mark.parametrize("base", BASES)
def test_every_dialect_is_explained_without_a_contradiction(base: str) -> None:
    """One wrong scale, or one wrong code: a finding, and only for what differs."""
    tensors = list(inputs().items())
    for number, spec in enumerate(variants(fp4sim.parse(base))):
        name, x = tensors[(number + len(base)) % 4]
        made = outputs(fp4sim.quantize(x, spec, nonfinite="propagate"))
        dumps = [{**made, "codes": flipped(made["codes"])}]
        if "block_scale" in made:
            dumps.append({**made, "block_scale": flipped(made["block_scale"])})
        for dump in dumps:
            case = verified(x, str(spec), **dump)
            assert case.findings, (name, spec.short)
            for finding in case.findings:
                assert case.counts[finding.part].wrong, (name, spec.short, finding)


def flipped(array: np.ndarray) -> np.ndarray:
    changed = array.copy()
    changed.reshape(-1).view(np.uint8)[0] ^= 1
    return changed


@pytest.mark.parametrize("without", ["nvfp4@up@ts:none", "nvfp4@up@ts:none@fouroversix"])
def test_a_factor_that_underflows_is_no_exception(without: str) -> None:
    """It divided by zero: scales that round up from anything above 0 leave no least factor."""
    x = (X * 2.0**-118).astype(np.float32)
    made = fp4sim.quantize(x, without)
    assert verified(x, "nvfp4@up", codes=made.packed, block_scale=made.block_scale).findings


def test_a_tensor_scale_that_is_rightly_nan_is_no_finding() -> None:
    x = inputs()["nan"]
    found = outputs(fp4sim.quantize(x, "nvfp4@ts:row", nonfinite="propagate"))
    assert np.isnan(found["tensor_scale"]).any()
    found["codes"] = flipped(found["codes"])
    case = verified(x, "nvfp4@ts:row", **found)
    assert case.counts["tensor_scale"].wrong == 0
    assert {finding.part for finding in case.findings} == {"codes"}
    found["tensor_scale"] = np.where(np.isnan(found["tensor_scale"]), found["tensor_scale"], found["tensor_scale"] * 3)
    assert "3 times the right one" in verified(x, "nvfp4@ts:row", **found).findings[0].sentence


def test_stale_tensor_scales_of_rows_are_told_by_what_is_wrong() -> None:
    """It quoted the first row's ratio, 1 where that row was right, and called its amax the tensor's."""
    found = outputs(fp4sim.quantize(X, "nvfp4@ts:row"))
    stale = {
        **found,
        "tensor_scale": found["tensor_scale"] * np.where(np.arange(16) == 5, np.float32(3), np.float32(1)),
    }
    sentence = verified(X, "nvfp4@ts:row", **stale).findings[0].sentence
    largest = float(np.abs(X[5]).max())
    assert f"3 times the right one, as for an amax of {3 * largest:.6g} (the row's is {largest:.6g})" in sentence
    various = {**found, "tensor_scale": found["tensor_scale"] * np.linspace(1.5, 3, 16).astype(np.float32)}
    assert (
        "tensor scales are 1.5 to 3 times the right ones" in verified(X, "nvfp4@ts:row", **various).findings[0].sentence
    )
    zeros = outputs(fp4sim.quantize(np.zeros_like(X), "nvfp4"))
    zeros["tensor_scale"] = zeros["tensor_scale"] * np.float32(1.37)
    assert "amax" not in verified(np.zeros_like(X), "nvfp4", **zeros).findings[0].sentence
    near = {**outputs(fp4sim.quantize(X, "nvfp4")), "tensor_scale": np.float32(1.000001)}
    assert "tensor scale is 1:" not in verified(X, "nvfp4", **near).findings[0].sentence


@pytest.mark.parametrize("spec", ["e2m1", "mxplus", "nvfp4+pma", "nvfp4+4over6", "mxfp4+h:32"])
def test_values_that_no_hypothesis_reaches_are_unknown(spec: str) -> None:
    """They differed without a finding."""
    made = fp4sim.quantize(X, spec)
    values = np.array(made.dequantize())
    values[0, 0] = 99
    (finding,) = verified(X, spec, **outputs(made), dequantized=values).findings
    assert (finding.cause, finding.part, finding.mismatches) == ("unknown", "dequantized", 1)


@pytest.mark.parametrize(
    ("own", "kernel", "sentence"),
    [
        ("nvfp4", "nvfp4+rna", "ties were rounded away from zero, not to the even code"),
        ("nvfp4@quartet2", "nvfp4@quartet2+rnz", "ties were rounded toward zero, not away from zero"),
        ("mxfp4@quartet2:torch", "mxfp4+rnz", "ties were rounded toward zero, not toward +Inf"),
        ("nvfp4+rz", "nvfp4+rna", "codes were rounded to nearest, ties away from zero, not truncated"),
        ("nvfp4+ru", "nvfp4+rz", "codes were truncated toward zero, not rounded toward +Inf"),
    ],
)
def test_a_rounding_is_told_from_the_specs_own(own: str, kernel: str, sentence: str) -> None:
    """What a kernel did not do is what its spec does, which is not always the even code."""
    made = fp4sim.quantize(TIES, kernel)
    case = verified(TIES, own, codes=made.packed, block_scale=made.block_scale)
    assert sentence in case.findings[0].sentence


@pytest.mark.parametrize(
    ("own", "kernel", "sentence"),
    [
        ("rn", "down", "the scale was truncated, not rounded"),
        ("up", "down", "the scale was truncated, not rounded up"),
        ("down", "up", "the scale was rounded up, not truncated"),
        ("up", "rn", "the scale was rounded to nearest, not up"),
    ],
)
def test_a_scale_rule_is_told_from_the_specs_own(own: str, kernel: str, sentence: str) -> None:
    made = fp4sim.quantize(X, f"nvfp4@{kernel}")
    assert (
        verified(X, f"nvfp4@{own}", block_scale=made.block_scale).findings[0].sentence.split(";")[0].endswith(sentence)
    )


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("spec", ["e2m1/row@fp32", "e2m1/128@fp32", "nvfp4"])
def test_rows_that_are_shorter_than_a_byte_or_two(spec: str, length: int) -> None:
    """No part of such a block can be left out of its amax, nor does it repeat a byte: it raised, or was "not written"."""
    x = X[:, :length].copy()
    found = outputs(fp4sim.quantize(x, spec))
    found["codes"] = flipped(found["codes"])
    scales = {**found, "block_scale": flipped(found["block_scale"])}
    for dump in (found, scales, {"block_scale": scales["block_scale"]}):
        causes = {finding.cause for finding in verified(x, spec, **dump).findings}
        assert causes
        assert not any(cause.startswith("output.") for cause in causes)


@pytest.mark.parametrize("base", ["nvfp4+sr", "mxfp4+sr"])
def test_right_stochastic_codes_of_every_dialect_pass(base: str) -> None:
    """Zeros without a sign, and codes of NaN: codes of nine dialects' own casts were no neighbours of their values."""
    tensors = {**inputs(), "zero": np.zeros_like(X), "ordinary": X}
    for name, x in tensors.items():
        for spec in variants(fp4sim.parse(base)):
            made = fp4sim.quantize(x, spec, nonfinite="propagate")
            case = verified(x, str(spec), codes=made.packed, block_scale=made.block_scale)
            assert not case.counts["codes"].wrong, (name, spec.short)
            assert not case.findings, (name, spec.short)


def test_zeros_of_a_sign_that_the_dialect_drops_are_wrong() -> None:
    made = fp4sim.quantize(TIES, "mxfp4@llamacpp+sr")
    codes = made.codes.copy()
    codes[codes == 0] = 8
    packed = (codes[:, 0::2] | codes[:, 1::2] << 4).astype(np.uint8)
    case = verified(TIES, "mxfp4@llamacpp+sr", codes=packed, block_scale=made.block_scale)
    assert case.counts["codes"].wrong == np.count_nonzero(made.codes == 0) > 0


def test_nan_is_no_floor_and_one_code_no_table() -> None:
    found = outputs(fp4sim.quantize(X, "nvfp4"))
    found["block_scale"] = np.full_like(found["block_scale"], 0xFF)
    assert [finding.cause for finding in verified(X, "nvfp4", **found).findings] == ["unknown"]
    x = np.zeros((1, 32), np.float32)
    x[0, :3] = 6, -6, -0.0
    made = fp4sim.quantize(x, "nvfp4+rz")
    codes = made.packed.copy()
    codes.reshape(-1)[1] ^= 0xA  # the only code 0x8
    case = verified(x, "nvfp4+rz", codes=codes, block_scale=made.block_scale)
    assert case.counts["codes"].wrong == 1
    assert [finding.cause for finding in case.findings] == ["unknown"]
