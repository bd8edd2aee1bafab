"""Nibble packing, compiled."""

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
