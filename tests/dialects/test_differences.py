"""Which dialects can be told apart on the bf16 sweep: all of them, save those whose arithmetic is the same."""

from itertools import combinations

import pytest

import fp4sim
from fp4sim.dialects.registry import available
from fp4sim.spec_names import DIALECT_ROWS
from tests.dialects.inputs import sweep

NVFP4 = [name for name in available() if not DIALECT_ROWS[name].cast_only and DIALECT_ROWS[name].float_scales]
MXFP4 = [name for name in available() if DIALECT_ROWS[name].pow2_rules and not DIALECT_ROWS[name].cast_only]
# of equal bits on ordinary data: the same formulas, or formulas that differ only where a scale underflows
SAME = {
    "nvfp4": [{"te", "flashinfer-exact"}, {"vllm-cuda", "flashinfer-cutedsl", "qutlass"}],
    "mxfp4": [
        {"te", "torchao"},
        {"vllm-torch", "vllm-triton", "compressed-tensors"},
        {"flashinfer", "flashinfer-exact", "flashinfer-cutedsl", "cutlass", "fouroversix", "cublaslt"},
    ],
}


@pytest.fixture(scope="module")
def bits():
    found = {}
    for head, names in (("nvfp4", NVFP4), ("mxfp4", MXFP4)):
        for name in names:
            packed = [fp4sim.quantize(x, f"{head}@{name}") for x in sweep(160)]
            found[head, name] = b"".join(one.packed.tobytes() + one.block_scale.tobytes() for one in packed)
    return found


@pytest.mark.parametrize(("a", "b"), list(combinations(NVFP4, 2)))
def test_nvfp4(bits, a, b):
    same = any({a, b} <= group for group in SAME["nvfp4"])
    assert (bits["nvfp4", a] == bits["nvfp4", b]) == same


@pytest.mark.parametrize(("a", "b"), list(combinations(MXFP4, 2)))
def test_mxfp4(bits, a, b):
    same = any({a, b} <= group for group in SAME["mxfp4"])
    assert (bits["mxfp4", a] == bits["mxfp4", b]) == same
