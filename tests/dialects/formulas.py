"""The libraries' formulas once more, as plain float32 NumPy on one matrix: what the dialects are held to.

Written from the published operation orders and not from fp4sim's modules. ``x`` is float32 (rows, 16 n), every function
returns (scale bytes (rows, n), codes (rows, 16 n)).
"""

import ml_dtypes
import numpy as np

from fp4sim.rcp import hopper_table

f32 = np.float32
SIX, REACH, SIXTH, LARGEST = f32(6), f32(2688), f32(1) / f32(6), np.finfo(np.float32).max
TIES = np.array([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0], f32)


def magnitude(z, ties="even"):
    a = np.abs(z)[..., None]
    up = {"even": np.arange(1, 8) % 2 == 0, "away": True, "zero": False, "positive": ~np.signbit(z)[..., None]}[ties]
    return ((a > TIES) | ((a == TIES) & up)).sum(axis=-1).astype(np.uint8)


def e2m1(z, ties="even", zeros="keep"):
    code = magnitude(z, ties)
    sign = np.signbit(z)
    if zeros == "drop":
        sign = z < 0
    elif zeros == "never":
        sign = sign & (code > 0)
    elif zeros == "set":
        sign = sign | (z == 0)
    return np.where(np.isnan(z), 7, code | (sign * 8)).astype(np.uint8)


def e4m3(s):
    """Bytes and values of a saturating cast."""
    code = np.minimum(s, f32(448)).astype(ml_dtypes.float8_e4m3fn)
    return code.view(np.uint8) & 0x7F, code.astype(f32)  # a NaN's sign depends on the processor


def rcp(x):
    """rcp.approx.ftz, normal results by the table and one step of nextafter."""
    x = np.asarray(x, f32)
    ulps = hopper_table()[x.view(np.uint32) & np.uint32(0x7FFFFF)]
    y = f32(1) / x
    y = np.where(ulps > 0, np.nextafter(y, np.copysign(f32(np.inf), y)), np.where(ulps < 0, np.nextafter(y, f32(0)), y))
    y = np.where(np.abs(x) > f32(2.0**126), np.copysign(f32(0), x), y)
    return np.where(np.abs(x) < f32(2.0**-126), np.copysign(f32(np.inf), x), y).astype(f32)


def ftz(x):
    return np.where(np.abs(x) < f32(2.0**-126), np.copysign(f32(0), x), x).astype(f32)


def blocks(x, size=16):
    return x.reshape(x.shape[0], -1, size)


def amaxes(x, size=16):
    return np.abs(blocks(x, size)).max(axis=-1), np.abs(x).max()


