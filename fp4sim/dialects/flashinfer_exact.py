"""FlashInfer with FLASHINFER_DISABLE_FP4_QUANT_FAST_MATH=1: Transformer Engine's arithmetic, multiplier 0 for zero blocks.

That is what the mode is designed for and what its CuTe-DSL kernels do. ``:ftz``: its CUDA kernels, which are built with
-use_fast_math all the same, so that divisions are exact but subnormals flushed (0.7.4, PTX by nvcc 13.0: ``mul.ftz``,
``div.rn.ftz``): from S > 2^126 on 1/S is 0 and the multiplier FLT_MAX. Their MXFP4 does not look at the variable.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects import flashinfer
from fp4sim.dialects.base import Convention, TensorFactors
from fp4sim.dialects.dialect import Dialect, ElementRule, ZeroBlock
from fp4sim.dialects.operations import ONE, FactorRule, ScaleRule, flushed
from fp4sim.dialects.target import FLT_MAX

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.dialects.target import Target


def _scale(target: Target, amax: NDArray[np.float32], factors: TensorFactors) -> NDArray[np.float32]:
    return flushed(flushed(amax) * flushed(np.asarray(factors.encode * target.inverse)))


def _factor(value: NDArray[np.float32], factors: TensorFactors) -> NDArray[np.float32]:
    step = flushed(value * flushed(np.asarray(ONE / factors.encode)))
    return np.asarray(np.fmin(flushed(np.asarray(ONE / step)), FLT_MAX))


DIALECT = Dialect(
    "flashinfer-exact",
    Convention(
        title="FlashInfer without fast math",
        expression=(
            "S = min((F·v)/A, FLT_MAX), 1 if A = 0",
            "s = Q(min(a·(S·c), FLT_MAX))",
            "code = cast(x·min(1/(s·(1/S)), FLT_MAX)), x·0 where a = 0; :ftz: -ftz=true",
        ),
        clamps="S, the wanted scale and the multiplier at FLT_MAX",
        zero_block="scale 0, codes ±0; a block whose scale underflows keeps saturated codes under it",
        power="rceil: a·c rounded up to a power of two; :ftz: as without the variable, in 0.7.4",
        tensor_scale="divisor, S, the caller's",
        layout="128x4, 8x4 for few rows, or linear",
        source="flashinfer-ai/flashinfer fb28d72 and 0.7.4 (7703905): FLASHINFER_DISABLE_FP4_QUANT_FAST_MATH",
        checked="equal to te; hypothesis against its formula; :ftz by its device code built for Hopper, 36.6 million equal",
    ),
    zero=ZeroBlock(silent="amax"),
)
FLUSHED = replace(
    DIALECT,
    scale=ScaleRule("a·(S·c), subnormals flushed", _scale),
    factor=FactorRule("x·min(1/(s·(1/S)), FLT_MAX), subnormals flushed", _factor),
    power=flashinfer.POWER,
    element=ElementRule(flush=True),
    power_element=ElementRule(),
)


def variant(flags: tuple[str, ...]) -> Dialect:
    """The dialect with ``ftz``."""
    return FLUSHED if "ftz" in flags else DIALECT
