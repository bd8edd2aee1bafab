"""MS-AMP's FP4: power-of-two scales a row or tensor (log2 in bfloat16 for such inputs), ties toward +Inf."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects.base import Convention
from fp4sim.dialects.dialect import Dialect, ElementRule
from fp4sim.dialects.mx import NAN_CODE, PowerScales, float_log2
from fp4sim.dialects.operations import element_max
from fp4sim.rounding import CastPolicy, Rounding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.dialects.target import Target


def _power_codes(amax: NDArray[np.float32], target: Target) -> NDArray[np.uint8]:
    import ml_dtypes

    dtype = {"bfloat16": ml_dtypes.bfloat16, "float16": np.float16}.get(target.dtype, np.float32)
    ratio = (element_max(target) / amax).astype(dtype).astype(np.float32)
    exponent = np.floor(float_log2(ratio).astype(dtype).astype(np.float32))
    code = np.where(amax > 0, np.clip(127 - exponent, 0, 254), 127)
    return np.where(np.isfinite(amax), code, NAN_CODE).astype(np.uint8)


DIALECT = Dialect(
    "ms-amp",
    Convention(
        title="MS-AMP's FP4",
        expression=("f = 2^floor(log2(v/a)), in the tensor's own dtype", "code = cast(x·f)"),
        zero_block="scale 1, codes +0",
        ties="toward +Inf, on signed values",
        special="no −0: what rounds to zero from below is +0",
        power="rceil, as floor(log2(v/a)) in the tensor's dtype",
        packing="none: values come out as floats",
        layout="none: one scale a row or tensor, e.g. e2m1/row@e8m0@ms-amp",
        tensor_scale="none",
        source="Azure/MS-AMP 9746ea8 (pull request 203): FP4 quantization kernels and operators",
        checked="hypothesis against its formula; no output of the library",
        notes=("clamping and compensation are the step +occ", "log2 is taken as correctly rounded in float32"),
    ),
    power=PowerScales("1/2^floor(log2(v/a))", _power_codes),
    element=ElementRule(Rounding.RNU, CastPolicy(negative_zero="never")),
)
