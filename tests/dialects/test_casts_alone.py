"""Dialects of the element cast alone: ml_dtypes against itself, ONNX against its description."""

import ml_dtypes
import numpy as np
import pytest

import fp4sim
from fp4sim.errors import SpecError
from fp4sim.floats import element_format
from fp4sim.kernels.reference.encode import encode

TYPES = {
    "e2m1": ml_dtypes.float4_e2m1fn,
    "e4m3": ml_dtypes.float8_e4m3fn,
    "e5m2": ml_dtypes.float8_e5m2,
    "bf16": ml_dtypes.bfloat16,
}


def patterns():
    """All float32 of 12 leading bits with several tails, and every bf16."""
    lead = np.arange(1 << 16, dtype=np.uint32) << 16
    return np.concatenate([lead | tail for tail in (0, 1, 0x7FFF, 0x8000, 0xFFFF)]).astype(np.uint32).view(np.float32)


@pytest.mark.parametrize("name", TYPES)
def test_ml_dtypes_equals_the_installed_library(name):
    x = patterns().reshape(-1, 64)
    with np.errstate(all="ignore"):
        theirs = x.astype(TYPES[name])
    ours = fp4sim.quantize(x, f"{name}@ml_dtypes", nonfinite="propagate").codes
    np.testing.assert_array_equal(ours, theirs.view(ours.dtype))


@pytest.mark.parametrize("name", ["e2m1", "e4m3"])
def test_onnx_saturates_and_takes_nan_as_the_instruction_does(name):
    x = patterns().reshape(-1, 64)
    ours = fp4sim.quantize(x, f"{name}@onnx", nonfinite="propagate").codes
    np.testing.assert_array_equal(ours, encode(x, element_format(name)))


@pytest.mark.parametrize("name", ["onnx", "ml_dtypes"])
def test_scales_are_an_error(name):
    with pytest.raises(SpecError, match="the element cast alone"):
        fp4sim.parse(f"nvfp4@{name}")
