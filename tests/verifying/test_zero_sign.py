"""The sign of a decoded zero is a bit like others, unless told otherwise."""

from __future__ import annotations

import numpy as np
import pytest

import fp4sim
from fp4sim.io.writer import write_safetensors
from fp4sim.verifying.check import Options, verify_dump
from fp4sim.verifying.dump import dump_of
from tests.cli.conftest import *  # noqa: F403  the fixtures run and run_json
from tests.verifying.inputs import many_amax

X = many_amax(3)
RIGHT = fp4sim.quantize(X, "nvfp4").dequantize()
NVFP4 = fp4sim.parse("nvfp4")


def check(values, zeros="signed", **outputs):
    return verify_dump(dump_of({"x": X, "out": values, **outputs}), NVFP4, Options(zeros=zeros)).cases[0]


CHANGES = {
    "dropped": (lambda v: v + np.float32(0), "every -0 is written as +0"),
    "of the input dropped": (lambda v: np.where((v == 0) & (X == 0), np.float32(0), v), "an input of -0 gives +0"),
    "of small values dropped": (
        lambda v: np.where((v == 0) & (X != 0), np.float32(0), v),
        "small negative values give +0",
    ),
    "all negative": (lambda v: np.where(v == 0, np.float32(-0.0), v), "every zero is written as -0"),
    "inverted": (lambda v: np.where(v == 0, -v, v), "inverted"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_signs_of_zero_are_bits_with_a_cause(change):
    make, words = CHANGES[change]
    values = make(RIGHT).astype(np.float32)
    flipped = np.count_nonzero(np.signbit(values) != np.signbit(RIGHT))
    assert flipped
    assert np.array_equal(values, RIGHT)
    for outputs in ({}, {"codes": fp4sim.quantize(X, "nvfp4").packed}):
        case = check(values, **outputs)
        assert case.counts["dequantized"].wrong == flipped
        assert case.close.mismatched == 0  # as torch.testing, which does not see it
        assert [finding.cause for finding in case.findings] == ["values.zero_sign"]
        assert words in case.findings[0].sentence
        assert check(values, zeros="any", **outputs).ok


def test_random_signs_are_unknown():
    flip = np.random.default_rng(1).random(RIGHT.shape) < 0.3
    case = check(np.where((RIGHT == 0) & flip, -RIGHT, RIGHT))
    assert [finding.cause for finding in case.findings] == ["unknown"]


def test_another_fault_beside_is_still_named():
    spoilt = fp4sim.quantize(X, "nvfp4+rz").dequantize() + np.float32(0)
    findings = check(spoilt).findings
    assert "code.truncated" in [finding.cause for finding in findings], findings


def test_option(run, tmp_path):
    write_safetensors(tmp_path / "d.safetensors", {"x": X, "out": RIGHT + np.float32(0)})
    path = tmp_path / "d.safetensors"
    result = run("verify", path, "--spec", "nvfp4")
    assert result.exit_code == 1
    assert "CAUSE values.zero_sign" in result.stdout
    assert run("verify", path, "--spec", "nvfp4", "--zeros", "any").exit_code == 0
    assert run("verify", path, "--spec", "nvfp4", "--zeros", "some").exit_code == 2
