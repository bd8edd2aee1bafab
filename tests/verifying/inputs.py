"""Inputs that tell kernels apart: bf16, many maxima, ties, zeros of both signs."""

from __future__ import annotations

import ml_dtypes
import numpy as np


def many_amax(seed: int, shape: tuple[int, int] = (128, 256)) -> np.ndarray:
    """bf16 Gaussian data whose blocks have scales of their own, with a zero block and zeros of both signs."""
    rng = np.random.default_rng(seed)
    rows, cols = shape
    spread = np.exp2(rng.uniform(-3, 3, (rows, cols // 16))).repeat(16, axis=1)
    x = (rng.standard_normal(shape) * spread * rng.uniform(0.01, 50)).astype(np.float32)
    x[2, 16:48] = 0
    x[7, :16] = -0.0
    x[9, 3::16], x[9, 5::16] = 0.0, -0.0
    x[11] *= -1e-3
    return x.astype(ml_dtypes.bfloat16)


def ties(seed: int, shape: tuple[int, int] = (128, 256)) -> np.ndarray:
    """bf16 multiples of quarter steps: after a power-of-two scale, every second element is a tie."""
    rng = np.random.default_rng(seed)
    grid = np.array([0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 5, 6], np.float32)
    x = rng.choice(grid, shape) * rng.choice([-1, 1], shape)
    x[:, ::16] = 6  # amax of every block, so that scales are powers of two
    x *= np.exp2(rng.integers(-3, 4, (shape[0], shape[1] // 32))).repeat(32, axis=1)
    x[0, 0] = 6 * 448 / 64
    return x.astype(ml_dtypes.bfloat16)


def wide(seed: int, shape: tuple[int, int] = (128, 256)) -> np.ndarray:
    """float32 of full precision over twenty binades: scales underflow, some to zero."""
    rng = np.random.default_rng(seed)
    spread = np.exp2(rng.uniform(-22, 2, (shape[0], shape[1] // 16))).repeat(16, axis=1)
    return (rng.standard_normal(shape) * spread).astype(np.float32)


def with_rows(x: np.ndarray, rows: int) -> np.ndarray:
    """The first rows alone."""
    return np.ascontiguousarray(x[:rows])
