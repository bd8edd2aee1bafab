"""Transformer Engine's NVFP4 quantizer, 1x16 blocks and 16x16 tiles.

Read in 2.20.2: pytorch/tensor/nvfp4_tensor.py and, of transformer_engine_torch, csrc/quantizer.cpp and
common/cast/{dispatch/quantize.cuh,nvfp4}. ``NVFP4Quantizer(fp4_dtype, rowwise, columnwise, with_amax_reduction,
amax_reduction_group, with_rht, with_post_rht_amax, with_2d_quantization, stochastic_rounding, row_scaled_nvfp4,
nvfp4_use_4over6, nvfp4_e4m3_max, nvfp4_4over6_err_mode, with_random_sign_mask)``; 0163495 has neither row scales nor four over
six. Both dimensions must be multiples of 16; bf16 with multiples of 32 takes the kernels of cast/nvfp4, the rest
quantize_transpose_vector_blockwise_fp4, which has the same formulas. Scales are uint8, (M to 128, K / 16 to 4), row-major as
long as ``optimize_for_gemm`` is off, a tile's in each of its rows. NVTE_USE_FAST_MATH would round multipliers to bf16.
The kernels' code is behind ``__CUDA_ARCH__ >= 1000``, and the library says that NVFP4 needs 10.0.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from fp4sim.crosscheck.against import Made, RefusedError
from fp4sim.crosscheck.check import Check, Effort, Outcome
from fp4sim.crosscheck.device import Device
from fp4sim.crosscheck.third_party import as_bytes, compare_library, environment


def quantize(x: Any, *, tiles: bool) -> Made:
    """``NVFP4Quantizer`` without rotation, four over six and fast math."""
    nvfp4 = import_module("transformer_engine.pytorch.tensor.nvfp4_tensor")
    quantizer = nvfp4.NVFP4Quantizer(
        fp4_dtype=import_module("transformer_engine_torch").DType.kFloat4E2M1,
        rowwise=True,
        columnwise=False,
        with_amax_reduction=False,
        amax_reduction_group=None,
        with_rht=False,
        with_post_rht_amax=False,
        with_2d_quantization=tiles,
    )
    with environment(NVTE_USE_FAST_MATH="0"):
        made = quantizer(x)
    if getattr(made, "_with_gemm_swizzled_scales", False):
        raise RefusedError("the scales came swizzled, which is not expected of this call")
    scales = as_bytes(made._rowwise_scale_inv)[: x.shape[0] : 16 if tiles else 1, : x.shape[1] // 16]
    return Made(as_bytes(made._rowwise_data), scales, layout="linear")


def run(device: Device, effort: Effort) -> Outcome:
    """Both block shapes."""
    kernels = {"nvfp4": lambda x: quantize(x, tiles=False), "nvfp4/16x16": lambda x: quantize(x, tiles=True)}
    return compare_library(device, effort, kernels, ("bfloat16", "float32"), rows=16)


CHECK = Check(
    "transformer-engine", "Transformer Engine's NVFP4 quantizer", run, least=(10, 0), package="transformer_engine"
)
