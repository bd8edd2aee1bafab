"""vLLM's FP4 quantization kernel."""

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
