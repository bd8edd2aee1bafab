"""The power-of-two scale of least squared error: the floor rule's exponent, one less or one more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects.target import FLT_MAX
from fp4sim.errors import UsageError
from fp4sim.estimators.base import Encoded, Info
from fp4sim.estimators.least import least_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.geometry import Cell
    from fp4sim.quantizer import Quantizer
    from fp4sim.spec import Spec

OFFSETS = (0, 1, -1)


class MinMse:
    """The choice among three exponents."""

    info = Info(
        "minmse",
        "Least-squares exponent",
        "biased",
        "Each block is encoded with the rule's E8M0 exponent, one more and one less; the encoding with the smallest"
        " squared error is kept, ties in this order.",
        "the lower bound of every E8M0 scale rule; fp4sim's own",
        "mxfp4+minmse",
    )

    def encode(self, quantizer: Quantizer, cell: Cell, panel: NDArray[np.float32]) -> Encoded:
        """Three encodings, and the best one of each block."""
        plain = quantizer.scales(cell, panel)
        candidates = []
        for offset in OFFSETS:
            codes = np.clip(plain.codes.astype(np.int16) + offset, 0, 254).astype(np.uint8)
            codes = np.where(plain.codes == 255, plain.codes, codes)
            with np.errstate(all="ignore"):
                moved = np.ldexp(plain.factor, plain.codes.astype(np.int32) - codes).astype(np.float32)
                moved = np.minimum(moved, FLT_MAX)  # keeps NaN
            scales = type(plain)(codes, moved, plain.amax, plain.stored, plain.fmt)
            encoding = quantizer.encode(cell, panel, scales)
            tile = quantizer.geometry.tile(cell)
            values = quantizer.kernels_for(scales).dequantize(encoding, scales.decode, tile, quantizer.spec.element)
            candidates.append((encoding, scales, values))
        return least_error(panel, candidates, quantizer.geometry.tile(cell))[0]


def check(spec: Spec) -> None:
    """Raise UsageError for scales without exponents to choose from."""
    if spec.scale is None or spec.scale.has_zero or spec.block.kind != "tile":
        raise UsageError(f"{spec.short}: +minmse chooses among power-of-two block scales, e.g. mxfp4+minmse")


ESTIMATOR = MinMse()
