"""Quartet's and Quartet II's pure-PyTorch quantizers: ``@quartet2:torch``, QuEST over float scales, EDEN over FP32 scales.

Their rotations are float32 matrix products whose sums are fused multiply-adds in order of columns: ``rotated`` gives those
bits, so that what follows is compared bit for bit. fp4sim's own rotation adds in another order.
"""

from __future__ import annotations

import numpy as np
import pytest

import fp4sim
from fp4sim.errors import UsageError
from fp4sim.floats import E2M1
from fp4sim.io.source import ArrayTensor
from fp4sim.kernels.reference.encode import decode
from fp4sim.kernels.reference.float_sums import row_sums
from fp4sim.kernels.reference.kernels import ReferenceKernels
from fp4sim.packing import quantize_tensor
from fp4sim.transforms import hadamard
from tests.estimators.test_est_quartet import in_their_order, scale_values, vector

INPUTS = ["gauss", "scaled", "heavy"]
BOUND = "@ts:bound=447.99@quartet2:torch"
HELPER = [("1x16", f"nvfp4{BOUND}"), ("16x16", f"nvfp4/16x16{BOUND}")]
QUEST = "nvfp4@quartet2:torch+quest:size=1:mult=1"
ROWS = "e2m1/row@fp32@quartet2:torch+quest:size=1:mult=1"


def rotated(x: np.ndarray, size: int) -> np.ndarray:
    """x H / sqrt(size), every sum a chain of fused multiply-adds (a float64 sum of an exact product, rounded)."""
    matrix = (hadamard(size).astype(np.float32) * np.float32(size**-0.5)).astype(np.float64)
    groups = x.reshape(-1, size).astype(np.float64)
    total = np.zeros(groups.shape, np.float32)
    for column in range(size):
        total = (total + groups[:, column : column + 1] * matrix[column]).astype(np.float32)
    return total.reshape(x.shape)


@pytest.mark.parametrize("name", [*INPUTS, "edge"])
def test_the_order_of_their_rotation(name: str) -> None:
    """``rht128`` bit for bit, which is what entitles the tests below to ``rotated``."""
    x = vector(f"in_{name}") * np.tile(vector("rht_signs128"), 2)
    np.testing.assert_array_equal(rotated(x, 128), vector(f"q2/{name}__rht128"))


@pytest.mark.parametrize("size", [32, 128])
def test_their_matrices(size: int) -> None:
    np.testing.assert_array_equal((hadamard(size) * np.float32(size**-0.5)).astype(np.float32), vector(f"H{size}"))


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize(("tile", "spec"), HELPER)
def test_the_helper_on_its_own_rotation(tile: str, spec: str, name: str) -> None:
    packed = fp4sim.quantize(rotated(vector(f"in_{name}"), 16), spec)
    np.testing.assert_array_equal(in_their_order(packed), vector(f"q2/{name}__torch_nvfp4_had16_{tile}"))


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize(("tile", "spec"), HELPER)
def test_the_helper_on_fp4sim_s_rotation(tile: str, spec: str, name: str) -> None:
    """Codes and scales are the same bits; the tensor scale follows the rotation's last bit, and each value with it."""
    x = vector(f"in_{name}")
    own, theirs = fp4sim.quantize(x, f"{spec}+h:16"), fp4sim.quantize(rotated(x, 16), spec)
    np.testing.assert_array_equal(own.packed, theirs.packed)
    np.testing.assert_array_equal(own.block_scale, theirs.block_scale)
    want = vector(f"q2/{name}__torch_nvfp4_had16_{tile}")
    assert np.all(np.abs(in_their_order(own) - want) <= 4e-7 * np.abs(want))


def test_the_helper_is_not_the_kernels() -> None:
    """t = A/(F·v) and (A/F)/v differ in these rows' tensor scale; ties go up, not away from zero."""
    x = rotated(vector("in_scaled"), 16)
    helper, kernels = (fp4sim.quantize(x, f"nvfp4@ts:bound=447.99@quartet2{flag}") for flag in (":torch", ""))
    assert helper.tensor_scale != kernels.tensor_scale
    ties = np.zeros((1, 16), np.float32)
    ties[0, :4] = [6, -6, 2.5, -2.5]
    codes = [fp4sim.quantize(ties, f"nvfp4@ts:given@quartet2{f}", tensor_scale=1.0).codes for f in (":torch", "")]
    np.testing.assert_array_equal(decode(codes[0], E2M1)[0, :4], [6, -6, 3, -2])
    np.testing.assert_array_equal(decode(codes[1], E2M1)[0, :4], [6, -6, 3, -3])