def scaled(x, factor):
    return (blocks(x, x.shape[1] // factor.shape[1]) * factor[..., None]).reshape(x.shape)


def divided(x, factor):
    return (blocks(x, x.shape[1] // factor.shape[1]) / factor[..., None]).reshape(x.shape)


def divisor(A):
    return f32(1) if A == 0 else REACH / A


def te(x, _):
    a, A = amaxes(x)
    s_enc = f32(1) if A == 0 else np.fmin(REACH / A, LARGEST)
    byte, s = e4m3(np.fmin(a * (s_enc * SIXTH), LARGEST))
    return byte, e2m1(scaled(x, np.fmin(f32(1) / (s * (f32(1) / s_enc)), LARGEST)))


def flashinfer_exact(x, dtype):
    byte, codes = te(x, dtype)
    return byte, codes  # a zero block's codes are zeros of their sign either way


def flashinfer_exact_ftz(x, _):
    A = np.abs(x).max()
    s_enc = f32(1) if A == 0 else np.fmin(REACH / A, LARGEST)
    x = ftz(x)
    a, _A = amaxes(x)
    byte, s = e4m3(ftz(a * ftz(s_enc * SIXTH)))
    factor = np.where(a == 0, f32(0), np.fmin(ftz(f32(1) / ftz(s * ftz(f32(1) / s_enc))), LARGEST))
    return byte, e2m1(ftz(scaled(x, factor)))


def torchao(x, _):
    a, A = amaxes(x)
    p = A / REACH
    byte, s = e4m3(np.maximum((a / SIX) / p, f32(2.0**-6)))
    return byte, e2m1(np.clip(scaled(x, (f32(1) / p) / s), -6, 6))


def torchao_onelevel(x, _):
    a, _A = amaxes(x)
    byte, s = e4m3(np.maximum(a / SIX, f32(2.0**-6)))
    return byte, e2m1(np.clip(scaled(x, f32(1) / s), -6, 6))


def vllm_cuda(x, _):
    a, A = amaxes(x)
    g = divisor(A)
    byte, s = e4m3(g * (a * rcp(SIX)))
    return byte, e2m1(scaled(x, np.where(s == 0, f32(0), rcp(s * rcp(g)))))


def vllm_torch(x, _):
    a, A = amaxes(x)
    g = divisor(A)
    byte, s = e4m3(g * (a * SIXTH))
    step = s * (f32(1) / (g if g != 0 else f32(1e8)))
    return byte, e2m1(np.clip(scaled(x, f32(1) / np.where(step == 0, f32(1e8), step)), -6, 6), zeros="drop")


def vllm_triton(x, _):
    a, A = amaxes(x)
    g = divisor(A)
    byte, s = e4m3(g * (a * SIXTH))
    return byte, e2m1(np.clip(scaled(x, np.where(s == 0, f32(0), g / s)), -6, 6), zeros="drop")


def flashinfer(x, _, since=False):
    g = ftz(divisor(np.abs(x).max()))  # the caller's, who flushes nothing
    x = ftz(x)
    a, _A = amaxes(x)
    byte, s = e4m3(ftz(g * ftz(a * rcp(SIX))))
    return byte, e2m1(ftz(scaled(x, np.where((s if since else a) == 0, f32(0), rcp(ftz(s * rcp(g)))))))


def flashinfer_since(x, dtype):
    return flashinfer(x, dtype, since=True)


def modelopt(x, _):
    a, A = amaxes(x)
    p = A / REACH
    wanted = a / (SIX * p)
    byte, s = e4m3(np.maximum(np.where(wanted == 0, f32(1), wanted), f32(2.0**-9)))
    return byte, e2m1(divided(x, s * p), zeros="drop")


def compressed_tensors(x, dtype):
    a, A = amaxes(x)
    g = REACH / np.maximum(A, f32(2.0**-126))
    g = g if np.isfinite(g) else f32(1)
    byte, s = e4m3(g * (a / SIX).astype(dtype).astype(f32))
    byte, s = np.where(byte == 0, 0x20, byte), np.where(byte == 0, f32(0.125), s)
    return byte, e2m1(np.clip(divided(x, s / g), -6, 6), zeros="drop")


def fouroversix(x, _):
    a, A = amaxes(x)
    g = divisor(A)
    byte, s = e4m3((a / SIX) * g)
    return byte, e2m1(scaled(x, np.where(s == 0, f32(0), f32(1) / ((f32(1) / g) * s))))


def cutlass(x, _):
    a, A = amaxes(x)
    n = divisor(A)
    byte, s = e4m3(a * (n * rcp(SIX)))
    return byte, e2m1(scaled(x, np.fmin(n * rcp(s), LARGEST)))


def cublaslt(x, _):
    _a, A = amaxes(x)
    d = (x * divisor(A)).astype(f32)
    a, _A = amaxes(d)
    byte, s = e4m3(a / SIX)
    return byte, e2m1(scaled(d, np.where(s == 0, f32(0), f32(1) / s)))


def quartet2(x, _):
    a, A = amaxes(x)
    t = f32(1) if A == 0 else (A / f32(448)) / SIX
    byte, s = e4m3((a / SIX) / t)
    byte, s = np.where(byte == 0, 0x38, byte), np.where(byte == 0, f32(1), s)
    return byte, e2m1(divided(x, s * t), ties="away")


def ggml_scale(x):
    """llama.cpp's cast to UE4M3, one value at a time: byte."""
    x = min(f32(x), f32(448))
    if not x > 0:
        return 0
    bits = int(x.view(np.uint32))
    exponent, mantissa = (bits >> 23) - 127 + 7, (bits >> 20) & 7
    if exponent <= 0:
        return min(int(x * f32(512) + f32(0.5)), 7)
    if exponent >= 15:
        return 0x7E
    mantissa += (bits >> 19) & 1
    exponent, mantissa = (exponent + 1, 0) if mantissa == 8 else (exponent, mantissa)
    return 0x7E if exponent >= 15 else exponent << 3 | mantissa


def search(x, d):
    """llama.cpp's search over doubled values under halved scales, in float32: the first of the least differences."""
    doubled = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], f32)
    return np.abs(doubled * d[..., None] - x[..., None]).argmin(axis=-1).astype(np.uint8)


def llamacpp(x, _):
    a, _A = amaxes(x)
    byte = np.vectorize(ggml_scale, otypes=[np.uint8])(a / SIX)
    half = byte.view(ml_dtypes.float8_e4m3fn).astype(f32) * f32(0.5)
    return byte, search(x, half.repeat(16, axis=1))


# --- Power-of-two scales over 32: (bytes, codes) ----------------------------------------------------------------------


def power(byte):
    return np.ldexp(f32(1), 127 - byte.astype(np.int32)).astype(f32)


def up(x):
    """Codes of the powers of two at or above x; what is subnormal counts as 2^-127 or 2^-126."""
    significand, exponent = np.frexp(x)
    code = exponent + 126 + (significand > 0.5)
    return np.clip(np.where(x <= f32(2.0**-127), 0, np.where(x <= f32(2.0**-126), 1, code)), 0, 254).astype(np.uint8)


def even(a):
    code = ((a.view(np.uint32).astype(np.int64) + (1 << 21)) >> 23) - 2
    return np.clip(code, 0, 254).astype(np.uint8)


def mx_even_silent(x, _):
    byte = even(amaxes(x, 32)[0])
    return byte, e2m1(scaled(x, np.where(byte == 0, f32(0), power(byte))))


def mx_even_drop(x, _):
    byte = even(amaxes(x, 32)[0])
    return byte, e2m1(scaled(x, power(byte)), zeros="drop")


def mx_flashinfer(x, _):
    x = ftz(x)
    byte = up(ftz(amaxes(x, 32)[0] * rcp(SIX)))
    return byte, e2m1(scaled(x, np.where(byte == 0, f32(1), power(byte))))


def mx_cutedsl(x, _):
    byte = up(amaxes(x, 32)[0] * rcp(SIX))
    return byte, e2m1(scaled(x, np.where(byte == 0, f32(0), power(byte))))


def mx_cutlass(x, _):
    byte = up(amaxes(x, 32)[0] * rcp(SIX))
    return byte, e2m1(scaled(x, power(byte)))


def mx_divided(x, _):
    byte = up(amaxes(x, 32)[0] / SIX)
    return byte, e2m1(scaled(x, power(byte)))


def mx_te(x, _):
    byte = up(amaxes(x, 32)[0] * SIXTH)
    return byte, e2m1(scaled(x, power(byte)))


def mx_modelopt(x, _):
    log = np.log2((amaxes(x, 32)[0] / SIX).astype(np.float64)).astype(f32)
    byte = (np.clip(np.ceil(log), -127, 127) + 127).astype(np.uint8)
    return byte, e2m1(scaled(x, power(byte)), ties="zero", zeros="set")


def mx_qutlass(x, _):
    byte = np.frexp(amaxes(x, 32)[0] + f32(1e-8))[1] + 126
    return byte.astype(np.uint8), e2m1(scaled(x, power(byte)) * f32(3))


def mx_llamacpp(x, _):
    a = amaxes(x, 32)[0]
    log = np.log2(a.astype(np.float64)).astype(f32)
    byte = np.where(a > 0, np.clip(np.floor(log) - 2 + 127, 0, 254), 0).astype(np.uint8)
    half = np.ldexp(f32(1), byte.astype(np.int32) - 128).astype(f32)
    return byte, search(x, half.repeat(32, axis=1))


def mx_msamp(x, dtype):
    a = amaxes(x, 32)[0]
    log = np.log2((SIX / a).astype(dtype).astype(np.float64)).astype(f32).astype(dtype).astype(f32)
    byte = np.where(a > 0, np.clip(127 - np.floor(log), 0, 254), 127).astype(np.uint8)
    return byte, e2m1(scaled(x, power(byte)), ties="positive", zeros="never")


FORMULAS = {
    "nvfp4": te,
    "nvfp4@torchao": torchao,
    "nvfp4@torchao:onelevel": torchao_onelevel,
    "nvfp4@vllm-cuda": vllm_cuda,
    "nvfp4@vllm-torch": vllm_torch,
    "nvfp4@vllm-triton": vllm_triton,
    "nvfp4@flashinfer": flashinfer,
    "nvfp4@flashinfer:v0.7.4": flashinfer_since,
    "nvfp4@flashinfer-exact": flashinfer_exact,
    "nvfp4@flashinfer-exact:ftz": flashinfer_exact_ftz,
    "nvfp4@flashinfer-cutedsl": vllm_cuda,
    "nvfp4@modelopt": modelopt,
    "nvfp4@compressed-tensors": compressed_tensors,
    "nvfp4@fouroversix": fouroversix,
    "nvfp4@qutlass": vllm_cuda,
    "nvfp4@cutlass": cutlass,
    "nvfp4@cublaslt": cublaslt,
    "nvfp4@quartet2": quartet2,
    "nvfp4@llamacpp": llamacpp,
    "mxfp4@rceil": mx_te,
    "mxfp4@flashinfer-exact": mx_te,
    "mxfp4@flashinfer-exact:ftz": mx_cutedsl,
    "mxfp4@vllm-cuda": mx_even_silent,
    "mxfp4@vllm-torch": mx_even_drop,
    "mxfp4@vllm-triton": mx_even_drop,
    "mxfp4@compressed-tensors": mx_even_drop,
    "mxfp4@flashinfer": mx_flashinfer,
    "mxfp4@flashinfer:v0.7.4": mx_cutedsl,
    "mxfp4@flashinfer-cutedsl": mx_cutedsl,
    "mxfp4@cutlass": mx_cutlass,
    "mxfp4@fouroversix": mx_divided,
    "mxfp4@cublaslt": mx_divided,
    "mxfp4@modelopt": mx_modelopt,
    "mxfp4@qutlass": mx_qutlass,
    "mxfp4@llamacpp": mx_llamacpp,
    "mxfp4@ms-amp": mx_msamp,
}
