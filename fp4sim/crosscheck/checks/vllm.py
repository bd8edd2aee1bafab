"""vLLM's FP4 quantization kernel.

Read in 0.33.0: vllm/_custom_ops.py, csrc/quantization/fp4/{nvfp4_quant_entry,nvfp4_quant_kernels}.cu and nvfp4_utils.cuh.
``scaled_fp4_quant(input, input_global_scale, is_sf_swizzled_layout=True, backend="none", padded_n=None)``. Input is bf16 or
fp16, the scale (448 * 6) / amax in float32. Out come uint8 codes (M, K / 2) and float8_e4m3fn scales (M to 128, K / 16 to 4) in
128x4, padding zero; another backend may choose 8x4. The sources are built for 10.0, 11.0 and 12.0 alone, without fast math; on
any other GPU the operator raises "No compiled nvfp4 quantization kernel".
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from fp4sim.crosscheck.against import Made
from fp4sim.crosscheck.check import Check, Effort, Outcome
from fp4sim.crosscheck.device import Device
from fp4sim.crosscheck.third_party import as_bytes, compare_library, global_scale


def nvfp4(x: Any) -> Made:
    """``scaled_fp4_quant``, scales laid out 128x4."""
    packed, scales = import_module("vllm._custom_ops").scaled_fp4_quant(x, global_scale(x))
    return Made(as_bytes(packed), as_bytes(scales).reshape(-1), layout="128x4")


def run(device: Device, effort: Effort) -> Outcome:
    """NVFP4."""
    return compare_library(device, effort, {"nvfp4@vllm-cuda": nvfp4})


CHECK = Check("vllm", "vLLM's NVFP4 quantizer against its dialect", run, least=(10, 0), package="vllm")
