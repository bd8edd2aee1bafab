"""Checkpoints written byte by byte, and the values in them by the formats' definitions: nothing of fp4sim is used here."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np

E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
MULTIPLIER = np.float32(3e-5)
ROWS, LENGTH = 6, 96  # whole blocks of 16 and of 32


def e4m3(byte):
    byte = int(byte)
    exponent, mantissa = byte >> 3 & 15, byte & 7
    if byte & 0x7F == 0x7F:
        return float("nan")
    magnitude = mantissa / 8 * 2.0**-6 if exponent == 0 else (1 + mantissa / 8) * 2.0 ** (exponent - 7)
    return -magnitude if byte & 0x80 else magnitude


def e8m0(byte):
    byte = int(byte)
    return float("nan") if byte == 255 else 2.0 ** (byte - 127)


def codes(rng, shape):
    """Codes without -0, the largest magnitude among them."""
    drawn = rng.choice([c for c in range(16) if c != 8], shape).astype(np.uint8)
    drawn.reshape(-1)[0] = 7
    return drawn


def pairs(array):
    """Two codes a byte, the even element low."""
    low, high = array[..., 0::2], array[..., 1::2]
    return (low | high << 4).astype(np.uint8)


def scales(rng, shape, kind):
    drawn = rng.integers(0x30, 0x7F, shape) if kind == "e4m3" else rng.integers(118, 125, shape)
    return drawn.astype(np.uint8)


def values(codes, scales, kind, factor=1.0):
    """code * scale * factor in float64, rounded once."""
    block = 16 if kind == "e4m3" else 32
    decoded = np.vectorize(e4m3 if kind == "e4m3" else e8m0)(scales).repeat(block, axis=-1)[..., : codes.shape[-1]]
    return (E2M1[codes] * decoded * np.asarray(factor, np.float64)).astype(np.float32)


def f32(*numbers):
    return np.array(numbers, "<f4").tobytes()


def safetensors(path, tensors):
    """``tensors``: name to (dtype, shape, bytes)."""
    header, data = {}, b""
    for name, (dtype, shape, raw) in tensors.items():
        raw = raw if isinstance(raw, bytes) else np.ascontiguousarray(raw).tobytes()
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    Path(path).write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def bf16(name, shape):
    return {name: ("BF16", shape, np.full(shape, 0x3F80, "<u2"))}


def folder(tmp_path, tensors, config=None, name="model", hf=None):
    """A checkpoint folder: one safetensors file, and its configuration."""
    where = tmp_path / name
    where.mkdir(exist_ok=True)
    safetensors(where / "model.safetensors", tensors)
    for file, document in (("config.json", config), ("hf_quant_config.json", hf)):
        if document is not None:
            (where / file).write_text(json.dumps(document))
    return where


def drawn(seed, kind, shape=(ROWS, LENGTH)):
    """Codes and scales of a weight."""
    rng = np.random.default_rng(seed)
    block = 16 if kind == "e4m3" else 32
    return codes(rng, shape), scales(rng, (*shape[:-1], -(-shape[-1] // block)), kind)


def compressed_tensors(module, seed=1, kind="e4m3", divisor=40000.0, shape=(ROWS, LENGTH)):
    """Tensors of one module, and its values."""
    c, s = drawn(seed, kind, shape)
    tensors = {f"{module}.weight_packed": ("U8", (shape[0], shape[1] // 2), pairs(c))}
    tensors[f"{module}.weight_scale"] = ("F8_E4M3" if kind == "e4m3" else "U8", s.shape, s)
    if kind == "e8m0":
        return tensors, values(c, s, kind)
    tensors[f"{module}.weight_global_scale"] = ("F32", (1,), f32(divisor))
    return tensors, values(c, s, kind, 1 / np.float64(divisor))


def modelopt(module, seed=1, kind="e4m3", multiplier=MULTIPLIER, shape=(ROWS, LENGTH)):
    c, s = drawn(seed, kind, shape)
    tensors = {f"{module}.weight": ("U8", (shape[0], shape[1] // 2), pairs(c))}
    tensors[f"{module}.weight_scale"] = ("F8_E4M3" if kind == "e4m3" else "U8", s.shape, s)
    if kind == "e8m0":
        return tensors, values(c, s, kind)
    tensors[f"{module}.weight_scale_2"] = ("F32", (), f32(multiplier))
    tensors[f"{module}.input_scale"] = ("F32", (), f32(0.001))
    return tensors, values(c, s, kind, multiplier)


def gpt_oss(name, seed=1, experts=2, mark="_"):
    c, s = drawn(seed, "e8m0", (experts, ROWS, LENGTH))
    blocks = pairs(c).reshape(experts, ROWS, LENGTH // 32, 16)
    tensors = {f"{name}{mark}blocks": ("U8", blocks.shape, blocks), f"{name}{mark}scales": ("U8", s.shape, s)}
    return tensors, values(c, s, "e8m0")


def native(name, seed=1, kind="e8m0", dtype="F4"):
    c, s = drawn(seed, kind)
    shape = (ROWS, LENGTH) if dtype == "F4" else (ROWS, LENGTH // 2)
    typed = "F8_E8M0" if kind == "e8m0" else "F8_E4M3"
    return {f"{name}.weight": (dtype, shape, pairs(c)), f"{name}.scale": (typed, s.shape, s)}, values(c, s, kind)


CT_CONFIG = {
    "model_type": "llama",
    "quantization_config": {
        "quant_method": "compressed-tensors",
        "format": "nvfp4-pack-quantized",
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 4, "group_size": 16}}},
        "ignore": ["lm_head"],
    },
}
HF_CONFIG = {
    "producer": {"name": "modelopt", "version": "0.41.0"},
    "quantization": {
        "quant_algo": "NVFP4",
        "kv_cache_quant_algo": None,
        "group_size": 16,
        "exclude_modules": ["lm_head"],
    },
}


def string(text):
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def gguf_mxfp4(c, s):
    """Byte 0 the scale, byte 1 + j elements j and j + 16."""
    out = b""
    for row, row_scales in zip(c.reshape(-1, c.shape[-1]), s.reshape(-1, s.shape[-1]), strict=True):
        for i, scale in enumerate(row_scales):
            block = row[32 * i : 32 * i + 32]
            out += bytes([int(scale)]) + bytes(int(block[j]) | int(block[j + 16]) << 4 for j in range(16))
    return out


def gguf_nvfp4(c, s):
    """Four scales, then for each 16 elements bytes of elements j and j + 8."""
    out = b""
    for row, row_scales in zip(c.reshape(-1, c.shape[-1]), s.reshape(-1, s.shape[-1]), strict=True):
        for i in range(0, len(row_scales), 4):
            out += bytes(int(scale) for scale in row_scales[i : i + 4])
            for k in range(i, i + 4):
                block = row[16 * k : 16 * k + 16]
                out += bytes(int(block[j]) | int(block[j + 8]) << 4 for j in range(8))
    return out


def gguf(tensors, *, version=3, alignment=32, extra=b"", pairs_of_metadata=2):
    """``tensors``: name to (ggml_type, shape in row-major order, bytes)."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), pairs_of_metadata)
    head += string("general.alignment") + struct.pack("<II", 4, alignment)
    head += string("tokens") + struct.pack("<IIQ", 9, 8, 2) + string("a") + string("bc") + extra
    data = b""
    for name, (kind, shape, raw) in tensors.items():
        data += b"\0" * (-len(data) % alignment)
        axes = shape[::-1]
        head += string(name) + struct.pack(f"<I{len(axes)}QIQ", len(axes), *axes, kind, len(data))
        data += raw
    return head + b"\0" * (-len(head) % alignment) + data


def gguf_tensors():
    """One tensor of each kind, and the values of those that are decoded."""
    c, s = drawn(1, "e8m0", (ROWS, 64))
    d, t = drawn(2, "e4m3", (2, ROWS, 128))
    tensors = {
        "blk.0.ffn_up.weight": (39, (ROWS, 64), gguf_mxfp4(c, s)),
        "blk.0.ffn_down_exps.weight": (40, (2, ROWS, 128), gguf_nvfp4(d, t)),
        "blk.0.ffn_down_exps.scale": (0, (2,), f32(1e-4, 3e-4)),
        "blk.0.attn_norm.weight": (0, (64,), f32(*range(64))),
        "output.weight": (12, (2, 256), bytes(288)),
    }
    factors = np.array([1e-4, 3e-4], np.float32).astype(np.float64)[:, None, None]
    expected = {
        "blk.0.ffn_up.weight": values(c, s, "e8m0"),
        "blk.0.ffn_down_exps.weight": values(d, t, "e4m3", factors),
    }
    return tensors, expected
