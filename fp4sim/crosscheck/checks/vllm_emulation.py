"""vLLM's emulation of its FP4 kernel, in torch, which runs on any GPU.

Read in 0.33.0, vllm/model_executor/layers/quantization/utils/nvfp4_emulation_utils.py: ``ref_nvfp4_quant(x, global_scale,
block_size)`` gives the elements as E2M1's values (M, K) and the block scales as E4M3's (M, K / 16), both float32. What the
emulation runs on CUDA by default is a Triton kernel, which returns neither: only values after dequantization.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from fp4sim.crosscheck.against import Made
from fp4sim.crosscheck.check import Check, Effort, Outcome
from fp4sim.crosscheck.device import Device
from fp4sim.crosscheck.third_party import compare_library, global_scale
from fp4sim.kernels.reference.blocks import pack

_MODULE = "vllm.model_executor.layers.quantization.utils.nvfp4_emulation_utils"
# Well above 2688 / 2^128, below which g is infinite and what its products with 0 become, a NaN's bits, is the processor's.
_LEAST = 2.0**-110


def nvfp4(x: Any) -> Made:
    """``ref_nvfp4_quant``, its values as codes."""
    import ml_dtypes

    values, scales = import_module(_MODULE).ref_nvfp4_quant(x, global_scale(x), 16)
    codes = np.asarray(values.cpu().numpy()).astype(ml_dtypes.float4_e2m1fn).view(np.uint8)
    scale_codes = np.asarray(scales.cpu().numpy()).astype(ml_dtypes.float8_e4m3fn).view(np.uint8)
    return Made(pack(codes), scale_codes, layout="linear")


def run(device: Device, effort: Effort) -> Outcome:
    """NVFP4."""
    return compare_library(
        device, effort, {"nvfp4@vllm-torch": nvfp4}, ("bfloat16", "float16", "float32"), least=_LEAST
    )


CHECK = Check("vllm-emulation", "vLLM's emulation in torch against its dialect", run, package="vllm")
