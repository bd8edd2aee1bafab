"""The Walsh-Hadamard transform, compiled: the butterfly in constant geometry, so that every stage is full vectors.

A stage that takes neighbours (2j, 2j+1) to (j, j + n/2) joins at stage i what the usual butterfly joins at distance 2^i,
and ends in the natural order: the same sums in the same order as the reference, without a gather.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.kernels.cpu.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray


def rotate(x: NDArray[np.float32], signs: NDArray[np.float32], *, inverse: bool = False) -> NDArray[np.float32]:
    """See :meth:`fp4sim.kernels.interface.Kernels.rotate`."""
    out = np.empty(x.shape, np.float32)
    _kernel(signs.size)(x.reshape(-1), signs, inverse, out.reshape(-1))
    return out


@lru_cache(maxsize=16)
def _kernel(size: int) -> Any:
    """The kernel of one size, its loops of constant length."""
    half, stages = size // 2, size.bit_length() - 1
    normalizer = np.float32(size**-0.5)

    @kernel
    def rotate_groups(x: Any, signs: Any, inverse: Any, out: Any) -> None:
        first, second = np.empty(size, np.float32), np.empty(size, np.float32)
        for group in range(x.size // size):
            source, target = x[group * size : (group + 1) * size], out[group * size : (group + 1) * size]
            if inverse:
                for j in range(size):
                    first[j] = source[j]
            else:
                for j in range(size):
                    first[j] = source[j] * signs[j]
            for stage in range(stages):
                a, b = (first, second) if stage % 2 == 0 else (second, first)
                for j in range(half):
                    low, high = a[2 * j], a[2 * j + 1]
                    b[j] = low + high
                    b[half + j] = low - high
            done = first if stages % 2 == 0 else second
            if inverse:
                for j in range(size):
                    target[j] = (done[j] * normalizer) * signs[j]
            else:
                for j in range(size):
                    target[j] = done[j] * normalizer

    return rotate_groups
