"""CUTLASS's SM100 epilogue that writes block-scaled output (LinCombBlockScaleFactor)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects import flashinfer
from fp4sim.dialects.base import Convention, TensorFactors
from fp4sim.dialects.dialect import Dialect
from fp4sim.dialects.mx import PowerScales
from fp4sim.dialects.operations import DIVISOR, FactorRule, ScaleRule, element_max
from fp4sim.dialects.target import FLT_MAX
from fp4sim.dialects.vllm_cuda import CALLER_NOTE, HOPPER_NOTE
from fp4sim.rcp import approximate_reciprocal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.dialects.target import Target


def _scale(target: Target, amax: NDArray[np.float32], factors: TensorFactors) -> NDArray[np.float32]:
    return np.asarray(amax * (factors.encode * approximate_reciprocal(element_max(target))))


def _factor(value: NDArray[np.float32], factors: TensorFactors) -> NDArray[np.float32]:
    return np.asarray(np.fmin(factors.encode * approximate_reciprocal(value), FLT_MAX))


DIALECT = Dialect(
    "cutlass",
    Convention(
        title="CUTLASS's SM100 epilogue",
        expression=("n = (F·v)/A (the norm constant)", "s = Q(a·(n·r(v)))", "code = cast(x·min(n·r(s), FLT_MAX))"),
        clamps="the multiplier at FLT_MAX",
        zero_block="scale 0, codes ±0; a block whose scale underflows keeps saturated codes under it",
        power="rceil, as the power of two at or above a·r(v); the reciprocal is code 254 − s",
        layout="128x4",
        tensor_scale="divisor, n, the caller's",
        source="NVIDIA/cutlass 7107b05: include/cutlass/epilogue/fusion/sm100_callbacks_tma_warpspecialized.hpp",
        checked="hypothesis against its formula, with the table of Hopper's reciprocal; no output of the library",
        notes=(HOPPER_NOTE, CALLER_NOTE, "its host reference divides exactly"),
    ),
    tensor=DIVISOR,
    scale=ScaleRule("a·(n·r(v))", _scale),
    factor=FactorRule("x·min(n·r(s), FLT_MAX)", _factor),
    power=PowerScales("RP(a·r(v))", flashinfer.power_codes),
)
