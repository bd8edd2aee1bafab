"""Faulty kernels, each with the report that it is taken from (P numbers of the project's collection) and its cause."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import ml_dtypes
import numpy as np

from fp4sim.layouts import swizzle, unswizzle
from tests.verifying.inputs import many_amax, ties, wide
from tests.verifying.kernel import FLT_MAX, GRID, MX, NV, F, Kernel, below, e2m1, e4m3, e4m3_value, pack, with_sign

Dump = dict[str, np.ndarray]


@dataclass(frozen=True)
class Bug:
    """``causes``: the stable names that are right; every finding must bear one of them."""

    name: str
    report: str
    spec: str
    run: Callable[[np.ndarray], Dump]
    causes: tuple[str, ...]
    inputs: tuple[Callable[[int], np.ndarray], ...] = (many_amax, ties)


def changed(kernel: Kernel, key: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], Dump]:
    """A right kernel whose output is spoilt on its way to memory."""

    def run(x: np.ndarray) -> Dump:
        dump = kernel(x)
        return {**dump, key: change(dump[key])}

    return run


def nv(**steps: Callable) -> Callable[[np.ndarray], Dump]:
    return replace(NV, **steps)


def mx(**steps: Callable) -> Callable[[np.ndarray], Dump]:
    return replace(MX, **steps)


def exponent(amax: np.ndarray) -> np.ndarray:
    return (amax.view(np.int32) >> 23).astype(np.int32)


def mantissa(amax: np.ndarray) -> np.ndarray:
    return amax.view(np.int32) & 0x7FFFFF


def e8m0(codes: np.ndarray) -> np.ndarray:
    return np.clip(codes, 0, 254).astype(np.uint8)


def rceil(amax: np.ndarray, _: np.ndarray) -> np.ndarray:
    sixth = amax * F(1 / 6)
    return e8m0(exponent(sixth) + (mantissa(sixth) > 0))


def even(amax: np.ndarray, _: np.ndarray) -> np.ndarray:
    return e8m0(((amax.view(np.int32) + (1 << 21)) >> 23) - 2)


def half_even(amax: np.ndarray, _: np.ndarray) -> np.ndarray:
    return e8m0(((amax.view(np.int32) + (1 << 21)) >> 23) - 3)


def truncated_scale(v: np.ndarray) -> np.ndarray:
    codes = e4m3(v)
    return np.where(e4m3_value(codes) > v, codes - 1, codes).astype(np.uint8)


def raised_scale(v: np.ndarray) -> np.ndarray:
    codes = e4m3(v)
    return np.where((e4m3_value(codes) < v) & (codes < 0x7E), codes + 1, codes).astype(np.uint8)


def clamp_low(least: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda v: e4m3(np.maximum(v, F(least)))


def zero_as(code: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda v: np.where(v == 0, np.uint8(code), e4m3(v)).astype(np.uint8)


def away(z: np.ndarray) -> np.ndarray:
    middle = (GRID[1:] + GRID[:-1]) / 2
    return with_sign(np.searchsorted(middle, np.abs(z), side="right"), z)


def toward_zero(z: np.ndarray) -> np.ndarray:
    middle = (GRID[1:] + GRID[:-1]) / 2
    return with_sign(np.searchsorted(middle, np.abs(z), side="left"), z)


def truncated(z: np.ndarray) -> np.ndarray:
    return with_sign(below(z), z)


def stochastic(z: np.ndarray) -> np.ndarray:
    low = below(z)
    gap = np.append(np.diff(GRID), 1.0)[low]
    up = np.random.default_rng(5).random(z.shape) < (np.minimum(np.abs(z), 6) - GRID[low]) / gap
    return with_sign(low + up, z)


def integers(z: np.ndarray) -> np.ndarray:
    return with_sign(np.minimum(np.rint(np.abs(z)), 7).astype(np.uint8), z)


def modelopt_mxfp4(z: np.ndarray) -> np.ndarray:
    codes = toward_zero(z)
    return np.where(z == 0, 8, codes).astype(np.uint8)


def wrapping(z: np.ndarray) -> np.ndarray:
    codes = e2m1(z)
    return np.where(np.abs(z) >= 7, np.signbit(z).astype(np.uint8) << 3, codes).astype(np.uint8)


def drop_zero_sign(z: np.ndarray) -> np.ndarray:
    codes = e2m1(z)
    return np.where(codes == 8, 0, codes).astype(np.uint8)


def twice(name: str) -> Callable[[np.ndarray], np.ndarray]:
    dtype = ml_dtypes.bfloat16 if name == "bfloat16" else np.float16
    return lambda z: e2m1(z.astype(dtype).astype(np.float32))


def ulp_off(b: np.ndarray, s: np.ndarray, encode: np.ndarray, amax: np.ndarray) -> np.ndarray:
    factor = np.minimum(F(1) / (s * (F(1) / encode)), FLT_MAX)
    lowest = factor.view(np.int32) % 5
    factor = np.where(
        lowest == 1, np.nextafter(factor, F(0)), np.where(lowest == 3, np.nextafter(factor, FLT_MAX), factor)
    )
    return b * factor[..., None]


def llama_nibbles(codes: np.ndarray) -> np.ndarray:
    blocks = codes.reshape(codes.shape[0], -1, 2, 8)
    return (blocks[:, :, 0] | blocks[:, :, 1] << 4).reshape(codes.shape[0], -1)


def stale_padding(scales: np.ndarray) -> np.ndarray:
    laid = swizzle(scales, "128x4").reshape(-1).copy()
    place = np.zeros(laid.size, bool)
    from fp4sim.layouts import offsets

    place[offsets(*scales.shape, "128x4").reshape(-1)] = True
    laid[~place] = 0x7F
    return laid


def without_last(dump: Dump) -> Dump:
    codes, scales = dump["codes"].copy(), dump["scales"].copy()
    codes[:, -16:], scales[:, -1] = 0, 0
    return {**dump, "codes": codes, "scales": scales}


def without_rows(dump: Dump) -> Dump:
    codes, scales = dump["codes"].copy(), dump["scales"].copy()
    codes[40:72], scales[40:72] = 0, 0
    return {**dump, "codes": codes, "scales": scales}


def along_columns(x: np.ndarray) -> Dump:
    dump = NV(np.ascontiguousarray(x.T))
    return {**dump, "x": x, "codes": np.ascontiguousarray(dump["codes"].T)}


def shared_by_two(b: np.ndarray) -> np.ndarray:
    amax = np.abs(b).max(axis=-1)
    return amax.reshape(amax.shape[0], -1, 2).max(axis=2).repeat(2, axis=1)


def signed(b: np.ndarray) -> np.ndarray:
    return np.take_along_axis(b, np.abs(b).argmax(axis=-1)[..., None], -1)[..., 0]


def signed_scale(v: np.ndarray) -> np.ndarray:
    return np.clip(v, -448, 448).astype(ml_dtypes.float8_e4m3fn).view(np.uint8)


def square(seed: int) -> np.ndarray:
    return many_amax(seed, (256, 256))


def broad(seed: int) -> np.ndarray:
    return many_amax(seed, (128, 512))


def large(seed: int) -> np.ndarray:
    return many_amax(seed, (512, 512))


def large_wide(seed: int) -> np.ndarray:
    return wide(seed, (512, 512))


def odd_size(seed: int) -> np.ndarray:
    return many_amax(seed, (96, 160))


def with_nan(seed: int) -> np.ndarray:
    x = np.array(ties(seed))
    x[5, 3::64] = np.nan
    return x


def tie_floor(seed: int) -> np.ndarray:
    """Scaled values up to 8, as the floor rule leaves them."""
    return many_amax(seed)


def with_values(make: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]) -> Callable[[np.ndarray], Dump]:
    """A right kernel that decodes its codes wrongly: from values of codes, of scales, and the tensor scale."""

    def run(x: np.ndarray) -> Dump:
        dump = NV(x)
        signs = np.where(dump["codes"] & 8, -1, 1).astype(F)
        codes = (signs * GRID.astype(F)[dump["codes"] & 7]).reshape(x.shape[0], -1, 16)
        with np.errstate(all="ignore"):
            out = make(codes, e4m3_value(dump["scales"])[..., None], dump["tensor_scale"])
        return {**dump, "out": out.reshape(x.shape)}

    return run


def bf16(x: np.ndarray) -> np.ndarray:
    return np.asarray(x, F).astype(ml_dtypes.bfloat16).astype(F)


ORDER = ("scale.operation_order", "code.operation_order")

BUGS = (
    Bug("all zeros", "P28, P34: all-zero outputs pass", "nvfp4", lambda x: {**NV(x), "codes": np.zeros(x.shape, np.uint8)},
        ("output.all_zero",)),
    Bug("scale truncated", "P13, triton#11668", "nvfp4", nv(scale=truncated_scale), ("scale.truncated",), (many_amax, wide)),
    Bug("scale rounded up", "P13, triton#11668", "nvfp4", nv(scale=raised_scale), ("scale.rounded_up",), (many_amax, wide)),
    Bug("scale one step low", "P08", "nvfp4", changed(NV, "scales", lambda s: np.maximum(s, 1) - np.uint8(1)),
        ("scale.offset", "code.right_scales"), (many_amax, wide)),
    Bug("E8M0 one low by rule", "P08, FlyDSL#590", "mxfp4@even", mx(quantity=half_even), ("scale.offset",)),
    Bug("rceil for floor", "P07, P11", "mxfp4", mx(quantity=rceil), ("scale.rule.rceil", "scale.operation_order"),
        (many_amax, wide)),
    Bug("floor for even", "P08, P11", "mxfp4@even", MX, ("scale.rule.floor",), (many_amax, wide)),
    Bug("even for rceil", "P11, ml_dtypes#298", "mxfp4@rceil", mx(quantity=even),
        ("scale.rule.even",), (many_amax, wide)),
    Bug("zero block gets 1", "P14, Model-Optimizer#1397", "nvfp4", nv(scale=zero_as(0x38)), ("scale.zero_block",),
        (many_amax,)),
    Bug("zero block gets NaN", "P14, Model-Optimizer#1633", "nvfp4", changed(NV, "scales",
        lambda s: np.where(s == 0, np.uint8(0x7F), s)), ("scale.zero_block", "code.right_scales"), (many_amax,)),
    Bug("scale clamped at 2^-6", "torchao's clamp", "nvfp4", nv(scale=clamp_low(2.0**-6)), ("scale.floor",), (wide,)),
    Bug("scale clamped at 2^-9", "P15, ModelOpt's clamp", "nvfp4", nv(scale=clamp_low(2.0**-9)), ("scale.floor",), (wide,)),
    Bug("subnormal scales flushed", "P17", "nvfp4", nv(scale=lambda v: np.where(e4m3(v) < 8, 0, e4m3(v)).astype(np.uint8)),
        ("scale.flushed",), (wide,)),
    Bug("E8M0 bytes for E4M3", "P12, nmoe#15", "nvfp4", nv(scale=lambda v: rceil(v * F(6), v),
        scale_value=lambda c: np.ldexp(F(1), c.astype(np.int32) - 127)), ("scale.encoding", "code.right_scales",
        "code.unrounded_scale", "unknown"), (many_amax,)),
    Bug("powers of two", "P12", "nvfp4", nv(scale=lambda v: e4m3(np.exp2(np.ceil(np.log2(v))))),
        ("scale.power_of_two",), (many_amax,)),
    Bug("signed scales", "P14, mlx#2962", "nvfp4", nv(amax=signed, scale=signed_scale,
        scale_value=lambda c: np.abs(e4m3_value(c))), ("scale.signed",), (many_amax,)),
    Bug("maximum without abs", "P29", "nvfp4", nv(amax=lambda b: np.maximum(b.max(axis=-1), 0)),
        ("scale.max_without_abs",), (many_amax,)),
    Bug("last element left out of amax", "off by one", "nvfp4", nv(amax=lambda b: np.abs(b[..., :-1]).max(axis=-1)),
        ("scale.partial_amax",), (many_amax, wide)),
    Bug("scales of 32", "P12, nunchaku#362", "nvfp4", nv(amax=shared_by_two), ("scale.block_size",), (many_amax, wide)),
    Bug("amax rounded to bf16", "P48", "nvfp4", nv(amax=lambda b: np.abs(b).max(-1).astype(ml_dtypes.bfloat16).astype(F)),
        ("scale.amax_rounded",), (wide,)),
    Bug("amax mapped to 4", "P01, 4/6 without a choice", "nvfp4", nv(quantity=lambda a, g: a * (g * F(1 / 4))),
        ("scale.element_max",), (many_amax,)),
    Bug("no tensor scale", "P19, imp#1544", "nvfp4", nv(encode=lambda top: F(1)),
        ("scale.no_tensor_scale",), (many_amax, wide)),
    Bug("tensor scale hard-coded 1", "P19, flashinfer#5173", "nvfp4", nv(encode=lambda top: F(1), stored=lambda top: F(1)),
        ("tensor_scale.missing",), (many_amax, wide)),
    Bug("tensor bound 256", "P01, 4/6's bound", "nvfp4", nv(encode=lambda top: F(F(256 * 6) / top),
        stored=lambda top: F(top / F(256 * 6))), ("tensor_scale.bound",), (many_amax, wide)),
    Bug("tensor bound 256 in scales alone", "P01", "nvfp4", nv(encode=lambda top: F(F(256 * 6) / top)),
        ("scale.tensor_bound",), (many_amax, wide)),
    Bug("stale tensor scale", "P24, vllm#54974", "nvfp4", nv(encode=lambda top: F(F(448 * 6) / (top * F(1.37))),
        stored=lambda top: F(top * F(1.37) / F(448 * 6))), ("tensor_scale.stale",), (many_amax, wide)),
    Bug("divisor stored", "P24, modular#6600", "nvfp4", changed(NV, "tensor_scale", lambda s: F(1) / s),
        ("tensor_scale.inverted",), (many_amax, wide)),
    Bug("scales swizzled", "P21, Fuser#4801, ao#4477", "nvfp4", changed(NV, "scales", lambda s: swizzle(s, "128x4")),
        ("layout.scales_swizzled",), (many_amax, square)),
    Bug("scales swizzled 8x4", "P21", "nvfp4", changed(NV, "scales", lambda s: swizzle(s, "8x4")),
        ("layout.scales_swizzled",), (many_amax, square)),
    Bug("scales unswizzled twice", "P24, modular#6600", "nvfp4", changed(NV, "scales",
        lambda s: unswizzle(s.reshape(-1), *s.shape, "128x4")), ("layout.scales_unswizzled",), (broad,)),
    Bug("scales transposed", "P21", "nvfp4", changed(NV, "scales", lambda s: np.ascontiguousarray(s.T)),
        ("layout.scales_transposed",), (many_amax, square)),
    Bug("scale of the next block", "off by one", "nvfp4", changed(NV, "scales", lambda s: np.roll(s, -1, axis=1)),
        ("layout.scales_shifted",), (many_amax, square)),
    Bug("stale scale padding", "P23, vllm#38148", "nvfp4", changed(NV, "scales", stale_padding),
        ("layout.stale_padding",), (odd_size,)),
    Bug("nibbles swapped", "P22, comfy-kitchen#41", "nvfp4", changed(NV, "codes", lambda c: pack(c.reshape(-1, 2)[:, ::-1]
        .reshape(c.shape))), ("layout.nibbles_swapped",), (many_amax, ties)),
    Bug("llama.cpp nibbles", "P22, llama.cpp#19769", "nvfp4", changed(NV, "codes", llama_nibbles),
        ("layout.nibbles_split",), (many_amax, ties)),
    Bug("codes transposed", "P40", "nvfp4", changed(NV, "codes", lambda c: np.ascontiguousarray(c.T)),
        ("layout.codes_transposed",), (many_amax, square)),
    Bug("words big-endian", "P31", "nvfp4", changed(NV, "codes", lambda c: pack(c).reshape(-1, 4)[:, ::-1]
        .reshape(c.shape[0], -1)), ("layout.codes_byte_order",), (many_amax,)),
    Bug("last block dropped", "P28", "nvfp4", lambda x: without_last(NV(x)), ("output.tail",), (many_amax, wide)),
    Bug("rows of zeros", "P29, flashinfer#3398", "nvfp4", lambda x: without_rows(NV(x)), ("output.blocks",), (many_amax,)),
    Bug("high nibbles lost", "P22", "nvfp4", changed(NV, "codes", lambda c: pack(c) & np.uint8(15)),
        ("output.lanes",), (many_amax, ties)),
    Bug("blocks along columns", "P38, P40", "nvfp4", along_columns, ("layout.axis",), (square,)),
    Bug("ties away", "P06, aiter#3992", "mxfp4", mx(cast=away), ("code.ties_away",)),
    Bug("ties away, NVFP4", "P06", "nvfp4", nv(cast=away), ("code.ties_away",), (many_amax, ties)),
    Bug("ties toward zero", "P05, trace reference", "nvfp4", nv(cast=toward_zero), ("code.ties_zero",), (many_amax, ties)),
    Bug("truncation", "P28", "nvfp4", nv(cast=truncated), ("code.truncated",)),
    Bug("division for reciprocal", "P04, arch-com#905", "nvfp4", nv(scaled=lambda b, s, g, a: b / np.where(s == 0,
        F(1), s * (F(1) / g))[..., None]), ("code.operation_order",), (large,)),
    Bug("g/s, as the Triton path", "finding 2: vLLM Triton", "nvfp4", nv(scaled=lambda b, s, g, a: b * np.where(s == 0,
        F(0), g / s)[..., None]), ("code.operation_order",), (large,)),
    Bug("amax/6 first", "finding 2: TRT-LLM", "nvfp4", nv(quantity=lambda a, g: g * (a * F(1 / 6))), ORDER, (large,)),
    Bug("ModelOpt's divisions", "finding 2: ModelOpt", "nvfp4", nv(quantity=lambda a, g: a / (F(6) * (F(1) / g)),
        scaled=lambda b, s, g, a: b / np.where(s == 0, F(1), s * (F(1) / g))[..., None]), ORDER, (large, large_wide)),
    Bug("unrounded scale", "P10, QAT against PTQ", "nvfp4", nv(scaled=lambda b, s, g, a: b * np.where(a == 0, F(1),
        F(6) / a)[..., None]), ("code.unrounded_scale",), (many_amax,)),
    Bug("rounded through bf16", "P48, compressed-tensors#824", "nvfp4", nv(cast=twice("bfloat16")),
        ("code.double_rounding",), (many_amax, wide)),
    Bug("rounded through fp16", "P48, P01", "nvfp4", nv(cast=twice("float16")), ("code.double_rounding",),
        (large_wide,)),
    Bug("approximate reciprocal", "P02, flashinfer#3387", "nvfp4", nv(scaled=ulp_off), ("code.approximate_reciprocal",),
        (large,)),
    Bug("stochastic", "P37", "nvfp4", nv(cast=stochastic), ("code.stochastic",)),
    Bug("INT4 codes", "wrong element", "nvfp4", nv(cast=integers), ("code.int4",)),
    Bug("table of the wrong order", "wrong table", "nvfp4", changed(NV, "codes", lambda c: np.array(
        [0, 2, 1, 3, 4, 5, 7, 6, 8, 10, 9, 11, 12, 13, 15, 14], np.uint8)[c]), ("code.table",)),
    Bug("two's complement", "wrong table", "nvfp4", changed(NV, "codes", lambda c: np.where(c & 8, (16 - (c & 7)) & 15, c)
        .astype(np.uint8)), ("code.twos_complement",)),
    Bug("saturates at 4", "P01, 4/6 by half", "nvfp4", changed(NV, "codes", lambda c: np.where((c & 7) == 7, c - 1, c)
        .astype(np.uint8)), ("code.saturates_early",)),
    Bug("wraps beyond 6", "fouroversix's reference", "mxfp4", mx(cast=wrapping), ("code.wraps",), (many_amax, wide)),
    Bug("sign of zero dropped", "§2: FlashInfer's reference", "nvfp4", nv(cast=drop_zero_sign),
        ("code.negative_zero_dropped",)),
    Bug("ModelOpt MXFP4 ties", "P05, mxfp4_tensor.py:45", "mxfp4", mx(cast=toward_zero), ("code.ties_zero",), (ties,)),
    Bug("+0 encoded as 0x8", "§2: ModelOpt MXFP4", "mxfp4", mx(cast=lambda z: np.where(z == 0, 8, e2m1(z)).astype(np.uint8)),
        ("code.negative_zero_added",), (many_amax,)),
    Bug("sign lost", "P29", "nvfp4", changed(NV, "codes", lambda c: c & np.uint8(7)), ("code.sign_lost",)),
    Bug("scales decoded in bf16", "P20, vllm#37464", "nvfp4", with_values(lambda c, s, g: c * bf16(s * g)),
        ("values.rounded_between",), (many_amax, wide)),
    Bug("decoded in two roundings", "P41", "nvfp4", with_values(lambda c, s, g: c * (s * g)),
        ("values.rounded_between",), (many_amax, wide)),
    Bug("divisor as multiplier in decoding", "P24, modular#6600", "nvfp4", with_values(lambda c, s, g: c * s / g),
        ("values.tensor_scale_inverted",), (many_amax, wide)),
    Bug("doubled table", "llama.cpp's table", "nvfp4", with_values(lambda c, s, g: 2 * c * s * g), ("values.doubled",),
        (many_amax,)),
    Bug("tensor scale left out of elements", "P24", "nvfp4", nv(scaled=lambda b, s, g, a: b / np.where(s == 0, F(1),
        s)[..., None]), ("code.no_tensor_scale",), (many_amax,)),
)  # fmt: skip
