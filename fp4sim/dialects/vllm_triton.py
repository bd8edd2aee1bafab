"""vLLM's emulation in Triton, its default on CUDA: one division g/s in place of two reciprocals."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects import vllm_torch
from fp4sim.dialects.dialect import ZeroBlock
from fp4sim.dialects.operations import FactorRule

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.dialects.base import TensorFactors


def _factor(value: NDArray[np.float32], factors: TensorFactors) -> NDArray[np.float32]:
    return np.asarray(factors.encode / value)


DIALECT = replace(
    vllm_torch.DIALECT,
    name="vllm-triton",
    convention=replace(
        vllm_torch.DIALECT.convention,
        title="vLLM's emulation in Triton",
        expression=("g = (F·v)/A", "s = Q(clamp(g·(a·c), ±F))", "code = cast(clamp(x·(g/s), ±v)), x·0 where s = 0"),
        zero_block="scale 0, multiplier 0",
        source="vllm-project/vllm 0.33.0: model_executor/layers/quantization/utils/nvfp4_emulation_utils.py, Triton path",
        checked="hypothesis against its formula; NVFP4 by the library's kernel on an H200: 16.8 million values equal",
        notes=(*vllm_torch.DIALECT.convention.notes, "Triton's / is the approximate div.full; here it is exact"),
    ),
    factor=FactorRule("x·(g/s)", _factor),
    zero=ZeroBlock(silent="scale"),
)
