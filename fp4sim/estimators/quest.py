"""QuEST's forward quantizer: the block scale from the standard deviation, at the Gaussian's least squared error.

With y a block of the rotated tensor: sd² = Σy²/n − (Σy/n)² (1 where that is negative), r = mult · (2.92247856 / 6) · sd +
1e-8, scale = 2^floor(log2 r), and an element outside the grid (|y / scale| >= 6) is not trusted: the backward pass masks it
(arXiv 2505.14669 §4.2; IST-DASLab/Quartet, branch rotation_fix). Sums in float64, in the order of
:mod:`fp4sim.kernels.reference.products`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects.target import FLT_MAX
from fp4sim.errors import UsageError
from fp4sim.estimators.base import Encoded, Info
from fp4sim.kernels.reference.blocks import expand
from fp4sim.kernels.reference.products import lane_sums
from fp4sim.quantizer import CellScales

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.geometry import Cell
    from fp4sim.quantizer import Quantizer
    from fp4sim.spec import Spec

GAUSSIAN_OPTIMUM = (
    2.92247856  # largest value over sd at which E2M1 has its least MSE on N(0, 1); stats/gaussian.py finds it
)
_EPSILON = 1e-8


class Quest:
    """The choice of a scale by standard deviation."""

    info = Info(
        "quest",
        "QuEST",
        "biased",
        "Hadamard-32; each block's power-of-two scale is that of mult · 2.92247856/6 of its standard deviation, rounded"
        " down (mult 1.5 gives the paper's figures, :mult=1 is the released code). Backward: elements that clip are masked."
        " Under @quartet2:torch also float scales, from the root mean square.",
        "arXiv 2505.14669 §4.2 and Table 2; IST-DASLab/Quartet 00ccd38 and branch rotation_fix",
        "mxfp4+quest",
    )

    def encode(self, quantizer: Quantizer, cell: Cell, panel: NDArray[np.float32]) -> Encoded:
        """Codes, and the trust mask as ``extra["trust"]``."""
        spec, tile = quantizer.spec, quantizer.geometry.tile(cell)
        amax = quantizer.block_amax(cell, panel)
        deviation = _deviation(panel, tile[1])
        mult = float(spec.step("quest").get("mult", 1.5))
        factors = quantizer.factors(cell, amax)
        with np.errstate(all="ignore"):
            wanted = mult * (GAUSSIAN_OPTIMUM / 6) * (deviation * factors.encode) + _EPSILON
            exponent = np.clip(np.frexp(wanted)[1] - 1 + 127, 0, 254)
            codes = np.where(np.isfinite(amax), exponent, 255).astype(np.uint8)
            power = np.ldexp(np.float32(1), 127 - codes.astype(np.int32)).astype(np.float32)
            factor = np.fmin(power * factors.encode, FLT_MAX)
        factor = np.where(codes == 255, np.float32(np.nan), factor)
        scales = CellScales(codes, factor, amax, factors.stored, spec.scale)
        encoding = quantizer.encode(cell, panel, scales)
        with np.errstate(all="ignore"):
            trust = np.abs(panel * expand(scales.factor, tile)) < np.float32(spec.element.max)
        return Encoded(encoding, scales, extra={"trust": trust})


def _deviation(panel: NDArray[np.float32], size: int) -> NDArray[np.float64]:
    wide = panel.astype(np.float64)
    with np.errstate(all="ignore"):
        mean = lane_sums(wide, size) / size
        variance = lane_sums(wide * wide, size) / size - mean * mean
    return np.sqrt(np.where(variance < 0, 1.0, variance))


def check(spec: Spec) -> None:
    """Raise UsageError for scales that QuEST does not choose."""
    if spec.scale is not None and spec.scale.has_zero:
        from fp4sim.estimators import quest_rms

        quest_rms.check(spec)
    elif spec.scale is None or spec.block.kind != "tile" or spec.block.rows > 1:
        raise UsageError(f"{spec.short}: +quest sets power-of-two scales of row blocks, e.g. mxfp4+quest")
    elif spec.dialect != "te":
        raise UsageError(
            f"{spec.short}: +quest sets powers of two in the default arithmetic alone: drop @{spec.dialect}"
        )


ESTIMATOR = Quest()
