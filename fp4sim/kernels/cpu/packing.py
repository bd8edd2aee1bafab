"""Nibble packing and byte counts, compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.kernels.cpu.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray


def pack(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Two nibbles a byte along the last axis (even length), the even element low."""
    pairs = np.ascontiguousarray(codes).reshape(-1)
    out = np.empty(pairs.size // 2, np.uint8)
    _pack(pairs, out)
    return out.reshape(*codes.shape[:-1], codes.shape[-1] // 2)


@kernel
def _pack(codes: Any, out: Any) -> None:
    for i in range(out.size):
        out[i] = codes[2 * i] | (codes[2 * i + 1] << np.uint8(4))


def histogram(codes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How often each byte occurs (NumPy's bincount first widens every byte to eight, and holds the GIL)."""
    counts = np.zeros((4, 256), np.int64)
    _count(np.ascontiguousarray(codes).reshape(-1), counts)
    return np.asarray(counts.sum(axis=0))


@kernel
def _count(codes: Any, counts: Any) -> None:
    for i in range(codes.size):  # four tables, so that equal neighbours do not wait for each other
        counts[i & 3, codes[i]] += 1
