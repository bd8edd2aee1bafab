"""The bias of one value after another: E[x_hat] - x of an element v, swept over a block whose amax another element fixes.

The data is a matrix with one row for each v: element 0 is ``amax``, element 1 is v, all others are zero. Its rows are as
wide as the spec's block, tensor-scale span and rotation ask for, and where blocks span several rows the others are zero. So
every block, and the tensor, have the same amax and v is the only thing that changes. Random bits are those of element 1
of its row in a tensor named "sweep"; random rotations are shared by all rows, so errors of neighbouring v are correlated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fp4sim.drawing import Drawer
from fp4sim.errors import UsageError
from fp4sim.fpmode import ieee_mode
from fp4sim.io.source import ArrayTensor
from fp4sim.transforms import rotation_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.estimators.base import Encoded
    from fp4sim.geometry import Cell
    from fp4sim.spec import Spec

POINTS = 241  # 40 from 0 to each unit of a largest element of 6: v meets every E2M1 value and tie
_LEAST_WIDTH = 16


@dataclass(frozen=True)
class BiasCurve:
    """``x``: the values v, float64 (V,). ``bias``: the mean of x_hat - v over the draws; ``standard_error``: of that mean."""

    spec: Spec
    amax: float
    draws: int
    x: NDArray[np.float64]
    bias: NDArray[np.float64]
    standard_error: NDArray[np.float64]


@dataclass(frozen=True)
class Sweep:
    """The curves of several estimators."""

    curves: tuple[BiasCurve, ...]
    schema: ClassVar[str] = "fp4sim.sweep/1"


@ieee_mode()
def bias_curve(
    spec: Spec,
    *,
    draws: int = 256,
    amax: float | None = None,
    values: NDArray[np.float64] | None = None,
    seed: int = 0,
    threads: int = 1,
) -> BiasCurve:
    """Sweep v over ``values`` (within ±amax; by default 241 from 0 to amax) and average ``draws`` draws.

    ``amax``: the spec's largest element by default, so that v reads on the axis of the elements. Raises UsageError.
    """
    if draws < 2:
        raise UsageError(f"{draws} draws: at least 2 are needed for a standard error")
    top = float(np.float32(spec.element.max if amax is None else amax))
    if not 0 < top < math.inf:
        raise UsageError(f"amax {amax}: it must be positive and finite in float32")
    swept = np.linspace(0.0, top, POINTS) if values is None else np.asarray(values, np.float64)
    if swept.ndim != 1 or not swept.size or not (np.abs(swept) <= top).all():
        raise UsageError(f"values must be one axis of numbers between -{top:g} and {top:g}, the block's amax")
    matrix, step = _blocks(spec, swept, top)
    drawer = Drawer(ArrayTensor("sweep", matrix), spec, seed=seed, threads=threads)
    exact = matrix[::step, 1].astype(np.float64)
    total, square = np.zeros(swept.size), np.zeros(swept.size)
    found = np.zeros(matrix.shape[0], np.float32)

    def keep(cell: Cell, drawn: NDArray[np.float32], _: Encoded) -> None:
        if cell.col0 == 0:
            found[cell.row0 : cell.row0 + cell.rows] = drawn[:, 1]

    for draw in range(draws):
        drawer.each(draw, keep)
        error = found[::step].astype(np.float64) - exact
        total += error
        square += error * error
    mean = total / draws
    variance = np.maximum(square / draws - mean * mean, 0.0) * draws / (draws - 1)
    return BiasCurve(spec, top, draws, exact, mean, np.sqrt(variance / draws))


def _blocks(spec: Spec, swept: NDArray[np.float64], top: float) -> tuple[NDArray[np.float32], int]:
    """The matrix, and how many of its rows belong to one value."""
    tile = spec.block.kind == "tile"
    step = spec.block.rows if tile else 1
    parts = (spec.block.cols if tile else 1, spec.tensor_scale.span or 1, rotation_size(spec) or 1, _LEAST_WIDTH)
    matrix = np.zeros((swept.size * step, math.lcm(*parts)), np.float32)
    matrix[::step, 0] = top
    matrix[::step, 1] = swept
    return matrix, step
