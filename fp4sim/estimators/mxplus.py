"""MX+: the block maximum needs no exponent, so its two exponent bits hold mantissa; its position is stored beside.

Under the floor rule amax lies in [4, 8) of the scale: the first element of largest magnitude is stored as sign and three
mantissa bits, 4 + m/2 times the scale (nearest-even, 7.5 above). Blocks at the smallest scale (code 0) stay plain, because
their maximum may lie below 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.estimators.base import Encoded, Info
from fp4sim.kernels.reference.blocks import expand
from fp4sim.kernels.reference.encode import decode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.geometry import Cell
    from fp4sim.quantizer import Quantizer
    from fp4sim.spec import Spec


class MxPlus:
    """The correction of the block maximum."""

    info = Info(
        "mxplus",
        "MX+",
        "biased",
        "MXFP4 whose block maximum is kept with a mantissa of three bits (4 to 7.5 times the scale), its 5-bit position"
        " stored beside the scale.",
        "arXiv 2510.14557",
        "mxplus",
    )

    def correct(self, quantizer: Quantizer, cell: Cell, panel: NDArray[np.float32], encoded: Encoded) -> Encoded:
        """Re-encode each block's first largest element; ``extra["index"]`` holds its place in the block."""
        scales, tile = encoded.scales, quantizer.geometry.tile(cell)
        blocks = np.abs(panel).reshape(panel.shape[0], -1, tile[1])
        index = blocks.argmax(axis=2).astype(np.uint8)
        with np.errstate(all="ignore"):
            largest = np.take_along_axis(blocks, index[..., None].astype(np.int64), 2)[..., 0] * scales.factor
            mantissa = np.clip(np.rint(2 * (np.nan_to_num(largest.astype(np.float64)) - 4)), 0, 7).astype(np.uint8)
        codes = np.array(encoded.codes, np.uint8).reshape(blocks.shape)
        place = index[..., None].astype(np.int64)
        old = np.take_along_axis(codes, place, 2)[..., 0]
        new = np.where(is_extended(scales.codes), (old & 8) | mantissa, old)
        np.put_along_axis(codes, place, new[..., None], 2)
        flat = codes.reshape(panel.shape)
        values = decode_codes(flat, scales.codes, index, tile) * expand(scales.decode, tile)
        return Encoded(flat, scales, values=values, extra={**encoded.extra, "index": index})


def is_extended(scale_codes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether a block's maximum is stored without its exponent."""
    return (scale_codes > 0) & (scale_codes < 255)


def decode_codes(
    codes: NDArray[np.uint8], scale_codes: NDArray[np.uint8], index: NDArray[np.uint8], tile: tuple[int, int]
) -> NDArray[np.float64]:
    """Values of codes before their scales; ``codes`` may lack the padding of the last block."""
    from fp4sim.floats import E2M1

    column = np.arange(codes.shape[1])[None, :] % tile[1]
    of_block = [expand(a, tile)[: codes.shape[0], : codes.shape[1]] for a in (index, is_extended(scale_codes))]
    at_maximum = (column == of_block[0]) & of_block[1]
    extended = np.where(codes & 8, -1.0, 1.0) * (4 + (codes & 7) / 2)
    return np.where(at_maximum, extended, decode(codes, E2M1))


def check(spec: Spec) -> None:
    """Raise UsageError for formats other than MXFP4's."""
    mx = spec.element.name == "e2m1" and spec.scale is not None and spec.scale.name == "e8m0" and spec.rule == "floor"
    if not mx or spec.block.kind != "tile" or spec.block.rows > 1 or spec.block.cols > 256 or len(spec.steps) > 1:
        raise UsageError(f"{spec.short}: MX+ extends MXFP4's floor rule alone; write mxplus")


ESTIMATOR = MxPlus()
