"""torchao's NVFP4 quantizer on the GPU, eager.

Read in 0.18.0, torchao/prototype/mx_formats/nvfp4_tensor.py: ``nvfp4_quantize(data_hp, block_size=16, per_tensor_scale=None)``
gives (float8_e4m3fn scales (M, K / 16), uint8 codes (M, K / 2)) of bf16 or float32; ``per_tensor_amax_to_scale(amax)`` is
amax / (448 * 6) in float32. Both are torch operations and run on any GPU.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from fp4sim.crosscheck.against import Made
from fp4sim.crosscheck.check import Check, Effort, Outcome
from fp4sim.crosscheck.device import Device
from fp4sim.crosscheck.third_party import as_bytes, compare_library

# Below this amax 1/p is infinite, and what its product with 0 becomes, a NaN's bits, is the processor's and not torchao's.
_LEAST = 2.0**-110
_MODULE = "torchao.prototype.mx_formats.nvfp4_tensor"


def two_level(x: Any) -> Made:
    """``nvfp4_quantize`` with the tensor scale that torchao makes of amax."""
    nvfp4 = import_module(_MODULE)
    scale = nvfp4.per_tensor_amax_to_scale(x.abs().max())
    scales, packed = nvfp4.nvfp4_quantize(x, 16, scale)
    return Made(as_bytes(packed), as_bytes(scales), layout="linear")


def one_level(x: Any) -> Made:
    """``nvfp4_quantize`` without a tensor scale."""
    scales, packed = import_module(_MODULE).nvfp4_quantize(x, 16)
    return Made(as_bytes(packed), as_bytes(scales), layout="linear")


def run(device: Device, effort: Effort) -> Outcome:
    """With and without a tensor scale, under the arithmetic of torch's eager GPU kernels."""
    kernels = {"nvfp4@torchao:cuda": two_level, "nvfp4@torchao:onelevel:cuda": one_level}
    return compare_library(device, effort, kernels, ("bfloat16", "float32"), least=_LEAST)


CHECK = Check("torchao", "torchao's NVFP4 quantizer against its dialect", run, package="torchao")
