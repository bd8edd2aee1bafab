"""vLLM's emulation in torch (nvfp4_emulation_utils.py): as its kernels, with exact reciprocals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects.base import Convention, TensorFactors
from fp4sim.dialects.dialect import Dialect, ElementRule
from fp4sim.dialects.operations import DIVISOR, INVERSE, ONE, FactorRule
from fp4sim.dialects.vllm_cuda import CALLER_NOTE
from fp4sim.rounding import CastPolicy

if TYPE_CHECKING:
    from numpy.typing import NDArray

INSTEAD_OF_ZERO = np.float32(1e8)  # what is divided by where a scale is 0


def _reciprocal(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(ONE / np.where(x == 0, INSTEAD_OF_ZERO, x))


def _factor(value: NDArray[np.float32], factors: TensorFactors) -> NDArray[np.float32]:
    return _reciprocal(np.asarray(value * _reciprocal(factors.encode)))


DIALECT = Dialect(
    "vllm-torch",
    Convention(
        title="vLLM's emulation in torch",
        expression=("g = (F·v)/A", "s = Q(clamp(g·(a·c), ±F))", "code = cast(clamp(x·(1/(s·(1/g))), ±v)), 1/0 = 1/1e8"),
        clamps="block scales at ±448, elements at ±6",
        zero_block="scale 0, multiplier 1e-8",
        special="an exact −0 becomes +0, small negatives keep their sign",
        power="even",
        layout="none: values come out as floats",
        tensor_scale="divisor, g = (F·v)/A, the caller's",
        source="vllm-project/vllm 0.33.0: model_executor/layers/quantization/utils/nvfp4_emulation_utils.py, torch path",
        checked="hypothesis against its formula; ref_nvfp4_quant of 0.33.0 on an H200, 54.4 million equal",
        notes=(CALLER_NOTE,),
    ),
    tensor=DIVISOR,
    scale=INVERSE,
    factor=FactorRule("x·(1/(s·(1/g))), 1/0 = 1/1e8", _factor),
    element=ElementRule(policy=CastPolicy(negative_zero="drop")),
)
