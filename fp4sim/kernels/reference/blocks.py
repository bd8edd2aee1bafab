"""Block maxima, nibble packing and the error sums, as plain array expressions."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from fp4sim.kernels.reference.encode import decode as decode_codes
from fp4sim.stats.sums import LANES, PanelSums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.kernels.interface import ElementCast

UNIT = 2 * LANES

Scalar = TypeVar("Scalar", bound=np.generic)


def block_amax(
    x: NDArray[np.float32], tile: tuple[int, int], out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """max |x| of each (rows, cols) tile; NaN if it holds one."""
    rows, cols = tile
    tiles = np.abs(x).reshape(x.shape[0] // rows, rows, x.shape[1] // cols, cols)
    return np.asarray(tiles.max(axis=(1, 3), out=out))


def expand(per_block: NDArray[Scalar], tile: tuple[int, int]) -> NDArray[Scalar]:
    """One value a block to one a element."""
    return per_block.repeat(tile[0], axis=0).repeat(tile[1], axis=1)


def pack(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Two nibbles a byte along the last axis, the even element low."""
    return codes[..., 0::2] | codes[..., 1::2] << np.uint8(4)


def unpack(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The inverse of :func:`pack`."""
    return np.stack([packed & np.uint8(15), packed >> np.uint8(4)], axis=-1).reshape(
        *packed.shape[:-1], 2 * packed.shape[-1]
    )


def error_sums(
    x: NDArray[np.float32],
    codes: NDArray[np.unsignedinteger],
    factor: NDArray[np.float32],
    decode: NDArray[np.float64],
    amax: NDArray[np.float32],
    tile: tuple[int, int],
    cast: ElementCast,
    valid: tuple[int, int],
    cell_rows: int,
) -> list[PanelSums]:
    """See :meth:`fp4sim.kernels.interface.Kernels.error_sums`."""
    with np.errstate(all="ignore"):
        values = decode_codes(codes, cast.fmt) * expand(decode, tile)
    return error_sums_of(values, x, codes, factor, decode, amax, tile, cast, valid, cell_rows)


def error_sums_of(
    values: NDArray[np.float64],
    x: NDArray[np.float32],
    codes: NDArray[np.unsignedinteger],
    factor: NDArray[np.float32],
    decode: NDArray[np.float64],
    amax: NDArray[np.float32],
    tile: tuple[int, int],
    cast: ElementCast,
    valid: tuple[int, int],
    cell_rows: int,
) -> list[PanelSums]:
    """The same for codes that decode to ``values``, float64 of the panel's shape."""
    parts = []
    for start in range(0, valid[0], cell_rows):
        rows = min(cell_rows, valid[0] - start)
        padded = -(-rows // tile[0]) * tile[0] if tile[0] <= cell_rows else rows
        panel, blocks = slice(start, start + padded), slice(start // tile[0], -(-(start + padded) // tile[0]))
        per_block = (factor[blocks], decode[blocks], amax[blocks])
        size = (min(tile[0], padded), tile[1])
        panels = (values[panel], x[panel], codes[panel])
        parts.append(_cell_sums(*panels, *per_block, size, cast, (rows, valid[1])))
    return parts


def _cell_sums(
    values: NDArray[np.float64],
    x: NDArray[np.float32],
    codes: NDArray[np.uint8],
    factor: NDArray[np.float32],
    decode: NDArray[np.float64],
    amax: NDArray[np.float32],
    tile: tuple[int, int],
    cast: ElementCast,
    valid: tuple[int, int],
) -> PanelSums:
    """The sums of one cell."""
    rows, cols = valid
    inside = (slice(0, rows), slice(0, cols))
    with np.errstate(all="ignore"):
        scaled = np.abs(x / expand(factor, tile) if cast.divides else x * expand(factor, tile))[inside]
        step = expand(decode, tile)[inside]
        exact = x[inside].astype(np.float64)
        value = values[inside]
        error = value - exact
        lost = step == 0
        # MX+'s maxima and compensated outliers lie beyond the grid and are not clipped to it.
        over = ~lost & (scaled > np.float32(cast.fmt.max)) & ~(np.abs(value) > cast.fmt.max * step)
        flushed = ~lost & ~over & (value == 0)
        squared = error * error
        terms = (exact * exact, exact * value, value * value, error, squared)
        causes = (np.where(cause, squared, 0.0) for cause in (lost, over, flushed))
        sums = np.stack([_lanes(term) for term in (*terms, *causes)])
        per_amax = np.where(amax > 0, 1.0 / amax.astype(np.float64), 0.0)
        ratio = np.abs(error) * expand(per_amax, tile)[inside]
    nonzero = exact != 0
    counts = np.array([[(cause & nonzero).sum()] for cause in (lost, over, flushed)])
    ratio = np.where(np.isnan(ratio), -1.0, ratio)
    flat = int(ratio.argmax())
    worst = float(ratio.flat[flat])
    index = flat // cols * x.shape[1] + flat % cols if worst >= 0 else -1
    narrow = cast.fmt.bits <= 8
    occupancy = np.bincount(codes[inside].ravel(), minlength=1 << cast.fmt.bits) if narrow else np.zeros(0, np.int64)
    return PanelSums.from_lanes(rows * cols, sums, counts, occupancy, worst, index)


def _lanes(term: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sixteen running sums over units of 32 columns: columns j and j + 16 are added first, then unit after unit."""
    padded = np.zeros((term.shape[0], -(-term.shape[1] // UNIT) * UNIT))
    padded[:, : term.shape[1]] = term
    halves = padded.reshape(-1, 2, LANES)
    pairs = halves[:, 0] + halves[:, 1]
    return np.asarray(np.cumsum(np.concatenate([np.zeros((1, LANES)), pairs]), axis=0)[-1])
