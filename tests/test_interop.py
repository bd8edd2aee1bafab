"""Arrays in and out: every dtype and memory layout gives the same bits, and what is no array of floats is refused."""

import contextlib
import importlib.util
import threading

import ml_dtypes
import numpy as np
import pytest

import fp4sim
from fp4sim.errors import Fp4simError, UsageError
from fp4sim.fpmode import ieee_mode, subnormals_flushed

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")

SPECS = ["nvfp4", "mxfp4", "nvfp4+sr", "nvfp4/16x16"]
WIDENED = [
    "bfloat16",
    "float16",
    "float8_e4m3fn",
    "float8_e5m2",
    "float8_e4m3fnuz",
    "float8_e5m2fnuz",
    "float8_e8m0fnu",
]
WIDENED += ["float8_e3m4", "float4_e2m1fn"]
SCALE_VIEWS = [("nvfp4", "float8_e4m3fn"), ("mxfp4", "float8_e8m0fnu"), ("nvfp4@bf16", "bfloat16")]
SCALE_VIEWS += [("nvfp4@fp32", "float32"), ("nvfp4@ue5m3", "uint8")]


def dtype_of(name):
    return np.dtype(getattr(ml_dtypes, name, name))


def numbers(shape=(18, 50), seed=0):
    """Positive and negative values that every format of at least 4 bits holds a few of."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def assert_same_bits(actual, expected):
    for field in ("packed", "block_scale", "tensor_scale"):
        np.testing.assert_array_equal(getattr(actual, field), getattr(expected, field))


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("name", WIDENED)
def test_narrow_floats_widen_exactly(name, spec):
    narrow = np.abs(numbers()).astype(dtype_of(name))
    packed = fp4sim.quantize(narrow, spec)
    assert packed.dtype == name
    assert_same_bits(packed, fp4sim.quantize(narrow.astype(np.float64).astype(np.float32), spec))


@pytest.mark.parametrize("name", ["bfloat16", "float16", "float8_e4m3fn", "float8_e5m2"])
def test_every_code_widens_as_its_dtype_says(name):
    dtype = dtype_of(name)
    codes = np.arange(1 << (8 * dtype.itemsize)).astype(f"u{dtype.itemsize}").view(dtype).reshape(-1, 16)
    with np.errstate(invalid="ignore"):
        wide = codes.astype(np.float32)
    finite = np.isfinite(wide).all(axis=1)
    packed = fp4sim.quantize(codes[finite], "fp32")
    np.testing.assert_array_equal(packed.codes, wide[finite].view(np.uint32))


def test_float64_is_rounded_once_and_says_so():
    x = 1 + np.random.default_rng(0).random((4, 32)) * 2.0**-20
    assert (x != x.astype(np.float32)).any()
    packed = fp4sim.quantize(x, "fp32")
    assert packed.dtype == "float64"
    np.testing.assert_array_equal(packed.codes, x.astype(np.float32).view(np.uint32))
    assert fp4sim.compare(x, "nvfp4").tensors[0].notes == ("float64 rounded once to float32",)
    assert fp4sim.compare(x.astype(np.float32), "nvfp4").tensors[0].notes == ()


def layouts_of(x):
    """The same matrix in other memory layouts."""
    read_only = x.copy()
    read_only.flags.writeable = False
    wide = np.zeros((x.shape[0], 2 * x.shape[1]), x.dtype)
    wide[:, ::2] = x
    return {
        "Fortran order": np.asfortranarray(x),
        "negative strides": x[::-1, ::-1].copy()[::-1, ::-1],
        "strided": wide[:, ::2],
        "transposed": x.T.copy().T,
        "read-only": read_only,
        "big-endian": x.astype(x.dtype.newbyteorder(">")) if x.dtype.kind == "f" else x,
        "unaligned": np.frombuffer(b"\0" + x.tobytes(), x.dtype, offset=1).reshape(x.shape),
        "subclass": x.view(np.recarray),
        "broadcast": np.broadcast_to(x[None], (3, *x.shape))[1],
    }


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", ["float32", "float64", "float16", "bfloat16", "float8_e4m3fn"])
def test_memory_layout_changes_no_bit(name, axis):
    x = numbers().astype(dtype_of(name))
    for spec in ("nvfp4", "mxfp4+sr"):
        expected = fp4sim.quantize(x, spec, axis=axis)
        for layout, array in layouts_of(x).items():
            before = array.copy()
            try:
                assert_same_bits(fp4sim.quantize(array, spec, axis=axis), expected)
            except AssertionError as error:
                raise AssertionError(f"{layout}: {error}") from None
            assert array.tobytes() == before.tobytes()
    compared = {str(fp4sim.compare(array, "nvfp4", axis=axis).to_dict()["totals"]) for array in layouts_of(x).values()}
    assert len(compared) == 1


def test_inputs_stay_writable_and_unchanged():
    x = numbers()
    before = x.copy()
    fp4sim.quantize(x, "nvfp4")
    fp4sim.compare(x, "nvfp4")
    assert x.flags.writeable
    np.testing.assert_array_equal(x, before)


class DLPackOnly:
    """What another library's array looks like."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **arguments):
        return self.array.__dlpack__(**arguments)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class ArrayOnly:
    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array if dtype is None else self.array.astype(dtype)


