"""FlashInfer's CUDA kernels as they are built (-use_fast_math): approximate reciprocals, subnormals flushed under NVFP4.

Read in the wheels of 0.6.16.post3, 0.7.0, 0.7.2 and 0.7.4, csrc/nv_internal/tensorrt_llm/kernels/quantization_utils.cuh,
``cvt_warp_fp16_to_fp4``, and in the PTX that nvcc 13.0 makes of it for sm_100a with FlashInfer's flags. Up to 0.7.2 a zero amax
alone silences a block, and MXFP4 flushes and multiplies by 1 under code 0. ``:v0.7.4``: that release silences a block whose
scale rounds to 0, and multiplies MXFP4 by ``mul.rn.f32`` in its own PTX, which flushes nothing, by 0 under code 0.
"""

from __future__ import annotations

from dataclasses import replace
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
    """RP.satfinite of a·r(v), nothing flushed."""
    return up_saturating(np.asarray(amax * approximate_reciprocal(element_max(target))))


def _flushed_power_codes(amax: NDArray[np.float32], target: Target) -> NDArray[np.uint8]:
    return up_saturating(flushed(flushed(amax) * approximate_reciprocal(element_max(target))))


POWER = PowerScales("RP(a·r(v))", power_codes, least=0.0)
DIALECT = Dialect(
    "flashinfer",
    Convention(
        title="FlashInfer's CUDA kernels",
        expression=("g = (F·v)/A", "s = Q(g·(a·r(v)))", "code = cast(x·r(s·r(g))), x·0 where a = 0; -ftz=true"),
        zero_block="scale 0, codes ±0; a scale that underflows multiplies by Inf (saturated, zeros +max); :v0.7.4: by 0",
        power="rceil, as the power of two at or above a·r(v); multiplier 1 under code 0; :v0.7.4: 0, and nothing flushed",
        tensor_scale="divisor, g = (F·v)/A, the caller's",
        layout="128x4, 8x4 for few rows, or linear",
        source="flashinfer-ai/flashinfer fb28d72, 0.7.2 (d84335d), 0.7.4 (7703905): nv_internal/.../quantization_utils.cuh",
        checked="hypothesis against its formula; :v0.7.4 by its device code built for Hopper, 36.6 million equal",
        notes=(HOPPER_NOTE, CALLER_NOTE),
    ),
    tensor=DIVISOR,
    scale=ScaleRule("g·(a·r(v)), subnormals flushed", _scale),
    factor=FactorRule("x·r(s·r(g)), subnormals flushed", _factor),
    zero=ZeroBlock(silent="amax"),
    power=PowerScales("RP(a·r(v)), subnormals flushed", _flushed_power_codes, least=1.0),
    element=ElementRule(flush=True),
)
SINCE = replace(DIALECT, zero=ZeroBlock(silent="scale"), power=POWER, power_element=ElementRule())


def variant(flags: tuple[str, ...]) -> Dialect:
    """The dialect with ``v0.7.4``."""
    return SINCE if "v0.7.4" in flags else DIALECT
