"""ModelOpt's real quantizers (NVFP4QTensor, MXFP4QTensor): true divisions; MXFP4 with its ties toward zero and +0 as 0x8."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects.base import Convention, TensorFactors
from fp4sim.dialects.dialect import Dialect, ElementRule, ZeroBlock
from fp4sim.dialects.mx import NAN_CODE, PowerScales, float_log2
from fp4sim.dialects.operations import MULTIPLIER, PRODUCT, ScaleRule, element_max
from fp4sim.rounding import CastPolicy, Rounding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.dialects.target import Target


def _scale(target: Target, amax: NDArray[np.float32], factors: TensorFactors) -> NDArray[np.float32]:
    return np.asarray(amax / (element_max(target) * factors.decode))


def _power_codes(amax: NDArray[np.float32], target: Target) -> NDArray[np.uint8]:
    exponent = np.ceil(float_log2(np.asarray(amax / element_max(target), np.float32)))
    return np.where(np.isnan(amax), NAN_CODE, np.clip(exponent, -127, 127) + 127).astype(np.uint8)


DIALECT = Dialect(
    "modelopt",
    Convention(
        title="ModelOpt's quantized tensors",
        expression=("p = A/(F·v)", "s = Q(clamp(a/(v·p), 2^-9, F)), 1 where a/(v·p) = 0", "code = cast(x/(s·p))"),
        clamps="block scales at 2^-9 and 448",
        zero_block="scale 1 (0x38), codes ±0; an all-zero tensor has p = 0 and NaN scales",
        ties="to even; MXFP4: toward zero",
        special="an exact −0 becomes +0, small negatives keep their sign; MXFP4: exact zeros of both signs become 0x8",
        power="rceil, as ceil(log2(a/v)) in float32, clamped to ±127",
        layout="linear",
        tensor_scale="multiplier, A/(F·v) (weight_scale_2)",
        source="NVIDIA/Model-Optimizer a2fbac7: torch/quantization/qtensor/{nvfp4_tensor,mxfp4_tensor}.py",
        checked="hypothesis against its formula; no output of the library",
        notes=(
            "log2 is taken as correctly rounded; libraries' log2f may differ where a/v is close above a power of two",
            "the fake-quantize kernels round otherwise than these tensors",
        ),
    ),
    tensor=MULTIPLIER,
    scale=ScaleRule("a/(v·p)", _scale),
    factor=PRODUCT,
    floor="smallest",
    zero=ZeroBlock(wanted=1.0),
    power=PowerScales("ceil(log2(a/v))", _power_codes),
    element=ElementRule(policy=CastPolicy(negative_zero="drop")),
    power_element=ElementRule(Rounding.RNZ, CastPolicy(negative_zero="set")),
)
