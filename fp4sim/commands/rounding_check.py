"""Does stochastic rounding go up as often as it should? Counted on the draws of ``fp4sim bias``, judged by chi-square."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.estimators.registry import choice_of, correction_of
from fp4sim.gpu.backends import on_host
from fp4sim.kernels.reference.blocks import expand
from fp4sim.kernels.reference.encode import code_position
from fp4sim.report.bias_model import RoundingCheck
from fp4sim.rounding import Rounding
from fp4sim.stats.chi_square import random_bits_used, rounding_test
from fp4sim.transforms import rotation_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.drawing import Drawer
    from fp4sim.estimators.base import Encoded
    from fp4sim.geometry import Cell
    from fp4sim.spec import Spec

MOST_ELEMENTS = 1 << 15


def is_checkable(spec: Spec) -> bool:
    """Whether every draw finds an element at the same position between two codes: +sr on the format's own scales."""
    changed = spec.has("occ") or choice_of(spec) is not None or correction_of(spec) is not None
    return spec.rounding is Rounding.SR and not changed and rotation_size(spec) == 0


class RoundingCounter:
    """Counts how often the first elements of a tensor went up; elements at or beyond the largest code are left out."""

    def __init__(self) -> None:
        self._bits = 0
        self._draws = 0
        self._position = np.zeros(0)
        self._up = np.zeros(0, np.int64)

    def count(self, drawer: Drawer, cell: Cell, encoded: Encoded) -> None:
        """Take a draw of one cell; cells other than the first are ignored."""
        if (cell.row0, cell.col0) != (0, 0):
            return
        rows = min(cell.rows, max(1, MOST_ELEMENTS // cell.cols))
        if self._draws == 0:
            self._bits = drawer.spec.random_bits
            self._position = _positions(drawer, cell, encoded)[:rows].reshape(-1)
            self._up = np.zeros(self._position.size, np.int64)
        fmt = drawer.spec.element
        codes = on_host(encoded.codes)[:rows, : cell.cols].reshape(-1)
        self._up += (codes & codes.dtype.type((1 << fmt.magnitude_bits) - 1)) > self._position
        self._draws += 1

    def result(self) -> RoundingCheck:
        """The test of all draws."""
        inside = np.isfinite(self._position)
        position, up = self._position[inside], self._up[inside]
        fraction = position - np.floor(position)
        test = rounding_test(up, self._draws, fraction, self._bits)
        compatible = random_bits_used(up, self._draws, fraction)
        statistic = test.statistic if np.isfinite(test.statistic) else None
        return RoundingCheck(self._bits, int(up.size), statistic, test.degrees, test.p_value, compatible, test.reason)


def _positions(drawer: Drawer, cell: Cell, encoded: Encoded) -> NDArray[np.float64]:
    """Exact positions on the axis of codes, (rows, cols) of the cell; Inf for what rounding does not decide."""
    quantizer = drawer.pipeline(0).quantizer
    cast, tile = quantizer.cast_of(), drawer.geometry.tile(cell)
    panel = on_host(drawer.pipeline(0).load(cell))
    factor = expand(encoded.scales.factor, tile)
    with np.errstate(all="ignore"):
        scaled = np.asarray(panel / factor if cast.divides else panel * factor, np.float32)
    found = code_position(np.abs(scaled).astype(np.float64), cast.fmt)
    decided = (found >= 0) & (found < cast.fmt.max_code)
    return np.where(decided, found, np.inf)[: cell.rows, : cell.cols]
