"""Average alignment: the output times a constant that undoes rounding's mean shrinkage on Gaussian data.

1.009276 is 1/(1 − E[1/S]) of round-to-nearest MXFP4 at 3/4 (arXiv 2505.14669 v1, "RTN AbsMax PMA"; 'Aligned' quantizers of
IST-DASLab/Quartet 00ccd38). It enters the stored tensor scale.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.estimators.base import Encoded, Info

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.geometry import Cell
    from fp4sim.quantizer import Quantizer
    from fp4sim.spec import Spec


class Pma:
    """The correction by a constant."""

    info = Info(
        "pma",
        "Constant alignment",
        "biased",
        "The dequantized values times 1.009276, the mean shrinkage of nearest rounding on N(0, 1): aligned on average over"
        " Gaussian blocks, biased on each of them.",
        "arXiv 2505.14669 v1 Table 2; IST-DASLab/Quartet 00ccd38",
        "mxfp4+h:32+max:4.5+pma",
    )

    def correct(self, quantizer: Quantizer, cell: Cell, panel: NDArray[np.float32], encoded: Encoded) -> Encoded:
        """Multiply the stored tensor scale."""
        factor = np.float32(quantizer.spec.step("pma").get("factor", 1.009276))
        stored = np.asarray(encoded.scales.stored * factor, np.float32)
        return replace(encoded, scales=replace(encoded.scales, stored=stored))


def check(spec: Spec) -> None:
    """Raise UsageError where there is no scale to carry the constant."""
    if spec.scale is None:
        raise UsageError(f"{spec.short}: +pma multiplies the tensor scale, an unscaled cast has none")


ESTIMATOR = Pma()
