"""Inputs that tell arithmetics apart: bf16 values with many block maxima, exact ties, zeros of both signs, small blocks."""

import ml_dtypes
import numpy as np
from hypothesis import strategies as st

TIES = np.array([0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 5, 6])


def matrix(seed, kind="normal", scale=0, dtype=ml_dtypes.bfloat16, rows=8, cols=128):
    """(rows, cols) of dtype, times 2^scale."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, cols))
    if kind == "ties":  # blocks on the grid of codes under any scale of 4 significant bits
        x = rng.choice(TIES, (rows, cols)) * rng.integers(8, 16, (rows, cols // 16)).repeat(16, axis=1)
        x *= rng.choice([-1, 1], x.shape)
    elif kind == "spread":
        x *= 2.0 ** rng.integers(-24, 1, (rows, cols // 16)).repeat(16, axis=1)
    elif kind == "zeros":
        x *= rng.integers(0, 2, (rows, cols // 16)).repeat(16, axis=1) * rng.choice([0.0, 1.0, -0.0], x.shape)
    with np.errstate(over="ignore"):
        x = np.ldexp(x, scale).astype(dtype)
    return np.where(np.isfinite(x.astype(np.float32)), x, dtype(1))


def matrices(dtypes=(ml_dtypes.bfloat16, np.float32, np.float16)):
    """A strategy for such matrices."""
    kinds = st.sampled_from(["normal", "ties", "spread", "zeros"])
    scales = st.one_of(st.integers(-8, 8), st.sampled_from([-140, -130, -120, -100, 100, 120]))
    return st.builds(matrix, st.integers(0, 2**32), kinds, scales, st.sampled_from(dtypes))


def sweep(count=300):
    """The bf16 sweep, count tensors of 16 x 256 of random amax, every eighth with ties, small or zero blocks."""
    kinds = ["normal"] * 5 + ["ties", "spread", "zeros"]
    scales = np.random.default_rng(5).integers(-6, 7, count)
    return [matrix(i, kinds[i % 8], int(scales[i]), rows=16, cols=256) for i in range(count)]
