"""QuTLASS's absmax quantizers: NVFP4 as vLLM's kernels; MXFP4 with the exponent of amax itself and elements times 3."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects import vllm_cuda
from fp4sim.dialects.mx import NAN_CODE, PowerScales

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.dialects.target import Target


def _power_codes(amax: NDArray[np.float32], target: Target) -> NDArray[np.uint8]:
    bits = np.ascontiguousarray(amax + np.float32(1e-8), np.float32).view(np.int32)
    return np.where(np.isfinite(amax), bits >> 23, NAN_CODE).astype(np.uint8)


DIALECT = replace(
    vllm_cuda.DIALECT,
    name="qutlass",
    convention=replace(
        vllm_cuda.DIALECT.convention,
        title="QuTLASS, absmax",
        power="floor of log2(a + 1e-8), nothing subtracted; code = cast((x/2^e)·3), the 3 is undone by the tensor scale 1/3",
        source="IST-DASLab/qutlass e74319e: qutlass/csrc/fused_quantize_{nv,mx}.cu, absmax",
        notes=(*vllm_cuda.DIALECT.convention.notes, "its quest mode scales by the block's deviation and is not here"),
    ),
    power=PowerScales("exponent of a + 1e-8, x times 3", _power_codes, gain=3.0),
)
