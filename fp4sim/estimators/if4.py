"""IF4: each block in FP4 or in INT4, whichever leaves less squared error; the scale's sign bit says which.

An INT4 block (sign and magnitude, ±7) has a step of 6/7 of the scale, so that both grids reach the block's amax. Ties to
FP4. value = (6/7 · code) · (scale · tensor_scale) in float64; x is multiplied by fl(factor · fl(7/6)).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects.target import FLT_MAX
from fp4sim.errors import UsageError
from fp4sim.estimators.base import Encoded, Info
from fp4sim.estimators.least import least_error
from fp4sim.floats import E2M1, element_format
from fp4sim.kernels.reference.blocks import expand
from fp4sim.kernels.reference.encode import decode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.geometry import Cell
    from fp4sim.quantizer import Quantizer
    from fp4sim.spec import Spec

INTEGER_BIT = np.uint8(0x80)  # of the scale byte
STEP = 6 / 7


class If4:
    """The choice between two element formats."""

    info = Info(
        "if4",
        "IF4",
        "biased",
        "Each block of 16 in E2M1 or in INT4 (±7, step 6/7), whichever has the smaller squared error; the choice is the"
        " sign bit of the E4M3 scale.",
        "arXiv 2603.28765 (IF4); MixFP4, arXiv 2605.31035, is the same with E1M2",
        "if4",
    )

    def encode(self, quantizer: Quantizer, cell: Cell, panel: NDArray[np.float32]) -> Encoded:
        """Both encodings, and the better one of each block; ``values`` as the choice decodes."""
        integer = element_format("e0m3")
        plain = quantizer.scales(cell, panel)
        with np.errstate(over="ignore"):
            as_int = replace(plain, factor=np.fmin(plain.factor * np.float32(7 / 6), FLT_MAX))
        tile, kernels = quantizer.geometry.tile(cell), quantizer.kernels_for(plain)
        place, stream = quantizer.geometry.place(cell), quantizer.stream
        cast = replace(quantizer.cast_of(), fmt=integer)
        codes = quantizer.encode(cell, panel, plain), kernels.encode(panel, as_int.factor, tile, cast, stream, place)
        values = (
            decode(codes[0], E2M1) * expand(plain.decode, tile),
            STEP * decode(codes[1], integer) * expand(plain.decode, tile),
        )
        encoded, chosen = least_error(panel, [(codes[0], plain, values[0]), (codes[1], as_int, values[1])], tile)
        # The factor stays FP4's: beyond 6 of it lies beyond 7 of the integers', so clipping means the same in both.
        scales = replace(plain, codes=np.where(chosen, plain.codes | INTEGER_BIT, plain.codes))
        best = np.where(expand(chosen, tile) > 0, values[1], values[0])
        return Encoded(encoded.codes, scales, values=best)


def decode_codes(
    codes: NDArray[np.uint8], scale_codes: NDArray[np.uint8], tile: tuple[int, int]
) -> NDArray[np.float64]:
    """Values of codes before their scales: E2M1, or 6/7 of the integer where the scale byte's sign bit is set."""
    integers = expand(scale_codes & INTEGER_BIT, tile)[: codes.shape[0], : codes.shape[1]] > 0
    return np.where(integers, STEP * decode(codes, element_format("e0m3")), decode(codes, E2M1))


def check(spec: Spec) -> None:
    """Raise UsageError where no scale has a sign bit to spare."""
    good = spec.scale is not None and spec.scale.name == "e4m3" and spec.element == E2M1 and spec.block.kind == "tile"
    if not good:
        raise UsageError(f"{spec.short}: IF4 is E2M1 or INT4 under E4M3 block scales; write if4 or if4/32")


ESTIMATOR = If4()
