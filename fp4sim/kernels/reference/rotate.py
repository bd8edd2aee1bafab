"""The normalized Walsh-Hadamard transform of row groups, in a stated order of float32 operations.

y = fl(c (s * x) H) with H the Sylvester matrix of order n = 2^k, s signs, c = fl(2^(-k/2)). The sums are the butterfly
whose stages join neighbours at distance 1, 2, 4, ... n/2: (a, b) becomes (fl(a + b), fl(a - b)). The inverse is the
transpose: the butterfly first, then c, then the signs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


Scalar = TypeVar("Scalar", np.float32, np.float64)


def normalizer(size: int) -> np.float32:
    """c = fl(size^(-1/2))."""
    return np.float32(size**-0.5)


def rotate(x: NDArray[np.float32], signs: NDArray[np.float32], *, inverse: bool = False) -> NDArray[np.float32]:
    """Rotate each group of ``signs.size`` columns of x (rows, cols); cols are whole groups. Returns a new array."""
    groups = x.reshape(-1, signs.size)
    with np.errstate(over="ignore", invalid="ignore"):
        mixed = butterfly(groups if inverse else groups * signs) * normalizer(signs.size)
        return np.ascontiguousarray(mixed * signs if inverse else mixed).reshape(x.shape)


def butterfly(groups: NDArray[Scalar]) -> NDArray[Scalar]:
    """The sums alone, of groups (n, size), in the precision of what is given."""
    size = groups.shape[-1]
    distance = 1
    while distance < size:
        pairs = groups.reshape(-1, size // (2 * distance), 2, distance)
        low, high = pairs[:, :, 0], pairs[:, :, 1]
        groups = np.stack([low + high, low - high], axis=2).reshape(-1, size)
        distance *= 2
    return groups
