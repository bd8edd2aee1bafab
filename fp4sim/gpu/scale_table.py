"""A spec's scale stage as a table: which block maxima give which scale code, found by bisection with the dialect's own code.

Scale codes grow with amax, and under the default arithmetic the factor and the decode multiplier depend on the code alone,
where one tensor scale serves all blocks. So 31 runs of the scale stage on 256 maxima say all that it does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects.target import target_of
from fp4sim.kernels.cuda.tensor_stats import BLOCKS, CODES, UNREACHED, ScaleTable
from fp4sim.kernels.reference.kernels import ReferenceKernels
from fp4sim.rounding import HARDWARE, Rounding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.quantizer import CellScales, Quantizer

_INFINITE = 0x7F800000


def has_table(quantizer: Quantizer) -> bool:
    """Whether a spec's scales are a table, and its elements what the kernel of :mod:`tensor_stats` rounds."""
    spec, cast = quantizer.spec, quantizer.cast_of()
    plain_cast = cast.rounding is Rounding.RN and cast.policy == HARDWARE and not cast.divides and not cast.flush
    block = spec.block
    one_scale = spec.tensor_scale.mode in ("none", "tensor") or (
        quantizer.given is not None and quantizer.given.shape == ()
    )
    return (
        spec.element.name == "e2m1"
        and spec.scale is not None
        and spec.scale.bits <= 8
        and spec.dialect == "te"
        and quantizer.dialect is None
        and plain_cast
        and block.kind == "tile"
        and block.rows == 1
        and block.cols in BLOCKS
        and one_scale
    )


def scale_table(quantizer: Quantizer) -> ScaleTable | None:
    """The table of a quantizer that has one; None where the tensor's largest block has a NaN scale."""
    scale = quantizer.spec.scale
    assert scale is not None
    codes = np.arange(CODES)
    low, high = np.zeros(CODES, np.int64), np.full(CODES, _INFINITE, np.int64)
    while (low < high).any():  # the least bits whose code is at least c, _INFINITE where there are none
        middle = (low + high) // 2
        reached = (_scales(quantizer, middle).codes[0] >= codes) | (middle >= _INFINITE)
        high, low = np.where(reached, middle, high), np.where(reached, low, np.minimum(middle + 1, high))
    top = _INFINITE - 1 if quantizer.statistic is None else int(quantizer.statistic.amax.view(np.uint32))
    if scale.nan_code is not None and low[scale.nan_code] <= top:
        return None
    start = np.where(low <= top, low, UNREACHED).astype(np.uint32)
    at = _scales(quantizer, np.minimum(low, _INFINITE - 1))
    own = at.codes[0] == codes
    factor = np.where(own, at.factor[0], np.float32(0)).astype(np.float32)
    decode = np.where(own, at.decode[0], 0.0)
    return ScaleTable(np.append(start, np.uint32(UNREACHED)), factor, decode, np.uint32(top).view(np.float32))


def _scales(quantizer: Quantizer, bits: NDArray[np.int64]) -> CellScales:
    """The scale stage on block maxima given by their bits."""
    amax = np.minimum(bits, _INFINITE - 1).astype(np.uint32).view(np.float32)[None, :]
    factors = quantizer.factors(quantizer.geometry.pieces[0], amax)
    found = quantizer.arithmetic.block_scales(target_of(quantizer.spec), amax, factors, ReferenceKernels)
    return quantizer.scales_of(found.codes, found.factor, amax, factors)
