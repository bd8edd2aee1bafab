"""cuBLASLt's quantized outputs as its documentation states them: the tensor's scale first, then amax/6 and 1/s."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects.base import Convention, TensorFactors
from fp4sim.dialects.dialect import Dialect, ZeroBlock
from fp4sim.dialects.fouroversix import divided_up
from fp4sim.dialects.mx import PowerScales
from fp4sim.dialects.operations import DIVISOR, ONE, FactorRule, ScaleRule, element_max

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.dialects.target import Target


def _scale(target: Target, amax: NDArray[np.float32], factors: TensorFactors) -> NDArray[np.float32]:
    return np.asarray(amax * factors.encode / element_max(target))


def _factor(value: NDArray[np.float32], factors: TensorFactors) -> NDArray[np.float32]:
    return np.asarray(ONE / value)


DIALECT = Dialect(
    "cublaslt",
    Convention(
        title="cuBLASLt's documented output scaling",
        expression=("g = (F·v)/A", "d = x·g", "s = Q(max|d| / v)", "code = cast(d·(1/s)), d·0 where s = 0"),
        power="rceil, as the power of two at or above a/v",
        layout="128x4",
        tensor_scale="divisor, g = (F·v)/A, the caller's",
        source="cuBLAS documentation, CUDA 13.0, 1D block quantization",
        checked="hypothesis against its formula; no output of the library, which is closed",
        notes=("the documentation does not say what a zero scale multiplies by: 0 is taken",),
    ),
    tensor=DIVISOR,
    scale=ScaleRule("(a·g)/v", _scale),
    factor=FactorRule("(x·g)·(1/s)", _factor, before=True),
    zero=ZeroBlock(silent="scale"),
    power=PowerScales("RP(a/v)", divided_up),
)
