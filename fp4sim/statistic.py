"""Stage 1: the block statistic. One pass gives every block's amax, and from it what is wider than a cell."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.panels import Nonfinite, nonfinite_error
from fp4sim.parallel import run_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fp4sim.geometry import Cell, Geometry
    from fp4sim.kernels.interface import Kernels
    from fp4sim.panels import Panels


@dataclass(frozen=True)
class Statistic:
    """What stage 1 found.

    ``amax``: of the tensor. ``row_amax``: (rows,), empty where blocks span rows. ``nonfinite``: how many elements are not
    finite. ``maxima``: every block's amax in ``geometry``'s block matrix, kept for tensors in memory, else None.
    """

    amax: np.float32
    row_amax: NDArray[np.float32]
    nonfinite: int
    geometry: Geometry
    maxima: NDArray[np.float32] | None = None

    def block_amax(self, geometry: Geometry, cell: Cell) -> NDArray[np.float32] | None:
        """The block maxima of a cell, if this statistic kept them for this geometry."""
        if self.maxima is None or geometry != self.geometry:
            return None
        return np.ascontiguousarray(self.maxima[geometry.blocks_of(cell)])


_chosen: list[Kernels] = []  # of the whole process: work is done in threads


def default_kernels() -> Kernels:
    """The compiled CPU backend; the reference, same bits and slow, where numba is not installed and :func:`by_definition`."""
    return _chosen[-1] if _chosen else _fastest()


@contextmanager
def by_definition() -> Iterator[None]:
    """Inside, the host works by the reference: for little data that is sooner done than compiling."""
    from fp4sim.kernels.reference.kernels import ReferenceKernels

    _chosen.append(ReferenceKernels)
    try:
        yield
    finally:
        _chosen.pop()


@lru_cache(maxsize=1)
def _fastest() -> Kernels:
    try:
        from fp4sim.kernels.cpu.kernels import CpuKernels
    except ImportError:
        from fp4sim.kernels.reference.kernels import ReferenceKernels

        return ReferenceKernels
    return CpuKernels


def measure(
    panels: Panels, geometry: Geometry, nonfinite: Nonfinite, threads: int, kernels: Kernels | None = None
) -> Statistic:
    """Stage 1 over every cell. Raises UnreadableError at the first NaN or Inf under ``nonfinite="error"``."""
    run = kernels or default_kernels()
    tiled = geometry.block.kind == "tile"
    by_row = not tiled or geometry.block.rows == 1

    maxima = np.empty(geometry.block_matrix, np.float32) if tiled and panels.resident else None
    rows = np.zeros(geometry.rows if by_row else 0, np.float32)

    def largest(cell: Cell) -> tuple[np.float32, int]:
        panel = panels.load(geometry, cell)
        tile = geometry.tile(cell) if tiled else (1, panel.shape[1])
        out = None if maxima is None else maxima[geometry.blocks_of(cell)]
        blocks = run.block_amax(panel, tile, out)
        most, bad = blocks.max(), 0
        if not np.isfinite(most):
            blocks, bad = _nonfinite(panels, geometry, cell, panel, tile, nonfinite, run)
            most = blocks.max()
            if out is not None:
                out[...] = blocks
        if by_row:
            target = rows[cell.row0 : cell.row0 + cell.rows]
            if cell.cols == geometry.length:
                blocks.max(axis=1, out=target)
            else:
                with merging:
                    np.maximum(target, blocks.max(axis=1), out=target)  # keeps NaN
        return most, bad

    merging = Lock()
    amax, count = np.float32(0), 0
    for most, bad in run_all(largest, panels.pieces(geometry), threads):
        amax = np.maximum(amax, most)
        count += bad
    return Statistic(amax, rows, count, geometry, maxima)


def _nonfinite(
    panels: Panels,
    geometry: Geometry,
    cell: Cell,
    panel: NDArray[np.float32],
    tile: tuple[int, int],
    nonfinite: Nonfinite,
    kernels: Kernels,
) -> tuple[NDArray[np.float32], int]:
    """Block maxima of a cell with NaN or Inf under the caller's policy, and how many there are."""
    bad = ~np.isfinite(panel)
    if nonfinite == "error":
        index = geometry.index_of(cell, int(np.flatnonzero(bad)[0]))
        raise nonfinite_error(panels.tensor.info, index, float(panel[bad][0]))
    kept = np.where(bad, np.float32(0), panel) if nonfinite == "ignore" else panel
    return kernels.block_amax(kept, tile), int(bad.sum())
