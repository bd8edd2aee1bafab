"""The error pass on the GPU (cuda/stats.cu): float64 sums of parts of 2048 elements, merged by halving, whatever the grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.kernels.cuda import load
from fp4sim.kernels.cuda.arrays import empty, on_device, on_host, zeros
from fp4sim.kernels.cuda.products import float_values
from fp4sim.kernels.reference import blocks
from fp4sim.stats.sums import PanelSums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.kernels.interface import ElementCast

SOURCE = "stats.cu"
PART = 2048  # elements of a thread block
BINS = 256


def error_sums(
    x: Any,
    codes: Any,
    factor: NDArray[np.float32],
    decode: NDArray[np.float64],
    amax: NDArray[np.float32],
    tile: tuple[int, int],
    cast: ElementCast,
    valid: tuple[int, int],
    cell_rows: int,
) -> list[PanelSums]:
    """See :meth:`fp4sim.kernels.interface.Kernels.error_sums`; sums agree with the CPU's to 1e-12, all else exactly."""
    shape = -(-x.shape[0] // tile[0]), -(-x.shape[1] // tile[1])
    factors, decodes, maxima = (np.ascontiguousarray(np.broadcast_to(part, shape)) for part in (factor, decode, amax))
    if cast.fmt.bits > 8 or isinstance(x, np.ndarray) or not np.isfinite(maxima).all():
        host = on_host(x), on_host(codes)
        return blocks.error_sums(*host, factors, decodes, maxima, tile, cast, valid, cell_rows)
    rows, cols = valid
    cells, parts = -(-rows // cell_rows), -(-min(cell_rows, rows) * cols // PART)
    sums, worst = empty((cells * parts, 8), np.float64), empty((cells * parts,), np.float64)
    where = empty((cells * parts,), np.int64)
    counts, occupancy = zeros((cells, 3), np.uint32), zeros((cells, BINS), np.uint32)
    head = (x, codes, *map(on_device, (factors, decodes, maxima)), on_device(float_values(cast.fmt)))
    limits = (int(cast.divides), int(np.float32(cast.fmt.max).view(np.uint32)), parts)
    args = (*head, x.shape[1], *tile, rows, cols, cell_rows, *limits, sums, counts, worst, where, occupancy)
    load.launch(load.kernel(SOURCE, "error_sums"), cells * parts * load.THREADS, args)
    found = (
        on_host(sums).reshape(cells, parts, 8),
        on_host(worst).reshape(cells, parts),
        on_host(where).reshape(cells, parts),
    )
    by_cell = on_host(counts).astype(np.int64), on_host(occupancy)[:, : 1 << cast.fmt.bits].astype(np.int64)
    result = []
    for cell in range(cells):
        size = min(cell_rows, rows - cell * cell_rows)
        first = int(found[1][cell].argmax())
        most = float(found[1][cell][first])
        index = int(found[2][cell][first]) if most >= 0 else -1
        total = merge_parts(found[0][cell])
        result.append(PanelSums(size * cols, total, by_cell[0][cell], by_cell[1][cell], most, index))
    return result


def merge_parts(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of the first axis by halving, of rows filled up with zeros to a power of two."""
    size = 1 << (parts.shape[0] - 1).bit_length()
    merged = np.zeros((size, *parts.shape[1:]))
    merged[: parts.shape[0]] = parts
    while merged.shape[0] > 1:
        half = merged.shape[0] // 2
        merged = merged[:half] + merged[half:]
    return np.asarray(merged[0])
