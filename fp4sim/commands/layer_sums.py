"""Statistics of one output's draws against one reference, kept by cells of the fixed grid."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.commands.bias import misalignment_group
from fp4sim.commands.bias_rows import as_one, bias_of
from fp4sim.geometry import Geometry
from fp4sim.parallel import run_all
from fp4sim.spec import Block
from fp4sim.stats.draw_statistics import MIN_BATCHES
from fp4sim.stats.draws import DrawSums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.geometry import Cell
    from fp4sim.report.bias_model import Bias


class OutputSums:
    """``reference``: float64 (rows, cols), rounded to float32 once. Digits do not depend on threads."""

    def __init__(self, reference: NDArray[np.float64], draws: int) -> None:
        geometry = Geometry.of(reference.shape, -1, Block("none"))
        group = misalignment_group(geometry)
        with np.errstate(over="ignore"):
            rounded = reference.astype(np.float32)
        self._sums = {cell: DrawSums(_part(rounded, cell), draws, group=group) for cell in geometry.cells}

    def add(self, drawn: NDArray[np.float32], threads: int) -> None:
        """Take the next draw: float32 of the reference's shape."""
        run_all(lambda cell: self._sums[cell].add(_part(drawn, cell)), list(self._sums), threads)

    def bias(self, margin: float) -> Bias:
        """What all draws say."""
        return bias_of(reduce(add, (sums.result() for sums in self._sums.values())), margin)


def once(reference: NDArray[np.float64], drawn: NDArray[np.float32], draws: int, margin: float, threads: int) -> Bias:
    """The same for an output without randomness: as many equal draws as a verdict needs, reported as one.

    Its curve is flat, up to what the random outputs reach.
    """
    sums = OutputSums(reference, MIN_BATCHES)
    for _ in range(MIN_BATCHES):
        sums.add(drawn, threads)
    return as_one(sums.bias(margin), draws)


def _part(matrix: NDArray[np.float32], cell: Cell) -> NDArray[np.float32]:
    part = matrix[cell.row0 : cell.row0 + cell.rows, cell.col0 : cell.col0 + cell.cols]
    return np.ascontiguousarray(part).reshape(-1)
