"""What the tests that need a GPU share."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

import fp4sim


def adversarial(rows: int, cols: int, dtype: Any = ml_dtypes.bfloat16, seed: int = 0) -> np.ndarray:
    """Gaussian rows, then rows of wide exponents, of ties, of zeros of both signs, sparse ones and subnormals."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, cols), np.float32)
    part = max(rows // 8, 1)
    low = -24 if dtype == np.float16 else -140
    x[part : 2 * part] *= np.exp2(rng.integers(low, 10, (*x[part : 2 * part].shape[:1], 1))).astype(np.float32)
    x[2 * part : 3 * part] *= np.exp2(rng.integers(-30, 4, x[2 * part : 3 * part].shape)).astype(np.float32)
    x[3 * part : 4 * part] = rng.integers(-48, 49, x[3 * part : 4 * part].shape) / np.float32(8)
    x[4 * part : 5 * part] *= rng.random(x[4 * part : 5 * part].shape) < 0.03
    x[5 * part : 5 * part + 2] = rng.choice([0.0, -0.0], x[5 * part : 5 * part + 2].shape)
    with np.errstate(over="ignore"):
        narrow = x.astype(dtype)
    return np.where(np.isfinite(narrow.astype(np.float32)), narrow, dtype(1.0)).astype(dtype)


def to_gpu(cupy: Any, x: np.ndarray) -> Any:
    """A CuPy array; bfloat16 by its bits, which CuPy 14 takes under ml_dtypes' dtype."""
    if x.dtype.name != "bfloat16":
        return cupy.asarray(x)
    return cupy.asarray(x.view(np.uint16)).view(x.dtype)


def assert_same(device: fp4sim.PackedTensor, host: fp4sim.PackedTensor) -> None:
    """Every byte of codes and scales."""
    moved = device.to_host()
    for name in ("packed", "block_scale", "tensor_scale"):
        left, right = getattr(moved, name), getattr(host, name)
        assert (left.dtype, left.shape) == (right.dtype, right.shape), name
        differ = np.flatnonzero(left.reshape(-1).view(np.uint8) != right.reshape(-1).view(np.uint8))
        assert differ.size == 0, f"{name}: {differ.size} bytes differ, the first at {differ[0]}"


def bytes_of(values: Any) -> bytes:
    """The bytes of a CuPy or NumPy array."""
    return (values if isinstance(values, np.ndarray) else values.get()).tobytes()
