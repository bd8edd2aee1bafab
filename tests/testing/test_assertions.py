"""Assertions: every form of an output is read, and a failure says what is wrong."""

from __future__ import annotations

import dataclasses
import importlib.util
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

import fp4sim
from fp4sim.errors import Fp4simError, UnreadableError, UsageError
from fp4sim.testing import assert_bit_exact, assert_quantized_equal, check_bits
from fp4sim.testing.arrays import host_array
from fp4sim.verifying.dump import read_dump

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")


@pytest.fixture
def x():
    return np.random.default_rng(3).standard_normal((16, 64)).astype(ml_dtypes.bfloat16)


@pytest.fixture
def q(x):
    return fp4sim.quantize(x, "nvfp4")


class DLPackOnly:
    def __init__(self, array):
        self._array = array

    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


class OnADevice:
    """What cupy's arrays look like from here."""

    __cuda_array_interface__ = {}  # noqa: RUF012

    def __init__(self, array):
        self._array = array

    def get(self):
        return self._array


class KernelResult:
    def __init__(self, q):
        self.qdata, self.scale = q.packed, q.block_scale


FORMS = {
    "PackedTensor": lambda q: q,
    "tuple": lambda q: (q.packed, q.block_scale, q.tensor_scale),
    "two": lambda q: (q.packed, q.block_scale),
    "mapping": lambda q: {"codes": q.codes, "sf": q.swizzled_scale("128x4")},
    "divisor": lambda q: {"q": q.packed, "scale": q.block_scale},
    "codes": lambda q: q.codes,
    "packed": lambda q: q.packed,
    "values": lambda q: q.dequantize(),
    "bf16 values": lambda q: q.dequantize("bfloat16"),
    "ml_dtypes": lambda q: q.to_numpy(),
    "DLPack": lambda q: DLPackOnly(q.packed),
    "cupy": lambda q: (OnADevice(q.packed), OnADevice(q.block_scale)),
    "attributes": KernelResult,
    "list": lambda q: q.dequantize().tolist(),
}


@pytest.mark.parametrize("form", FORMS)
def test_right_outputs_pass_in_every_form(form, x, q):
    assert_bit_exact(FORMS[form](q), x)


@needs_torch
def test_torch(x, q):
    import torch

    given = torch.from_numpy(x.view(np.uint16)).view(torch.bfloat16)
    assert_bit_exact(q.to_torch(), given)
    assert_bit_exact(torch.from_numpy(q.dequantize()).requires_grad_(), given)
    assert host_array(torch.ones(3)).tolist() == [1, 1, 1]


def test_the_message_is_torchs_then_fp4s(x, q):
    wrong = dataclasses.replace(q, block_scale=q.block_scale - 1)
    with pytest.raises(AssertionError) as caught:
        assert_bit_exact(wrong, x, "nvfp4", msg="my kernel")
    lines = str(caught.value).splitlines()
    assert lines[:2] == ["my kernel", "Quantized tensors are not equal!"]
    at = next(i for i, line in enumerate(lines) if line.startswith("Mismatched elements: "))
    assert lines[at].endswith("%)")
    assert lines[at + 1].startswith("Greatest absolute difference: ")
    assert lines[at + 2].startswith("Greatest relative difference: ")
    text = str(caught.value)
    assert "scales 64/64" in text
    assert "-1 64" in text
    assert "one step" in text
    assert "REPRO: fp4sim verify FILE --spec nvfp4" in text


def test_a_failing_case_is_saved_on_request(x, q, tmp_path, monkeypatch):
    monkeypatch.setenv("FP4SIM_DUMP", str(tmp_path / "dumps"))
    with pytest.raises(AssertionError, match=r"REPRO: fp4sim verify .*dumps.*safetensors --spec nvfp4$"):
        assert_bit_exact((q.packed ^ 1, q.block_scale), x)
    (saved,) = (tmp_path / "dumps").iterdir()
    (case,) = read_dump(saved).cases
    assert np.array_equal(case.x, x)
    assert np.array_equal(case.codes[0], q.packed ^ 1)
    monkeypatch.setenv("FP4SIM_DUMP", str(saved))
    with pytest.raises(AssertionError, match="not saved"):
        assert_bit_exact((q.packed ^ 1, q.block_scale), x)


def test_results_are_true_or_false(x, q):
    assert check_bits(q, x)
    result = check_bits((q.packed ^ 1, q.block_scale), x, explain=False)
    assert not result
    assert result.totals["codes"].wrong == q.codes.size // 2
    assert result.cases[0].findings == ()


def test_options_reach_verify(x):
    packed = fp4sim.quantize(x, "mxfp4", axis=0)
    assert_bit_exact(packed.dequantize(), x, "mxfp4", axis=0)
    assert_bit_exact((packed.packed, packed.block_scale), x, "mxfp4", axis=0)


@pytest.mark.parametrize(
    ("actual", "error"),
    [
        ({"nope": np.zeros(3)}, UsageError),
        ({}, UsageError),
        ({"codes": np.zeros(3), "q": np.zeros(3)}, UsageError),
        ("text", Fp4simError),
        (np.zeros((3, 3), np.uint8), UnreadableError),
        (np.zeros((3, 3), np.float32), UnreadableError),
        ((np.zeros((16, 32), np.uint8), np.zeros(5, np.uint8)), UnreadableError),
    ],
)
def test_what_cannot_be_read_is_no_mismatch(x, actual, error):
    with pytest.raises(error) as caught:
        assert_bit_exact(actual, x)
    assert "\n" not in str(caught.value)


def test_quantized_equal(q):
    assert_quantized_equal(q, q)
    assert_quantized_equal(q, (q.packed, q.block_scale, q.tensor_scale))
    nan = {"dequantized": np.array([np.nan, -0.0], np.float32)}
    assert_quantized_equal(nan, {"out": np.array([-np.nan, -0.0], np.float32)})
    with pytest.raises(AssertionError, match="Mismatched dequantized: 1 / 2"):
        assert_quantized_equal(nan, {"out": np.array([np.nan, 0.0], np.float32)})
    with pytest.raises(AssertionError, match=r"Mismatched codes: 512 / 512 .100.0%., first at index .0, 0.: 0x"):
        assert_quantized_equal(dataclasses.replace(q, packed=q.packed ^ 1), q)
    with pytest.raises(AssertionError, match="only expected has it"):
        assert_quantized_equal(q.packed, q)
    with pytest.raises(AssertionError, match=r"shape \(3,\)"):
        assert_quantized_equal(np.zeros(3, np.uint8), np.zeros(4, np.uint8))
    with pytest.raises(AssertionError, match="dtype"):
        assert_quantized_equal(np.zeros(4, np.float32), {"out": np.zeros(4)})


def test_the_package_needs_no_pytest_and_loads_nothing():
    code = (
        "import sys; sys.modules['pytest'] = None\n"
        "import fp4sim.testing\n"
        "assert 'numpy' not in sys.modules, 'numpy'\n"
        "from fp4sim.testing import assert_bit_exact, mutation_score, Tolerance\n"
        "import numpy as np, fp4sim\n"
        "x = np.ones((2, 32), np.float32)\n"
        "assert_bit_exact(fp4sim.quantize(x, 'mxfp4'), x, 'mxfp4')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
