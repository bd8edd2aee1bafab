"""Quantized tensors against a second implementation, written here block by block in plain loops, and their exact meaning.

The loops follow Transformer Engine's steps and the OCP MX rules as published; they share only value tables with fp4sim.
"""

import itertools
import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fp4sim
from fp4sim import geometry, panels, parse
from fp4sim.errors import UsageError
from fp4sim.io.source import open_source
from fp4sim.packing import quantize_tensor
from fp4sim.randbits import Stream, random_bits

F32 = np.float32
FLT_MAX = np.finfo(F32).max


# --- The second implementation ----------------------------------------------------------------------------------------


def magnitude_code(a, values, mode, negative=False, random=0, bits=32):
    """The code that |x| = a rounds to, saturating; values: finite magnitudes by code, a: a float taken exactly."""
    if not a < values[-1]:
        return len(values) - 1
    low = max(k for k, value in enumerate(values) if value <= a)
    position = (Fraction(a) - Fraction(values[low])) / (Fraction(values[low + 1]) - Fraction(values[low]))
    half = Fraction(1, 2)
    up = {
        "rn": position > half or (position == half and low % 2 == 1),
        "rna": position >= half,
        "rnz": position > half,
        "rz": False,
        "ru": position > 0 and not negative,
        "rd": position > 0 and negative,
        "up": position > 0,
        "down": False,
        "sr": math.floor(position * 2**bits) + random >= 2**bits,
    }[mode]
    return low + up


def power_of_two_code(amax, rule, element):
    """E8M0 code of a block's amax (finite, normal or zero), in exact arithmetic."""
    if amax == 0:
        return 0
    emax, exact = math.frexp(element.max)[1] - 1, Fraction(float(amax))
    floor_log2 = math.frexp(amax)[1] - 1
    if rule == "floor":
        exponent = floor_log2 - emax
    elif rule == "ceil":
        exponent = floor_log2 - emax + (exact != Fraction(2) ** floor_log2)
    elif rule == "even":  # amax to the element's own mantissa width, halves up
        unit = Fraction(2) ** (floor_log2 - element.mantissa_bits)
        exponent = math.frexp(float(math.floor(exact / unit + Fraction(1, 2)) * unit))[1] - 1 - emax
    elif rule == "rceil":
        product = amax * (F32(1) / F32(element.max))
        mantissa, exponent = math.frexp(product)
        exponent -= 1000 if product == 0 else mantissa == 0.5
    else:  # log2: the integer nearest to log2(amax / max)
        squared = (exact / Fraction(element.max)) ** 2
        exponent = math.floor(math.log2(squared) / 2) - 1
        while squared >= 2 * Fraction(4) ** exponent:
            exponent += 1
    return min(max(exponent + 127, 0), 254)


def blocks_of(shape, block):
    """Lists of (row, column) of each block of a matrix, in order of its scale."""
    rows, length = shape
    height = {"row": 1, "tensor": rows}.get(block.kind, block.rows)
    width = block.cols if block.kind == "tile" else length
    for top, left in itertools.product(range(0, rows, height), range(0, length, width)):
        rows_of, cols_of = range(top, min(top + height, rows)), range(left, min(left + width, length))
        yield list(itertools.product(rows_of, cols_of))


