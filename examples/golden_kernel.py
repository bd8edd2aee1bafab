"""A kernel for golden packs, in NumPy and without fp4sim: the NVFP4 of spec ``nvfp4``, written from its formulas.

    fp4sim golden make pack --format nvfp4
    fp4sim golden run pack -- python examples/golden_kernel.py
    fp4sim golden run pack --once -- python examples/golden_kernel.py
    fp4sim golden make --stream --format nvfp4 | python examples/golden_kernel.py --stream | fp4sim golden check -

Put a launch of your kernel in place of ``nvfp4`` below.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np

FLT_MAX = np.finfo(np.float32).max
E2M1_BOUNDS = np.array([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0], np.float32)
TIES_GO_UP = np.array([False, True, False, True, False, True, False])  # to the even code
E2M1_BOUNDS = np.where(TIES_GO_UP, np.nextafter(E2M1_BOUNDS, np.float32(0)), E2M1_BOUNDS)


def nvfp4(x: np.ndarray) -> dict[str, np.ndarray]:
    """Codes two a byte, E4M3 scales of 16 elements, and the float32 tensor scale of a float32 matrix."""
    one = np.float32(1)
    padded = np.zeros((x.shape[0], -(-x.shape[1] // 16) * 16), np.float32)
    padded[:, : x.shape[1]] = x
    blocks = padded.reshape(x.shape[0], -1, 16)
    amax = np.abs(blocks).max(axis=2)
    most = amax.max()
    encode = np.fmin(np.float32(2688) / most, FLT_MAX) if most != 0 else one
    encode = one if encode == 0 else encode
    decode = one / encode
    scale = e4m3(np.fmin(amax * (encode * (one / np.float32(6))), FLT_MAX))
    factor = np.fmin(one / (e4m3_value(scale) * decode), FLT_MAX)
    codes = e2m1(blocks * factor[:, :, None]).reshape(padded.shape)
    tensor_scale = most / np.float32(2688) if most != 0 else one
    return {
        "codes": codes[:, 0::2] | codes[:, 1::2] << 4,
        "block_scale": scale,
        "tensor_scale": np.asarray(tensor_scale, np.float32),
    }


def e2m1(x: np.ndarray) -> np.ndarray:
    """Codes of values; the sign of zero is kept, NaN gives 7."""
    above = ~(np.abs(x)[..., None] <= E2M1_BOUNDS)
    sign = np.where(np.isnan(x), 0, np.signbit(x) * 8)
    return (above.sum(axis=-1) + sign).astype(np.uint8)


def e4m3(x: np.ndarray) -> np.ndarray:
    """Codes of non-negative values, nearest even, saturating."""
    _, exponent = np.frexp(x.astype(np.float64))
    quantum = np.maximum(exponent - 1, -6) - 3
    units = np.rint(np.ldexp(np.minimum(x.astype(np.float64), 448.0), -np.maximum(np.minimum(quantum, 5), -9)))
    code = np.where(units < 8, units, units + (np.maximum(np.minimum(quantum, 5), -9) + 9) * 8)
    return np.where(np.isnan(x), 127, code).astype(np.uint8)


def e4m3_value(code: np.ndarray) -> np.ndarray:
    """What codes stand for."""
    exponent, mantissa = code.astype(np.int64) >> 3, code & 7
    value = np.where(exponent == 0, mantissa * 2.0**-9, np.ldexp(8.0 + mantissa, exponent - 10))
    return np.where(code == 127, np.nan, value).astype(np.float32)


def widen(raw: bytes, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Raw little-endian elements as a float32 matrix."""
    if dtype == "bfloat16":
        bits = np.frombuffer(raw, "<u2").astype(np.uint32) << 16
        return bits.view(np.float32).reshape(shape)
    return np.frombuffer(raw, {"float32": "<f4", "float16": "<f2"}[dtype]).astype(np.float32).reshape(shape)


def one_case(x: Path, dtype: str, shape: tuple[int, ...], out: Path) -> None:
    """From a raw file to raw files."""
    for name, array in nvfp4(widen(x.read_bytes(), dtype, shape)).items():
        array.astype(array.dtype.newbyteorder("<")).tofile(out / f"{name}.bin")


def whole_pack(manifest: Path, out: Path) -> None:
    """Every case of a manifest, in one start."""
    for case in json.loads(manifest.read_text())["cases"]:
        x = case["arrays"]["x"]
        one_case(manifest.parent / x["file"], x["dtype"], tuple(x["shape"]), out / case["name"])


def stream() -> None:
    """Pass on what comes in, and add what was computed."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while line := source.readline():
        words = line.decode().split()
        sink.write(line)
        if words[0] == "array":
            axes = int(words[3])
            raw = source.read(int(words[-1]) + 1)
            sink.write(raw)
            if words[1] == "x":
                shape = tuple(map(int, words[4 : 4 + axes]))
                for name, array in nvfp4(widen(raw[:-1], words[2], shape)).items():
                    head = ["array", name, array.dtype.name, array.ndim, *array.shape, array.nbytes]
                    sink.write(" ".join(map(str, head)).encode() + b"\n" + array.tobytes() + b"\n")


def main() -> None:
    """By what fp4sim says in the environment, or as a stream."""
    with np.errstate(all="ignore"):
        if "--stream" in sys.argv:
            stream()
        elif "FP4SIM_X" in os.environ:
            shape = tuple(map(int, os.environ["FP4SIM_SHAPE"].split(",")))
            one_case(Path(os.environ["FP4SIM_X"]), os.environ["FP4SIM_DTYPE"], shape, Path(os.environ["FP4SIM_OUT"]))
        else:
            whole_pack(Path(os.environ["FP4SIM_MANIFEST"]), Path(os.environ["FP4SIM_OUT"]))


if __name__ == "__main__":
    main()
