"""Which of two encodings of a block has less error, in one of three orders of float32 operations.

With q a code's value and s the block scale, the difference d of an element is

* ``exact``    fl(fl(fl(fl(q s) A) / R) - x), A the amax of the tensor-scale group and R what it is mapped to
* ``scaled``   fl(fl(q s) - fl(x S)), S the group's encode factor: in units of the block scale
* ``product``  fl(x - fl(q fl(s t))), t the group's decode factor

(Transformer Engine d0067d0, exact and fast mode; Quartet II.) A row's error is the sum, in order of columns and in float32, of
fl(d d) (mse) or |d| (mae), or the largest |d| (absmax); the rows of a tile are joined by halving (row i with i + 8, 4, 2, 1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.kernels.reference.blocks import expand
from fp4sim.kernels.reference.encode import decode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.floats import FloatFormat
    from fp4sim.kernels.interface import Criterion


def choose(
    x: NDArray[np.float32],
    codes: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    scales: tuple[NDArray[np.float32], NDArray[np.float32]],
    group: tuple[NDArray[np.float32], np.float32],
    tile: tuple[int, int],
    fmt: FloatFormat,
    criterion: Criterion,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """See :meth:`fp4sim.kernels.interface.Kernels.choose`."""
    factor = np.broadcast_to(group[0], scales[0].shape)
    with np.errstate(all="ignore"):
        first, second = (
            _block_error(x, one, scale, (factor, group[1]), tile, fmt, criterion)
            for one, scale in zip(codes, scales, strict=True)
        )
        other = second < first
    return np.where(expand(other, tile), codes[1], codes[0]), other


def _block_error(
    x: NDArray[np.float32],
    codes: NDArray[np.uint8],
    scale: NDArray[np.float32],
    group: tuple[NDArray[np.float32], np.float32],
    tile: tuple[int, int],
    fmt: FloatFormat,
    criterion: Criterion,
) -> NDArray[np.float32]:
    (rows, cols), metric = tile, criterion.metric
    value, factor = decode(codes, fmt).astype(np.float32), expand(group[0], tile)
    if criterion.order == "exact":
        difference = value * expand(scale, tile) * factor / group[1] - x
    elif criterion.order == "scaled":
        difference = value * expand(scale, tile) - x * factor
    else:
        difference = x - value * expand(scale * group[0], tile)
    error = np.abs(difference).reshape(x.shape[0], -1, cols)
    if metric == "absmax":
        by_row = error.max(axis=-1)
    else:
        terms = error * error if metric == "mse" else error
        by_row = np.zeros(error.shape[:2], np.float32)
        for column in range(cols):
            by_row = by_row + terms[:, :, column]
    tiles = by_row.reshape(-1, rows, by_row.shape[1])
    return _join(tiles, metric)


def _join(tiles: NDArray[np.float32], metric: str) -> NDArray[np.float32]:
    rows = 1 << (tiles.shape[1] - 1).bit_length()
    padded = np.zeros((tiles.shape[0], rows, tiles.shape[2]), np.float32)
    padded[:, : tiles.shape[1]] = tiles
    while rows > 1:
        rows //= 2
        low, high = padded[:, :rows], padded[:, rows : 2 * rows]
        padded = np.maximum(low, high) if metric == "absmax" else low + high
    return padded[:, 0]
