"""Data that estimators are tested on: every kind that has broken one, float32, by name."""

from __future__ import annotations

import ml_dtypes
import numpy as np

KINDS = ("normal", "ties", "sparse", "tiny", "subnormal", "huge", "zeroblock", "zero", "spread")


def data(kind: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """An array of one kind: tied bfloat16, 98 % zeros, up to 1e36, down to 1e-38 and to subnormals, zero blocks …"""
    rng = np.random.default_rng([seed, *shape])
    x = rng.standard_normal(shape).astype(np.float32)
    if kind == "ties":
        x = (rng.integers(-48, 49, shape) / 8).astype(ml_dtypes.bfloat16).astype(np.float32)
    elif kind == "sparse":
        x[rng.random(shape) < 0.98] = 0
    elif kind == "tiny":
        x *= np.float32(1e-38)
    elif kind == "subnormal":
        x = (rng.integers(-9, 10, shape) * 2.0**-149).astype(np.float32)
    elif kind == "huge":
        x *= np.float32(1e36)
    elif kind == "zeroblock":
        x[..., : shape[-1] // 2] = 0
        x[: shape[0] // 2] = 0
    elif kind == "zero":
        x = np.where(x < 0, np.float32(-0.0), np.float32(0))
    elif kind == "spread":
        x *= np.exp2(rng.integers(-40, 41, shape)).astype(np.float32)
    return x