@np.errstate(all="ignore")
def brute_force(x, spec, given=None, seed=0):
    """Codes, scale codes and tensor scales (flat) of a float32 matrix, by the default dialect."""
    element, scale, mode = spec.element, spec.scale, spec.tensor_scale.mode
    values, top = element.magnitudes().tolist(), element.max
    if spec.rounding.value == "sr" and scale.has_zero:
        top *= {"rn": 1 / (1 + 2.0 ** -(scale.mantissa_bits + 1)), "up": 1.0}[spec.rule]
    shrink = (
        {"floor": element.max / 2 ** (element.emax + 1)}.get(spec.rule, 1.0) if spec.rounding.value == "sr" else 1.0
    )
    reach, inverse = F32((spec.tensor_scale.bound or scale.max) * top), F32(1 / top)
    codes, scales, stored = np.zeros(x.shape, np.uint8), [], {}
    for block in blocks_of(x.shape, spec.block):
        row, col = block[0]
        start = col // max(spec.tensor_scale.span, 1) * spec.tensor_scale.span
        group = {"tensor": x, "row": x[row], "blocks": x[row, start : start + spec.tensor_scale.span]}.get(mode)
        amax = F32(max(abs(x[at]) for at in block))
        encode = decode = keep = F32(1)
        if group is not None and (group_amax := np.abs(group).max()) > 0:
            encode = min(reach / group_amax, FLT_MAX)
            decode, keep = F32(1) / encode, group_amax / reach
        if mode == "given":
            keep = decode = F32(given[row]) if np.ndim(given) else F32(given)
            encode = min(F32(1) / decode, FLT_MAX)
        if scale.has_zero:
            wanted = min(amax * (encode * inverse), FLT_MAX)
            code = magnitude_code(float(wanted), scale.magnitudes().tolist(), spec.rule)
            factor = min(F32(1) / (F32(scale.value(code)) * decode), FLT_MAX)
        else:
            code = power_of_two_code(amax * encode, spec.rule, element)
            factor = min(F32(shrink * 2.0 ** (127 - code)) * encode, FLT_MAX)
            keep = keep * F32(1 / shrink)
        for at in block:
            product = x[at] * factor
            random = {}
            if spec.random_bits:
                index = np.array(at[0] * x.shape[1] + at[1])
                random = {
                    "random": int(random_bits(Stream.of(seed), index, spec.random_bits)),
                    "bits": spec.random_bits,
                }
            negative = bool(np.signbit(product))
            codes[at] = magnitude_code(abs(float(product)), values, spec.rounding.value, negative, **random)
            codes[at] |= element.sign_mask if negative else 0
        scales.append(code)
        group_at = {"row": row, "given": row * np.ndim(given), "blocks": (row, start)}.get(mode, 0)
        stored[group_at] = keep
    return codes, np.array(scales), np.array(list(stored.values()), F32)


SPECS = ["nvfp4", "nvfp4@ts:none", "nvfp4@ts:row", "nvfp4@ts:32", "nvfp4@ts:bound=256", "nvfp4@ts:given", "nvfp4/32"]
SPECS += [
    "nvfp4/6",
    "nvfp4/6@ts:12",
    "nvfp4/16x16",
    "nvfp4/4x8@ts:none",
    "nvfp4/row",
    "nvfp4/row@ts:row",
    "nvfp4/tensor",
]
SPECS += ["nvint4", "e1m2/16@e4m3", "e3m0/16@e5m2", "nvfp4@ue5m3", "nvfp4@ue5m3:max=61440", "nvfp4@e3m4", "nvfp4@e4m4"]
SPECS += [f"nvfp4@{rule}" for rule in ("up", "down")] + [f"nvfp4+{mode}" for mode in ("rna", "rnz", "rz", "ru", "rd")]
SPECS += [f"{head}@{rule}" for head in ("mxfp4", "e1m2/32@e8m0", "e3m0/16@e8m0", "e0m3/32@e8m0", "mxfp4/8x32")
          for rule in ("floor", "ceil", "rceil", "even", "log2")]  # fmt: skip
SPECS += ["mxfp4@ts:given", "mxfp4/row", "mxfp4/tensor", "e4m3/32@e8m0", "e5m2/32@e8m0@rceil", "e4m3/32@e4m3@ts:none"]
SPECS += ["nvfp4+sr", "nvfp4+sr:bits=8", "nvfp4@up+sr", "mxfp4+sr", "mxfp4@rceil+sr:bits=5", "e1m2/16@e8m0+sr"]


