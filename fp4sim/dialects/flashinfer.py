"""FlashInfer's CUDA kernels as they are built (-use_fast_math): approximate reciprocals, subnormals flushed everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects.base import Convention, TensorFactors
from fp4sim.dialects.dialect import Dialect, ElementRule, ZeroBlock
from fp4sim.dialects.mx import PowerScales, up_saturating
from fp4sim.dialects.operations import DIVISOR, FactorRule, ScaleRule, element_max, flushed
from fp4sim.dialects.vllm_cuda import CALLER_NOTE, HOPPER_NOTE
from fp4sim.rcp import approximate_reciprocal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.dialects.target import Target


def _scale(target: Target, amax: NDArray[np.float32], factors: TensorFactors) -> NDArray[np.float32]:
    part = flushed(flushed(amax) * approximate_reciprocal(element_max(target)))
    return flushed(flushed(factors.encode) * part)


def _factor(value: NDArray[np.float32], factors: TensorFactors) -> NDArray[np.float32]:
    return approximate_reciprocal(flushed(value * approximate_reciprocal(factors.encode)))


def power_codes(amax: NDArray[np.float32], target: Target) -> NDArray[np.uint8]:
    """RP.satfinite of a·r(v)."""
    return up_saturating(flushed(flushed(amax) * approximate_reciprocal(element_max(target))))


DIALECT = Dialect(
    "flashinfer",
    Convention(
        title="FlashInfer's CUDA kernels",
        expression=("g = (F·v)/A", "s = Q(g·(a·r(v)))", "code = cast(x·r(s·r(g))), x·0 where a = 0; -ftz=true"),
        zero_block="scale 0, codes ±0; a scale that underflows gives the multiplier Inf: saturated codes, +max for zeros",
        power="rceil, as the power of two at or above a·r(v); multiplier 1 under code 0",
        tensor_scale="divisor, g = (F·v)/A, the caller's",
        layout="128x4, 8x4 for few rows, or linear",
        source="flashinfer-ai/flashinfer fb28d72: csrc/nv_internal/.../quantization_utils.cuh",
        checked="hypothesis against its formula, with the table of Hopper's reciprocal; no output of the library",
        notes=(HOPPER_NOTE, CALLER_NOTE),
    ),
    tensor=DIVISOR,
    scale=ScaleRule("g·(a·r(v)), subnormals flushed", _scale),
    factor=FactorRule("x·r(s·r(g)), subnormals flushed", _factor),
    zero=ZeroBlock(silent="amax"),
    power=PowerScales("RP(a·r(v))", power_codes, least=1.0),
    element=ElementRule(flush=True),
)
