"""FlashInfer's CuTe-DSL kernels: as the CUDA ones since 0.7.4, but nothing is flushed, under NVFP4 either."""

from __future__ import annotations

from dataclasses import replace

from fp4sim.dialects import flashinfer, vllm_cuda

DIALECT = replace(
    vllm_cuda.DIALECT,
    name="flashinfer-cutedsl",
    convention=replace(
        flashinfer.DIALECT.convention,
        title="FlashInfer's CuTe-DSL kernels",
        expression=("g = (F·v)/A", "s = Q(g·(a·r(v)))", "code = cast(x·r(s·r(g))), x·0 where s = 0"),
        zero_block="scale 0, codes ±0",
        power="rceil, as the power of two at or above a·r(v); multiplier 0 under code 0",
        source="flashinfer-ai/flashinfer fb28d72 and 0.7.4: flashinfer/cute_dsl, flashinfer/quantization",
        notes=(
            *flashinfer.DIALECT.convention.notes,
            "under NVFP4 the same as vllm-cuda",
            "subnormals are not flushed here",
        ),
    ),
    power=flashinfer.POWER,
)
