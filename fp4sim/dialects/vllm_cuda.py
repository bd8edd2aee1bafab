"""vLLM's CUDA kernels for NVFP4 and MXFP4 activations: two approximate reciprocals.

Read in 0.33.0, csrc/quantization/fp4/nvfp4_utils.cuh, ``cvt_warp_fp16_to_fp4``, which is built without fast math: nothing is
flushed. Under MXFP4 the exponent of amax is rounded in integers, so that 2^128, Inf and NaN give code 253.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects.base import Convention
from fp4sim.dialects.dialect import Dialect, ZeroBlock
from fp4sim.dialects.mx import PowerScales
from fp4sim.dialects.operations import APPROXIMATE, APPROXIMATE_FACTOR, DIVISOR

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.dialects.target import Target

HOPPER_NOTE = "r = rcp.approx.ftz as measured on Hopper (fp4sim.rcp); that of Blackwell is not known to be the same"
CALLER_NOTE = "g is the caller's; fp4sim takes (F·v)/A, 1 for an all-zero tensor"


def _power_codes(amax: NDArray[np.float32], target: Target) -> NDArray[np.uint8]:
    element = target.spec.element
    half = 1 << 22 >> element.mantissa_bits
    rounded = np.ascontiguousarray(amax, np.float32).view(np.int32).astype(np.int64) + half >> 23
    code: NDArray[np.uint8] = np.clip(rounded - element.emax, 0, 254).astype(np.uint8)
    return code


DIALECT = Dialect(
    "vllm-cuda",
    Convention(
        title="vLLM's CUDA kernels",
        expression=("g = (F·v)/A", "s = Q(g·(a·r(v)))", "code = cast(x·r(s·r(g))), x·0 where s = 0"),
        power="even, codes clamped to 0..254, Inf and NaN as 2^128; multiplier 0 under code 0",
        tensor_scale="divisor, g = (F·v)/A, the caller's",
        layout="128x4",
        source="vllm-project/vllm 0.33.0: csrc/quantization/fp4/nvfp4_utils.cuh",
        checked="hypothesis against its formula; NVFP4 by its device code built for Hopper, 36.6 million equal",
        notes=(HOPPER_NOTE, CALLER_NOTE),
    ),
    tensor=DIVISOR,
    scale=APPROXIMATE,
    factor=APPROXIMATE_FACTOR,
    zero=ZeroBlock(silent="scale"),
    power=PowerScales("even, clamped", _power_codes, least=0.0),
)