@pytest.mark.parametrize("kernels", [None, ReferenceKernels], ids=["cpu", "reference"])
@pytest.mark.parametrize("name", INPUTS)
def test_quest_under_e4m3_scales(name: str, kernels: type | None) -> None:
    """Dequantized values as they are: fl(fl(q b) t) rounds once."""
    packed = quantize_tensor(ArrayTensor("", vector(f"in_{name}")), fp4sim.parse(QUEST), kernels=kernels)
    np.testing.assert_array_equal(packed.dequantize(), vector(f"q2/{name}__quest_nvfp4"))


@pytest.mark.parametrize("name", INPUTS)
def test_quest_over_rows(name: str) -> None:
    """Codes bit-equal; a row's deviation within an ulp, its values with it: the order of that one sum is not known."""
    packed = fp4sim.quantize(vector(f"in_{name}")[:32], ROWS)
    want, deviation = vector(f"q1/{name}__FP4ClipQuantizer_rows0_31"), scale_values(packed)
    levels = (decode(packed.codes, E2M1) * np.float64(packed.tensor_scale)).astype(np.float32)
    found = np.zeros(32, np.bool_)
    for near in (deviation, np.nextafter(deviation, np.float32(0)), np.nextafter(deviation, np.float32(np.inf))):
        found |= (levels * near == want).all(axis=1)
    assert found.all()


@pytest.mark.parametrize("kernels", [None, ReferenceKernels], ids=["cpu", "reference"])
@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize(("key", "step"), [("no", "+max:6.25"), ("eden", "+eden:size=1:s=128")])
def test_eden_over_fp32_scales(key: str, step: str, name: str, kernels: type | None) -> None:
    spec = fp4sim.parse(f"e2m1/128@fp32@quartet2:torch{step}")
    packed = quantize_tensor(ArrayTensor("", rotated(vector(f"in_{name}"), 128)), spec, kernels=kernels)
    values = decode(packed.codes, E2M1).astype(np.float32) * scale_values(packed).repeat(128, axis=1)
    np.testing.assert_array_equal(values * packed.tensor_scale, vector(f"q2/{name}__eden_fp32_g128_{key}_0.96"))


@pytest.mark.parametrize("spec", [QUEST, ROWS, "e2m1/128@fp32@quartet2:torch+eden:size=1:s=128"])
@pytest.mark.parametrize("kind", ["zero", "zeroblock", "sparse", "tiny", "huge", "ties", "spread"])
def test_backends_agree_and_zeros_stay(spec: str, kind: str) -> None:
    from tests.estimators.data import data

    tensor = ArrayTensor("", data(kind, (16, 128)))
    ours, theirs = (quantize_tensor(tensor, fp4sim.parse(spec), kernels=k) for k in (None, ReferenceKernels))
    assert ours.packed.tobytes() == theirs.packed.tobytes()
    assert ours.block_scale.tobytes() == theirs.block_scale.tobytes()
    assert ours.tensor_scale.tobytes() == theirs.tensor_scale.tobytes()
    if kind == "zero":
        assert not ours.dequantize().any()


@pytest.mark.parametrize("count", [3, 4, 16, 31, 32, 48, 128, 256])
def test_row_sums_are_sums(count: int) -> None:
    terms = np.random.default_rng(count).integers(-64, 65, (5, count)).astype(np.float32)  # exact in any order
    np.testing.assert_array_equal(row_sums(terms), terms.sum(axis=-1))


def test_the_order_of_row_sums() -> None:
    """Accumulators join before lanes do: 1 + t is lost in each lane, where t + t in one accumulator is not."""
    t = np.float32(2.0**-24)
    terms = np.zeros(64, np.float32)
    terms[[0, 1, 33]] = [1, t, t]
    assert row_sums(terms) == np.float32(1) + 2 * t
    terms[[1, 33]], terms[[1, 2]] = 0, t
    assert row_sums(terms) == 1


@pytest.mark.parametrize(
    "spec",
    [
        "nvfp4@quartet2+quest",
        "nvfp4/16x16@quartet2:torch+quest",
        "nvfp4@ts:row@quartet2:torch+quest",
        "e2m1/row@fp32+quest",
    ],
)
def test_quest_over_float_scales_is_the_helper_s_alone(spec: str) -> None:
    with pytest.raises(UsageError, match="quartet2:torch"):
        fp4sim.quantize(np.ones((16, 128), np.float32), spec)


def test_rows_that_do_not_fit_a_cell_are_refused() -> None:
    with pytest.raises(UsageError, match="too long"):
        fp4sim.quantize(np.ones((1, 1 << 19), np.float32), ROWS)
