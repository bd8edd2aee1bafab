"""compressed-tensors: a/6 in the tensor's own dtype, the tensor scale stored as a divisor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects.base import Convention, TensorFactors
from fp4sim.dialects.dialect import Dialect, ElementRule, ZeroBlock
from fp4sim.dialects.operations import ONE, FactorRule, ScaleRule, TensorRule, element_max
from fp4sim.rounding import CastPolicy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.dialects.target import Target

TINY = np.float32(2.0**-126)


def _tensor(target: Target, amax: NDArray[np.float32]) -> TensorFactors:
    g = np.asarray(target.reach / np.maximum(amax, TINY), np.float32)
    g = np.where(np.isfinite(g), g, ONE)
    decode = np.asarray(ONE / g)
    return TensorFactors(g, decode, decode)


def _scale(target: Target, amax: NDArray[np.float32], factors: TensorFactors) -> NDArray[np.float32]:
    part = np.asarray(amax / element_max(target), np.float32)
    if target.dtype == "bfloat16":
        import ml_dtypes

        part = part.astype(ml_dtypes.bfloat16).astype(np.float32)
    elif target.dtype == "float16":
        part = part.astype(np.float16).astype(np.float32)
    return np.asarray(factors.encode * part)


def _factor(value: NDArray[np.float32], factors: TensorFactors) -> NDArray[np.float32]:
    return np.asarray(value / factors.encode)


DIALECT = Dialect(
    "compressed-tensors",
    Convention(
        title="compressed-tensors' order of operations",
        expression=(
            "g = (F·v)/max(A, 2^-126), 1 where that is not finite",
            "s = Q(clamp(g·dtype(a/v), ±F)), 0.125 where that is 0",
            "code = cast(clamp(x/(s/g), ±v)); dtype() rounds to bfloat16 or float16 inputs' own type",
        ),
        clamps="block scales at ±448, elements at ±6",
        zero_block="scale 0.125, codes ±0",
        special="an exact −0 becomes +0, small negatives keep their sign",
        power="even",
        layout="linear",
        tensor_scale="divisor, g = (F·v)/A (weight_global_scale)",
        source="vllm-project/compressed-tensors ac8e2ba: quantization/utils/helpers.py, compressors/nvfp4",
        checked="hypothesis against its formula, bf16 and float32 inputs; no output of the library",
        notes=("rounding a/v to bfloat16 changes about 1 % of codes",),
    ),
    tensor=TensorRule("g = (F·v)/max(A, 2^-126), 1 where not finite", _tensor, divisor=True),
    scale=ScaleRule("g·dtype(a/v)", _scale),
    factor=FactorRule("x/(s/g)", _factor, divides=True),
    zero=ZeroBlock(scale=0.125),
    element=ElementRule(policy=CastPolicy(negative_zero="drop")),
)
