"""Quartet II's research kernels (IST-DASLab/Quartet-II 8776a90, quantizers/nvfp4_triton): divisions, ties away from zero.

With A the tensor's amax, a the block's, F the bound on block scales, v the value amax maps to, fl one float32 operation:

    t = fl(fl(A / F) / v), 1 if A = 0        b = cast(fl(fl(a / v) / t)), 1 where that is 0        code = cast(fl(x / fl(b t)))

Four over six: b = cast(fl(fl(fl(a / v) 1.5) / t)) for 4, errors of the dequantized values fl(q fl(b t)).

``:torch`` is the pure-PyTorch helper beside them (Nvfp4Quantizer with a rotation, QuestNvfp4Quantizer, EdenSRQuantizer):
t = fl(A / fl(F v)), ties toward +Inf. A float32 block scale is a itself and the tensor's multiplier fl(1/v):
code = cast(fl(fl(x / a) / fl(1/v))).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects.base import Convention, TensorFactors
from fp4sim.dialects.dialect import Dialect, ElementRule, ZeroBlock
from fp4sim.dialects.operations import ONE, PRODUCT, QUOTIENT, TWO_BY_QUOTIENT, TensorRule, element_max
from fp4sim.rounding import Rounding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.dialects.target import Target


def _tensor(target: Target, amax: NDArray[np.float32]) -> TensorFactors:
    t = np.asarray(amax / np.float32(target.bound) / element_max(target), np.float32)
    t = np.where(amax == 0, ONE, t)
    return TensorFactors(np.asarray(ONE / t), t, t)


def _torch_tensor(target: Target, amax: NDArray[np.float32]) -> TensorFactors:
    t = np.where(amax == 0, ONE, np.asarray(amax / target.reach, np.float32))
    return TensorFactors(np.asarray(ONE / t), t, t)


DIALECT = Dialect(
    "quartet2",
    Convention(
        title="Quartet II's research kernels",
        expression=(
            "t = (A/F)/v, 1 if A = 0",
            "s = Q((a/v)/t), 1 where that is 0",
            "code = cast(x/(s·t))",
            ":torch: t = A/(F·v), ties toward +Inf",
        ),
        zero_block="scale 1, codes ±0",
        ties="away from zero",
        power="any rule that the spec names",
        source="IST-DASLab/Quartet-II 8776a90: quantizers/nvfp4_triton",
        checked="equal dequantized values to the released quantizers on stored vectors; hypothesis against its formula",
    ),
    tensor=TensorRule("t = (A/F)/v, 1 if A = 0", _tensor),
    scale=QUOTIENT,
    factor=PRODUCT,
    zero=ZeroBlock(scale=1.0),
    element=ElementRule(nearest=Rounding.RNA),
    two=TWO_BY_QUOTIENT,
)
TORCH = replace(
    DIALECT,
    tensor=TensorRule("t = A/(F·v), 1 if A = 0", _torch_tensor),
    element=ElementRule(nearest=Rounding.RNU),
    eager=True,
)


def variant(_flags: tuple[str, ...]) -> Dialect:
    """The pure-PyTorch helper's arithmetic."""
    return TORCH
