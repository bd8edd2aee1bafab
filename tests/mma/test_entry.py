"""What the low-level entry accepts, refuses, and answers in the corners."""

from __future__ import annotations

import numpy as np
import pytest

from fp4sim.errors import UsageError
from fp4sim.mma import MmaModel, block_scaled_mma, dense_mma, model_named

ONES = np.full((2, 32), 0x22, np.uint8)
SCALES = np.full((2, 4), 0x38, np.uint8)
C = np.zeros((2, 2), np.float32)
KIND = {"scale_format": "ue4m3", "block": 16}


def test_ones() -> None:
    np.testing.assert_array_equal(block_scaled_mma(ONES, ONES, C, SCALES, SCALES, **KIND), np.full((2, 2), 64.0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale_format": "ue4m3", "block": 32}, "no instruction"),
        ({"scale_format": "e5m2", "block": 16}, "no instruction"),
        ({"model": "hopper"}, "unknown model"),
        ({"path": "gpu"}, "path 'gpu'"),
        ({"a_packed": ONES.astype(np.int8)}, "raw bytes"),
        ({"a_packed": ONES[0]}, "two axes"),
        ({"a_packed": ONES[:, :-1]}, "K differs"),
        ({"a_packed": ONES[:, :9], "b_packed": ONES[:, :9]}, "whole number of blocks"),
        ({"a_packed": ONES[:, :0], "b_packed": ONES[:, :0]}, "whole number of blocks"),
        ({"a_scale": SCALES[:, :2]}, "a_scale has shape"),
        ({"b_scale": SCALES[:1]}, "b_scale has shape"),
        ({"c": C[:1]}, "c has shape"),
        ({"c": C.astype(np.float64)}, "float32"),
    ],
)
def test_refusals(changes: dict[str, object], message: str) -> None:
    given = {"a_packed": ONES, "b_packed": ONES, "c": C, "a_scale": SCALES, "b_scale": SCALES, **KIND}
    with pytest.raises(UsageError, match=message):
        block_scaled_mma(**{**given, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["proven", "emulated", "wide", "reference"])
@pytest.mark.parametrize("model", ["blackwell", "exact", "fp32-rn", "ue5m3-report", "mxf8f6f4"])
def test_nan_scales_and_special_accumulators(model: str, path: str) -> None:
    scales, c = SCALES.copy(), np.array([[0, np.inf], [-np.inf, np.nan]], np.float32)
    d = block_scaled_mma(ONES, ONES, c, SCALES, SCALES, **KIND, model=model, path=path).view(np.uint32)
    np.testing.assert_array_equal(d, np.array([[0x42800000, 0x7F800000], [0xFF800000, 0x7FFFFFFF]], np.uint32))
    scales[0, 3] = 0xFF
    d = block_scaled_mma(ONES, ONES, c, scales, SCALES, **KIND, model=model, path=path).view(np.uint32)
    np.testing.assert_array_equal(d[0], [0x7FFFFFFF, 0x7FFFFFFF])
    assert d[1, 0] == 0xFF800000


def test_byte_order_changes_no_bit() -> None:
    c = np.array([[1, -2], [3.5, 0]], np.float32)
    plain, swapped = (block_scaled_mma(ONES, ONES, one, SCALES, SCALES, **KIND) for one in (c, c.astype(">f4")))
    np.testing.assert_array_equal(plain, swapped)
    words = c.view(np.uint32).astype(">u4")
    np.testing.assert_array_equal(plain, block_scaled_mma(ONES, ONES, words, SCALES, SCALES, **KIND))


def test_no_outputs() -> None:
    d = block_scaled_mma(ONES[:0], ONES, C[:0], SCALES[:0], SCALES, **KIND)
    assert d.shape == (0, 2)


def test_dense_refusals() -> None:
    codes = np.zeros((2, 16), np.uint16)
    for given in (
        {"kind": "fp8"},
        {"kind": "fp16", "model": "blackwell"},
        {"kind": "fp16", "a": np.full((2, 16), 0x7C00, np.uint16)},
        {"kind": "fp16", "a": codes[:, :8]},
        {"kind": "tf32"},
        {"kind": "fp16", "c": C[:1]},
    ):
        with pytest.raises(UsageError):
            dense_mma(**{"a": codes, "b": codes, "c": C, **given})  # type: ignore[arg-type]


def test_models_that_make_no_sense_are_refused() -> None:
    words = ({"align": "up"}, {"anchoring": "none"}, {"step": "half"}, {"elements": 1})
    for changes in ({"group": 8}, {"step": 24}, {"fraction": None, "c_fraction": 3}, {"fraction": 70}, *words):
        with pytest.raises(UsageError):
            MmaModel("odd", **changes)  # type: ignore[arg-type]
    assert model_named(model_named("exact")) is model_named("exact")