@pytest.mark.parametrize("wrap", [DLPackOnly, ArrayOnly])
def test_foreign_arrays_are_read(wrap):
    x = numbers()
    for array in (x, x.astype(np.float16), x[:, ::2]):
        packed = fp4sim.quantize(wrap(array), "nvfp4")
        assert packed.dtype == array.dtype.name
        assert_same_bits(packed, fp4sim.quantize(array, "nvfp4"))


def test_lists_of_numbers_are_float32():
    x = numbers((2, 16))
    for values in (x.tolist(), tuple(map(tuple, x.tolist())), list(x)):
        packed = fp4sim.quantize(values, "nvfp4")
        assert packed.dtype == "float32"
        assert_same_bits(packed, fp4sim.quantize(x, "nvfp4"))


REFUSED = [
    (np.array(3, np.float32), r"shape \(\) has no elements"),
    (3.0, r"shape \(\)"),
    (np.zeros((0, 16), np.float32), r"shape \(0, 16\) has no elements"),
    ([[1.0, 2.0], [3.0]], "cannot read a list as an array"),
    (np.array([None, 1.0]), "dtype object cannot be quantized"),
    ([None, 1.0], "cannot read a list as an array of numbers"),
    (None, "cannot read a NoneType"),
    ({"a": 1.0}, "cannot read a dict"),
    ("hello", "cannot be quantized"),
    (np.ones(16, complex), "dtype complex128 cannot be quantized: convert to float32"),
    (np.ones(16, np.int32), "dtype int32 cannot be quantized: convert to float32"),
    ([1, 2, 3], "dtype int64 cannot be quantized"),
    (np.ones(16, bool), "dtype bool cannot be quantized"),
    (np.ones(16, np.longdouble), "cannot be quantized"),
    (np.zeros(16, [("a", "f4")]), "cannot be quantized"),
    (np.zeros(16, ml_dtypes.int4), "dtype int4 cannot be quantized"),
    (np.ma.array(np.ones(16, np.float32), mask=[True] + [False] * 15), "mask"),
]


@pytest.mark.parametrize(("x", "says"), REFUSED)
def test_what_is_no_array_of_floats_is_refused_in_one_line(x, says):
    with pytest.raises(UsageError, match=says) as caught:
        fp4sim.quantize(x, "nvfp4")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [np.int32, "complex64", "bfloat17"])
def test_values_come_back_as_floats_only(dtype):
    with pytest.raises(UsageError):
        fp4sim.quantize(np.ones((1, 16), np.float32), "nvfp4").dequantize(dtype)


@pytest.mark.parametrize("scale", [1 + 1j, "one", [[1.0], [1.0, 2.0]]])
def test_a_given_tensor_scale_is_a_real_number(scale):
    with pytest.raises(UsageError):
        fp4sim.quantize(np.ones((1, 16), np.float32), "nvfp4@ts:given", tensor_scale=scale)


@pytest.mark.parametrize(
    "spec", ["nvfp4", "mxfp4", "nvfp4@bf16", "nvfp4@fp32", "nvfp4/tensor", "e5m2/32@e8m0", "e2m1", "fp32"]
)
def test_ml_dtypes_views_decode_to_the_same_values(spec):
    packed = fp4sim.quantize(numbers(), spec)
    views = packed.to_numpy()
    np.testing.assert_array_equal(
        views["codes"].astype(np.float64), packed.spec.element.values()[packed.codes] if spec != "fp32" else numbers()
    )
    if packed.spec.scale is None:
        assert "block_scale" not in views
    else:
        assert views["block_scale"].shape == packed.block_scale.shape
        decoded = [packed.spec.scale.value(int(code)) for code in packed.block_scale.ravel()]
        assert views["block_scale"].astype(np.float64).ravel().tolist() == decoded


