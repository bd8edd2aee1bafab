"""FlashInfer's FP4 quantizer."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from fp4sim.crosscheck.against import Made
from fp4sim.crosscheck.check import Check, Effort, Outcome
from fp4sim.crosscheck.device import Device
from fp4sim.crosscheck.third_party import as_bytes, compare_library, global_scale


def nvfp4(x: Any) -> Made:
    """``fp4_quantize`` with UE4M3 scales a 16, laid out 128x4."""
    packed, scales = import_module("flashinfer").fp4_quantize(x, global_scale(x).reshape(1), 16, False, True)
    return Made(as_bytes(packed), as_bytes(scales).reshape(-1), layout="128x4")


def run(device: Device, effort: Effort) -> Outcome:
    """NVFP4."""
    return compare_library(device, effort, {"nvfp4@flashinfer": nvfp4})


CHECK = Check(
    "flashinfer", "FlashInfer's NVFP4 quantizer against its dialect", run, least=(10, 0), package="flashinfer"
)
