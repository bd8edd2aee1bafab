"""What a reviewer made ``fp4sim verify`` say that was not so."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import fp4sim
from fp4sim.errors import UnreadableError
from fp4sim.verifying.check import verify_dump
from fp4sim.verifying.dump import dump_of
from tests.verifying.inputs import many_amax

X = many_amax(5)
RIGHT = fp4sim.quantize(X, "nvfp4")
NVFP4 = fp4sim.parse("nvfp4")


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_every_draw_of_a_deterministic_kernel_counts(wrong):
    """A kernel that is right once and wrong the next time is not right."""
    draws = [RIGHT.packed ^ np.uint8(0x77 if i == wrong else 0) for i in range(3)]
    for codes in ({f"codes.{i}": draw for i, draw in enumerate(draws)}, {"codes": np.stack(draws)}):
        case = verify_dump(dump_of({"x": X, **codes}), NVFP4).cases[0]
        assert not case.ok
        assert case.counts["codes"].wrong == X.size
        assert f"draw {wrong}" in " ".join(case.notes)
    assert verify_dump(dump_of({"x": X, "codes": np.stack([RIGHT.packed] * 3)}), NVFP4).ok


def test_draws_of_values_are_not_dropped_silently():
    values = RIGHT.dequantize()
    with pytest.raises(UnreadableError, match="dequantized"):
        dump_of({"x": X, "out.0": values, "out.1": values + 1})


def test_a_tensor_scale_that_ignores_nan_is_a_positive_number():
    x = np.array(X)
    x[3, 4] = np.nan
    outputs = {"codes": RIGHT.packed, "block_scale": RIGHT.block_scale, "tensor_scale": RIGHT.tensor_scale}
    finding = fp4sim.verify(x, "nvfp4", **outputs).cases[0].findings[0]
    assert finding.cause == "tensor_scale.nonfinite_ignored"
    assert "that of the finite values" in finding.sentence
    outputs["tensor_scale"] = RIGHT.tensor_scale * np.float32(1.7)
    finding = fp4sim.verify(x, "nvfp4", **outputs).cases[0].findings[0]
    assert finding.cause == "unknown"
    assert "no positive number" not in finding.sentence


@pytest.mark.parametrize(("value", "word"), [(np.inf, "inf"), (0.0, "0"), (-2.0, "-2")])
def test_a_tensor_scale_that_is_no_scale_is_shown(value, word):
    outputs = {"codes": RIGHT.packed, "tensor_scale": np.float32(value)}
    finding = fp4sim.verify(X, "nvfp4", **outputs).cases[0].findings[0]
    assert finding.cause == "unknown"
    assert f"the tensor scale is {word}, no positive number" in finding.sentence


def test_an_encode_factor_from_the_tensor_scale_is_an_order_of_operations():
    """1 / tensor_scale for F·6/amax: few codes differ, and a factor rounded to float16 would do the same to them."""
    x = (np.random.default_rng(3).standard_normal((32, 128)) * 0.05).astype(ml_dtypes.bfloat16)
    found = set()
    for seed in range(12):
        x = (np.random.default_rng(seed).standard_normal((64, 256)) * 0.05).astype(ml_dtypes.bfloat16)
        own = fp4sim.quantize(x, "nvfp4")
        given = fp4sim.quantize(x, "nvfp4@ts:given", tensor_scale=own.tensor_scale)
        if not np.array_equal(given.packed, own.packed) and np.array_equal(given.block_scale, own.block_scale):
            outputs = {"codes": given.packed, "block_scale": given.block_scale, "tensor_scale": given.tensor_scale}
            found |= {finding.cause for finding in fp4sim.verify(x, "nvfp4", **outputs).cases[0].findings}
    assert found == {"code.operation_order"}


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16])
def test_a_narrowed_tensor_scale_is_not_stale(dtype):
    narrow = RIGHT.tensor_scale.astype(dtype).astype(np.float32)
    assert narrow != RIGHT.tensor_scale
    finding = fp4sim.verify(X, "nvfp4", codes=RIGHT.packed, tensor_scale=narrow).cases[0].findings[0]
    assert finding.cause == "tensor_scale.narrowed"
    assert np.dtype(dtype).name in finding.sentence


def test_values_alone_that_were_decoded_otherwise():
    values = RIGHT.dequantize()
    for found, cause in (
        (values.astype(ml_dtypes.bfloat16).astype(np.float32), "values.narrowed"),
        (values / RIGHT.tensor_scale, "values.no_tensor_scale"),
        (values * np.float32(2), "values.doubled"),
        (values * np.float32(1.01), "unknown"),
    ):
        findings = fp4sim.verify(X, "nvfp4", dequantized=found).cases[0].findings
        assert [finding.cause for finding in findings] == [cause]


@pytest.mark.parametrize("size", [0, -118])
def test_another_release_of_the_same_library_is_named_first(size):
    """Where scales underflow; and where r(g) is flushed, factors are infinite and what they multiply is flushed too."""
    rng = np.random.default_rng(11)
    small = np.exp2(rng.uniform(-32, 0, (64, 64)) + size).repeat(16, axis=1)
    x = (rng.standard_normal((64, 1024)) * small).astype(np.float32)
    newer = fp4sim.quantize(x, "nvfp4@flashinfer:v0.7.4")
    case = fp4sim.verify(x, "nvfp4@flashinfer", codes=newer.packed, block_scale=newer.block_scale).cases[0]
    assert case.counts["codes"].wrong > 1000
    (finding,) = case.findings
    assert finding.cause == "code.operation_order"
    assert "flashinfer:v0.7.4" in finding.sentence