def bf16_matrix(shape, seed):
    """Values whose blocks differ widely, with exact ties, zeros of both signs and one block of zeros."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) * 2.0 ** rng.integers(-12, 5, (shape[0], 1))
    ties = rng.random(shape) < 0.2
    x = np.where(ties, rng.choice([0, -0.0, 0.25, -0.75, 1.25, 2.5, -3.5, 5, 6, 7, 448], shape), x)
    x[0, :32] = 0
    return x.astype(ml_dtypes.bfloat16)


@pytest.mark.parametrize("text", SPECS)
def test_codes_and_scales_equal_the_second_implementation(text):
    spec = parse(text)
    for seed, shape in enumerate([(5, 71), (16, 32)]):
        x = bf16_matrix(shape, seed)
        given = np.linspace(0.25, 3, shape[0]).astype(F32) if "given" in text else None
        packed = fp4sim.quantize(x, spec, tensor_scale=given, seed=3)
        codes, scales, stored = brute_force(x.astype(F32), spec, given, seed=3)
        np.testing.assert_array_equal(packed.block_scale.ravel(), scales)
        np.testing.assert_array_equal(packed.codes, codes)
        np.testing.assert_array_equal(packed.tensor_scale.ravel(), stored)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 32), st.sampled_from(["nvfp4", "mxfp4", "nvfp4@ts:none", "nvfp4@ts:32", "mxfp4@even"]))
def test_random_tensors_equal_the_second_implementation(seed, text):
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((2, 40)) * 2.0 ** rng.integers(-60, 60)).astype(ml_dtypes.bfloat16)
    packed = fp4sim.quantize(x, text)
    codes, scales, _ = brute_force(x.astype(F32), parse(text))
    np.testing.assert_array_equal(packed.block_scale.ravel(), scales)
    np.testing.assert_array_equal(packed.codes, codes)


@pytest.mark.parametrize(
    "text", ["nvfp4", "nvfp4/16x16", "nvfp4/3x6", "mxfp4/8x32", "nvfp4@ts:row", "nvfp4/row", "e2m1+sr"]
)
def test_streamed_tensors_have_the_bits_of_resident_ones(tmp_path, monkeypatch, text):
    """Tiles of a matrix too wide for a piece are the hard case: a piece is then no contiguous range of the file."""
    np.save(tmp_path / "w.npy", bf16_matrix((40, 300), 3).astype(F32))
    monkeypatch.setattr(geometry, "PIECE_ELEMENTS", 1 << 10)
    with open_source(tmp_path / "w.npy") as source:
        (tensor,) = source.tensors()
        resident = quantize_tensor(tensor, parse(text))
        monkeypatch.setattr(panels, "RESIDENT_BYTES", 0)
        assert not panels.Panels(tensor, 1).resident
        for threads in (1, 3):
            streamed = quantize_tensor(tensor, parse(text), threads=threads)
            np.testing.assert_array_equal(streamed.packed, resident.packed)
            np.testing.assert_array_equal(streamed.block_scale, resident.block_scale)
            np.testing.assert_array_equal(streamed.tensor_scale, resident.tensor_scale)


# --- What a packed tensor means ---------------------------------------------------------------------------------------

MEANT = ["nvfp4", "mxfp4", "nvfp4/16x16", "nvfp4/3x6", "nvfp4/row", "nvfp4/tensor", "nvfp4@ts:row", "nvfp4@ts:128"]
MEANT += ["nvfp4@ts:given", "nvfp4+sr", "e2m1", "bf16", "fp32", "e4m3", "e4m3/32@e8m0", "e5m2/row@fp32", "e2m1/16@bf16"]
MEANT += ["fp32/32@e8m0@even"]


def product(packed, index):
    """code * block scale * tensor scale of one element, in exact fractions."""
    spec, axis, block = packed.spec, packed.axis, packed.spec.block
    moved = (*index[:axis], *index[axis + 1 :], index[axis])
    value = Fraction(spec.element.value(int(packed.codes[index])))
    if spec.scale is not None:
        at = ()
        if block.kind == "row":
            at = (*moved[:-1], 0)
        elif block.kind == "tile":
            at = (*moved[:-1], moved[-1] // block.cols)
            if block.rows > 1:
                at = (*at[:-2], at[-2] // block.rows, at[-1])
        value *= Fraction(spec.scale.value(int(packed.block_scale[at])))
    row = np.ravel_multi_index(moved[:-1], packed.geometry.moved_shape[:-1]) if len(moved) > 1 else 0
    at = (row, moved[-1] // max(spec.tensor_scale.span, 1))[: packed.tensor_scale.ndim]
    return value * Fraction(float(packed.tensor_scale[at]))


@pytest.mark.parametrize("text", MEANT)
@pytest.mark.parametrize("shape", [(37,), (5, 33), (3, 7, 20), (2, 3, 5, 19)], ids=str)
def test_dequantize_is_the_exact_product_rounded_once(text, shape):
    spec = parse(text)
    if spec.block.rows > 1 and len(shape) == 1:
        with pytest.raises(UsageError, match="need at least 2 axes"):
            fp4sim.quantize(np.ones(shape, F32), spec)
        return
    x = np.random.default_rng(1).standard_normal(shape).astype(F32)
    for axis in range(-len(shape), len(shape)):
        given = F32(0.3) if "given" in text else None
        packed = fp4sim.quantize(x, spec, axis=axis, tensor_scale=given)
        exact = np.array([float(product(packed, index)) for index in np.ndindex(shape)]).reshape(shape)
        for dtype in (np.float64, np.float32, np.float16):
            values = packed.dequantize(dtype)
            assert values.dtype == dtype
            with np.errstate(over="ignore"):
                np.testing.assert_array_equal(values, exact.astype(dtype))
        assert packed.axis == axis % len(shape)
        np.testing.assert_array_equal(packed.dequantize(domain="rotated"), packed.dequantize())


def round_to_bf16(value):
    """Nearest bfloat16 of a normal float64, ties to even, in one rounding."""
    unit = 2.0 ** (math.frexp(value)[1] - 8)
    return float(round(Fraction(value) / Fraction(unit)) * Fraction(unit))


def test_bfloat16_is_rounded_once():
    """Rounding to float32 first would move a value just above a tie onto it, and then to even."""
    single = double = 0
    for scale, tie in itertools.product((1.0, 1.125, 9.0, 13.0, 15.0), (1 + 2**-8, 1 + 3 * 2**-8)):
        nearest = F32(tie * 64 / (6 * scale))
        for stored in nearest + np.arange(-6, 7, dtype=F32) * np.spacing(nearest):
            x = np.full((1, 16), 6 * scale * float(stored), F32)
            packed = fp4sim.quantize(x, "nvfp4@ts:given", tensor_scale=stored)
            exact = float(packed.dequantize(np.float64)[0, 0])
            assert exact == 6 * scale * float(stored)
            assert float(packed.dequantize("bfloat16")[0, 0]) == round_to_bf16(exact)
            single += 1
            double += round_to_bf16(exact) != round_to_bf16(float(F32(exact)))
    assert double > 5, f"none of the {single} products tells one rounding from two"


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 5), st.integers(1, 70), st.sampled_from(["nvfp4", "mxfp4", "nvfp4/6", "e4m3", "bf16", "nvfp4/row"])
)
def test_packed_holds_the_codes_low_nibble_first_and_zero_padding(rows, length, text):
    x = np.random.default_rng(length).standard_normal((rows, length)).astype(F32)
    packed = fp4sim.quantize(x, text)
    bits, codes = max(packed.spec.element.bits, 4), packed.codes.astype(np.int64)
    unit = packed.spec.block.cols or 2
    assert packed.packed.shape == (rows, -(-length // unit) * unit * bits // 8)
    for row in range(rows):
        whole = sum(int(code) << (bits * i) for i, code in enumerate(codes[row]))
        assert int.from_bytes(packed.packed[row].tobytes(), "little") == whole


# --- Padding, zeros, extremes -----------------------------------------------------------------------------------------


def test_padding_never_touches_a_statistic():
    x = np.random.default_rng(2).standard_normal((3, 5, 21)).astype(F32) * 2.0 ** np.arange(-4, 1)[:, None].astype(F32)
    for text in ("nvfp4/4x16@ts:none", "nvfp4@ts:none", "mxfp4/2x6"):
        whole = fp4sim.quantize(x, text)
        for matrix in range(3):
            alone = fp4sim.quantize(x[matrix], text)
            np.testing.assert_array_equal(whole.block_scale[matrix], alone.block_scale)
            np.testing.assert_array_equal(whole.codes[matrix], alone.codes)
    padded = np.zeros((3, 8, 32), F32)
    padded[:, :5, :21] = x
    for text in ("nvfp4", "nvfp4/4x16", "mxfp4"):
        small, large = fp4sim.quantize(x, text), fp4sim.quantize(padded, text)
        np.testing.assert_array_equal(small.codes, large.codes[:, :5, :21])
        assert small.tensor_scale == large.tensor_scale


@pytest.mark.parametrize("text", ["nvfp4", "nvfp4@ts:row", "nvfp4@ts:none", "nvfp4/16x16", "mxfp4@rceil", "mxfp4@even"])
def test_zeros_keep_their_sign_and_nothing_else(text):
    x = np.zeros((4, 40), F32)
    x[1::2] = -0.0
    packed = fp4sim.quantize(x, text)
    np.testing.assert_array_equal(packed.codes, np.where(np.signbit(x), 8, 0))
    assert not packed.block_scale.any()
    assert (packed.tensor_scale == 1).all()
    values = packed.dequantize()
    assert not values.any()
    np.testing.assert_array_equal(np.signbit(values), np.signbit(x))


@pytest.mark.parametrize("exponent", [-149, -140, -127, -126, -100, 100, 126, 127])
@pytest.mark.parametrize(
    "text", ["nvfp4", "nvfp4@ts:row", "nvfp4@ts:none", "mxfp4", "mxfp4@rceil", "mxfp4@ceil", "nvint4"]
)
def test_extreme_magnitudes_follow_the_formulas(text, exponent):
    x = (np.array([[1, -1, 0.5, 1.5, 0, 1.75, -1.25, 1] * 4]) * 2.0**exponent).astype(F32)
    packed = fp4sim.quantize(x, text)
    codes, scales, stored = brute_force(x, parse(text))
    np.testing.assert_array_equal(packed.codes, codes)
    np.testing.assert_array_equal(packed.block_scale.ravel(), scales)
    np.testing.assert_array_equal(packed.tensor_scale.ravel(), stored)
    assert np.isfinite(packed.dequantize(np.float64)).all()
    if exponent > -120 and text != "nvfp4@ts:none":
        ratio = packed.dequantize(np.float64) / np.where(x == 0, 1, x)
        assert np.abs(ratio[x != 0] - 1).max() < 0.34


def test_an_amax_that_even_rounds_to_infinity_is_nan():
    """torchao main 36027d8: 1.75 * 2^127 rounds to 2^128, which E8M0 does not have; just below it there is an answer."""
    x = np.ones((2, 32), F32)
    x[:, 0] = np.array([1.75 * 2.0**127, np.nextafter(F32(1.75 * 2.0**127), F32(0))])
    packed = fp4sim.quantize(x, "mxfp4@even")
    assert packed.block_scale.ravel().tolist() == [255, 252]
    assert np.isnan(packed.dequantize()[0]).all()
    assert np.isfinite(packed.dequantize()[1]).all()


@settings(max_examples=40, deadline=None)
@given(
    st.integers(-40, 40), st.integers(0, 1000), st.sampled_from(["nvfp4", "nvfp4@ts:row", "nvfp4/16x16", "nvfp4+sr"])
)
def test_a_power_of_two_changes_no_nvfp4_code(k, seed, text):
    x = np.random.default_rng(seed).standard_normal((4, 48)).astype(ml_dtypes.bfloat16).astype(F32)
    base, scaled = fp4sim.quantize(x, text), fp4sim.quantize(x * F32(2.0**k), text)
    np.testing.assert_array_equal(base.packed, scaled.packed)
    np.testing.assert_array_equal(base.block_scale, scaled.block_scale)
    np.testing.assert_array_equal(base.tensor_scale * F32(2.0**k), scaled.tensor_scale)


# --- Arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "arguments", "says"),
    [
        ("nvfp4@ts:given", {}, "ts:given and the argument tensor_scale need each other"),
        ("nvfp4", {"tensor_scale": 1.0}, "ts:given and the argument tensor_scale need each other"),
        ("nvfp4@ts:given", {"tensor_scale": [1.0, 2.0]}, r"shape \(2,\), it must be \(\) or \(4,\)"),
        ("nvfp4/2x16@ts:given", {"tensor_scale": [1.0] * 4}, "tensor_scale"),
        ("nvfp4/tensor@ts:given", {"tensor_scale": [1.0] * 4}, "tensor_scale"),
        ("nvfp4@ts:given", {"tensor_scale": 0.0}, "positive and finite"),
        ("nvfp4@ts:given", {"tensor_scale": float("nan")}, "positive and finite"),
        ("nvfp4", {"axis": 2}, r"axis 2 is not one of shape \(4, 32\)"),
        ("nvfp4", {"nonfinite": "drop"}, "'error', 'propagate' or 'ignore'"),
        ("nvfp4", {"threads": 0}, "0 threads"),
        ("nvfp4", {"threads": 5000}, "5000 threads"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(text, arguments, says):
    with pytest.raises(UsageError, match=says):
        fp4sim.quantize(np.ones((4, 32), F32), text, **arguments)


def test_arrays_of_another_shape_are_no_packed_tensor():
    packed = fp4sim.quantize(np.ones((4, 32), F32), "nvfp4")
    with pytest.raises(UsageError, match=r"packed has shape \(4, 15\), nvfp4 of shape \(4, 32\) needs \(4, 16\)"):
        fp4sim.PackedTensor(packed.packed[:, :15], packed.block_scale, packed.tensor_scale, (4, 32), 1, packed.spec)
    with pytest.raises(UsageError, match=r"block_scale has shape \(4, 1\)"):
        fp4sim.PackedTensor(packed.packed, packed.block_scale[:, :1], packed.tensor_scale, (4, 32), 1, packed.spec)
    with pytest.raises(UsageError, match="domain 'output'"):
        packed.dequantize(domain="output")