@needs_torch
@pytest.mark.parametrize(
    "name", ["float32", "float64", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu"]
)
def test_torch_in_torch_out(name):
    import torch

    x = np.abs(numbers()).astype(dtype_of(name))
    raw = torch.from_numpy(x.view(f"u{x.itemsize}").copy()) if x.itemsize < 4 else torch.from_numpy(x)
    tensor = raw.view(getattr(torch, name))
    for axis in (0, 1):
        packed, expected = fp4sim.quantize(tensor, "nvfp4", axis=axis), fp4sim.quantize(x, "nvfp4", axis=axis)
        assert packed.dtype == name
        assert_same_bits(packed, expected)
        turned = fp4sim.quantize(tensor.t(), "nvfp4", axis=1 - axis)
        assert_same_bits(turned, fp4sim.quantize(x.T, "nvfp4", axis=1 - axis))
        for dtype in ("float32", "float64", "float16"):
            values = packed.dequantize(dtype)
            assert values.dtype == getattr(torch, dtype)
            np.testing.assert_array_equal(values.numpy(), expected.dequantize(dtype))
        narrow = packed.dequantize("bfloat16")
        assert narrow.dtype == torch.bfloat16
        np.testing.assert_array_equal(narrow.float().numpy(), expected.dequantize("bfloat16").astype(np.float32))


@needs_torch
def test_torch_tensors_of_every_kind_of_memory_are_read():
    import torch

    x = numbers()
    expected = fp4sim.quantize(x, "nvfp4")
    leaf = torch.nn.Parameter(torch.from_numpy(x))
    kinds = [leaf, leaf * 1, torch.from_numpy(x.T.copy()).t(), torch.from_numpy(x).flip(0).flip(0)]
    kinds += [torch.from_numpy(np.repeat(x, 2, axis=1))[:, ::2]]
    for tensor in kinds:
        assert_same_bits(fp4sim.quantize(tensor, "nvfp4"), expected)
    row = torch.from_numpy(x[:1]).bfloat16()
    assert_same_bits(fp4sim.quantize(row.expand(4, -1), "nvfp4"), fp4sim.quantize(row.repeat(4, 1), "nvfp4"))


@needs_torch
def test_packed_fp4_torch_tensors_are_read_low_nibble_first():
    import torch

    if not hasattr(torch, "float4_e2m1fn_x2"):
        pytest.skip("this torch has no float4_e2m1fn_x2")
    codes = np.arange(256, dtype=np.uint8).reshape(16, 16)
    packed = fp4sim.quantize(torch.from_numpy(codes).view(torch.float4_e2m1fn_x2), "e2m1")
    assert packed.shape == (16, 32)
    np.testing.assert_array_equal(packed.packed, codes)
    views = packed.to_torch()
    assert views["packed"].dtype == torch.float4_e2m1fn_x2
    np.testing.assert_array_equal(views["packed"].view(torch.uint8).numpy(), codes)


@needs_torch
@pytest.mark.parametrize(("spec", "name"), SCALE_VIEWS)
def test_torch_views_share_the_packed_memory(spec, name):
    import torch

    packed = fp4sim.quantize(numbers(), spec)
    views = packed.to_torch()
    assert views["block_scale"].dtype == getattr(torch, name)
    assert views["block_scale"].data_ptr() == packed.block_scale.ctypes.data
    assert views["packed"].data_ptr() == packed.packed.ctypes.data
    assert views["tensor_scale"].dtype == torch.float32


@needs_torch
def test_torch_dtypes_name_what_comes_back():
    import torch

    packed = fp4sim.quantize(torch.ones(2, 16), "nvfp4")
    assert packed.dequantize(torch.bfloat16).dtype == torch.bfloat16
    assert packed.dequantize(torch.float64).dtype == torch.float64


@needs_torch
@pytest.mark.parametrize("kind", ["int", "bool", "complex", "meta", "sparse", "scalar", "empty"])
def test_torch_tensors_without_an_answer_are_refused(kind):
    import torch

    tensor = {
        "int": lambda: torch.ones(16, dtype=torch.int32),
        "bool": lambda: torch.ones(16, dtype=torch.bool),
        "complex": lambda: torch.ones(16, dtype=torch.complex64),
        "meta": lambda: torch.ones(16, device="meta"),
        "sparse": lambda: torch.eye(16).to_sparse(),
        "scalar": lambda: torch.tensor(1.0, dtype=torch.bfloat16),
        "empty": lambda: torch.ones(0, 16),
    }[kind]()
    with pytest.raises(UsageError) as caught:
        fp4sim.quantize(tensor, "nvfp4")
    assert "\n" not in str(caught.value)
    if kind == "meta":
        assert "move it with .cpu()" in str(caught.value)


def in_flushed_thread(function):
    """Run ``function`` in a fresh thread with subnormals flushed; also whether the mode was on before and after."""
    import torch

    outcome = {}

    def run():
        if not torch.set_flush_denormal(True):
            outcome["unsupported"] = True
            return
        try:
            outcome["before"] = subnormals_flushed()
            outcome["value"] = function()
            outcome["after"] = subnormals_flushed()
        except Fp4simError as error:
            outcome["error"] = error
        finally:
            torch.set_flush_denormal(False)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if outcome.get("unsupported"):
        pytest.skip("this processor cannot flush subnormals")
    if "error" in outcome:
        raise outcome["error"]
    assert (outcome["before"], outcome["after"]) == (True, True), "the caller's float mode was not restored"
    return outcome["value"]


def small_numbers():
    """Subnormals, and blocks whose scales, factors or products are."""
    return (numbers((40, 64)) * (2.0 ** -np.linspace(100, 148, 40))[:, None]).astype(np.float32)


FLUSH_SPECS = ["nvfp4", "nvfp4@ts:row", "nvfp4@ts:32", "nvfp4/16x16", "mxfp4", "mxfp4@rceil", "mxfp4+sr", "nvfp4+sr"]
FLUSH_SPECS += ["nvfp4/row@ts:none", "bf16", "fp32", "nvfp4@fp32", "e2m1/tensor@e8m0"]


@needs_torch
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("spec", FLUSH_SPECS)
def test_flushed_subnormals_change_no_bit(spec, threads):
    for x in (small_numbers(), np.ldexp(numbers((4, 64)), -135).astype(np.float32)):
        expected = fp4sim.quantize(x, spec, threads=threads)
        assert_same_bits(in_flushed_thread(lambda x=x: fp4sim.quantize(x, spec, threads=threads)), expected)


@needs_torch
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_flushed_subnormals_change_no_value(dtype):
    x = np.ldexp(numbers((4, 64)), -18 if dtype == "float16" else -128).astype(np.float32)
    packed = fp4sim.quantize(x, "mxfp4")
    expected = packed.dequantize(dtype)
    smallest_normal = {"float16": 2.0**-14}.get(dtype, 2.0**-126)
    assert ((expected != 0) & (np.abs(expected.astype(np.float64)) < smallest_normal)).any()
    found = in_flushed_thread(lambda: packed.dequantize(dtype))
    assert found.tobytes() == expected.tobytes()


@needs_torch
def test_flushed_subnormals_change_no_metric():
    formats = ["nvfp4", "mxfp4", "nvfp4+sr", "nvfp4/16x16", "bf16"]
    for x in (small_numbers(), np.ldexp(numbers((4, 64)), -135).astype(np.float32)):
        expected = fp4sim.compare(x, formats, threads=1).to_dict()
        assert in_flushed_thread(lambda x=x: fp4sim.compare(x, formats, threads=1).to_dict()) == expected


@needs_torch
def test_a_subnormal_tensor_scale_is_positive_even_when_flushed():
    given, x = np.float32(1e-39), np.ldexp(numbers((4, 64)), -125).astype(np.float32)
    expected = fp4sim.quantize(x, "nvfp4@ts:given", tensor_scale=given)
    found = in_flushed_thread(lambda: fp4sim.quantize(x, "nvfp4@ts:given", tensor_scale=given))
    assert_same_bits(found, expected)
    assert found.tensor_scale.tobytes() == given.tobytes()


@needs_torch
def test_the_float_mode_is_restored_after_an_error():
    def fail():
        with contextlib.suppress(ZeroDivisionError), ieee_mode():
            raise ZeroDivisionError
        return subnormals_flushed()

    assert in_flushed_thread(fail)
    assert not subnormals_flushed()
