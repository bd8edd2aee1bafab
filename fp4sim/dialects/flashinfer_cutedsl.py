"""FlashInfer's CuTe-DSL kernels: as the CUDA ones, but a zero scale (not a zero amax) silences a block."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects import flashinfer, vllm_cuda
from fp4sim.dialects.mx import PowerScales, up_saturating
from fp4sim.dialects.operations import element_max
from fp4sim.rcp import approximate_reciprocal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.dialects.target import Target


def power_codes(amax: NDArray[np.float32], target: Target) -> NDArray[np.uint8]:
    """RP.satfinite of a·r(v), nothing flushed."""
    return up_saturating(np.asarray(amax * approximate_reciprocal(element_max(target))))


DIALECT = replace(
    vllm_cuda.DIALECT,
    name="flashinfer-cutedsl",
    convention=replace(
        flashinfer.DIALECT.convention,
        title="FlashInfer's CuTe-DSL kernels",
        expression=("g = (F·v)/A", "s = Q(g·(a·r(v)))", "code = cast(x·r(s·r(g))), x·0 where s = 0"),
        zero_block="scale 0, codes ±0",
        power="rceil, as the power of two at or above a·r(v); multiplier 0 under code 0",
        source="flashinfer-ai/flashinfer fb28d72: flashinfer/cute_dsl",
        notes=(
            *flashinfer.DIALECT.convention.notes,
            "under NVFP4 the same as vllm-cuda",
            "subnormals are not flushed here",
        ),
    ),
    power=PowerScales("RP(a·r(v))", power_codes, least=0.0),
)
