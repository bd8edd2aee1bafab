"""A quantization kernel in plain NumPy, written apart from fp4sim, whose every step a planted bug may replace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import ml_dtypes
import numpy as np

F = np.float32
GRID = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])
FLT_MAX = np.finfo(np.float32).max


def e4m3(v: np.ndarray) -> np.ndarray:
    """Nearest even, saturating."""
    return np.minimum(v, F(448)).astype(ml_dtypes.float8_e4m3fn).view(np.uint8)


def e4m3_value(codes: np.ndarray) -> np.ndarray:
    return codes.view(ml_dtypes.float8_e4m3fn).astype(np.float32)


def e2m1(z: np.ndarray) -> np.ndarray:
    """Nearest even, saturating, sign of zero kept."""
    return np.clip(z, -6, 6).astype(ml_dtypes.float4_e2m1fn).view(np.uint8)


def with_sign(magnitude: np.ndarray, z: np.ndarray) -> np.ndarray:
    return (magnitude | np.signbit(z).astype(np.uint8) << 3).astype(np.uint8)


def below(z: np.ndarray) -> np.ndarray:
    """The magnitude code at or below |z|."""
    return np.minimum(np.searchsorted(GRID, np.abs(z), side="right") - 1, 7).astype(np.uint8)


def pack(codes: np.ndarray) -> np.ndarray:
    return codes[..., 0::2] | codes[..., 1::2] << 4


@dataclass(frozen=True)
class Kernel:
    """NVFP4 as Transformer Engine computes it; a bug replaces a step. Blocks are (rows, blocks, width)."""

    width: int = 16
    amax: Callable = lambda b: np.abs(b).max(axis=-1)
    encode: Callable = lambda top: F(F(448 * 6) / top)
    stored: Callable = lambda top: F(top / F(448 * 6))
    quantity: Callable = lambda amax, encode: amax * (encode * F(1 / 6))
    scale: Callable = e4m3
    scale_value: Callable = e4m3_value
    scaled: Callable = lambda b, s, encode, amax: b * np.minimum(F(1) / (s * (F(1) / encode)), FLT_MAX)[..., None]
    cast: Callable = e2m1

    def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
        with np.errstate(all="ignore"):
            wide = x.astype(np.float32)
            blocks = wide.reshape(wide.shape[0], -1, self.width)
            top = np.abs(wide).max()
            encode, amax = self.encode(top), self.amax(blocks)
            scales = self.scale(self.quantity(amax, encode))
            codes = self.cast(self.scaled(blocks, self.scale_value(scales), encode, amax))
        return {
            "x": x,
            "codes": codes.reshape(wide.shape).astype(np.uint8),
            "scales": scales,
            "tensor_scale": self.stored(top),
        }


def e8m0_value(codes: np.ndarray) -> np.ndarray:
    return np.ldexp(F(1), codes.astype(np.int32) - 127)


def floor_rule(amax: np.ndarray, _: np.ndarray) -> np.ndarray:
    return np.clip((amax.view(np.int32) >> 23) - 2, 0, 254).astype(np.uint8)


MX = Kernel(
    width=32,
    encode=lambda top: F(1),
    stored=lambda top: F(1),
    quantity=floor_rule,
    scale=lambda codes: codes,
    scale_value=e8m0_value,
    scaled=lambda b, s, encode, amax: b * (F(1) / s)[..., None],
)
NV = Kernel()
