"""The quantization kernels on Blackwell's own instructions against fp4sim, with the explainer's word on what differs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fp4sim.crosscheck.against import Made, compare_all
from fp4sim.crosscheck.check import Check, Effort, Outcome
from fp4sim.crosscheck.device import Device

SOURCE = "blackwell_quantize.cu"
_SUFFIX = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


def quantize_nvfp4(device: Device, x: NDArray[Any]) -> Made:
    """``tensor_amax`` and ``quantize_nvfp4`` on a matrix of whole blocks."""
    suffix, blocks = _SUFFIX[x.dtype.name], x.size // 16
    given, amax = device.put(_bits(x)), device.put(np.zeros(1, np.uint32))
    device.call(SOURCE, f"tensor_amax_{suffix}", min(x.size, 1 << 17), given, np.uint64(x.size), amax)
    packed, scales = device.put(np.zeros((blocks, 8), np.uint8)), device.put(np.zeros(blocks, np.uint8))
    device.call(SOURCE, f"quantize_nvfp4_{suffix}", blocks, given, np.uint64(blocks), amax, packed, scales)
    rows = x.shape[0]
    return Made(device.get(packed).reshape(rows, -1), device.get(scales).reshape(rows, -1))


def quantize_mxfp4(device: Device, x: NDArray[Any], *, up: bool) -> Made:
    """``quantize_mxfp4`` on a matrix of whole blocks, by the rule ``rceil`` or ``floor``."""
    suffix, blocks, rows = _SUFFIX[x.dtype.name], x.size // 32, x.shape[0]
    packed, scales = device.put(np.zeros((blocks, 16), np.uint8)), device.put(np.zeros(blocks, np.uint8))
    given = (device.put(_bits(x)), np.uint64(blocks), np.uint32(up))
    device.call(SOURCE, f"quantize_mxfp4_{suffix}", blocks, *given, packed, scales)
    return Made(device.get(packed).reshape(rows, -1), device.get(scales).reshape(rows, -1))


def run(device: Device, effort: Effort) -> Outcome:
    """NVFP4, and MXFP4 under both rules, over stimuli and random tensors."""
    return compare_all(
        effort,
        {
            "nvfp4": lambda x: quantize_nvfp4(device, x),
            "mxfp4@rceil": lambda x: quantize_mxfp4(device, x, up=True),
            "mxfp4@floor": lambda x: quantize_mxfp4(device, x, up=False),
        },
    )


def _bits(x: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(x).view({2: np.uint16, 4: np.float32}[x.itemsize])


CHECK = Check("blackwell-quantize", "NVFP4 and MXFP4 on the instructions", run, (SOURCE,), (10, 0))
