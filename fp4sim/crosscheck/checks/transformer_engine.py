"""Transformer Engine's NVFP4 quantizer, 1x16 blocks and 16x16 tiles."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from fp4sim.crosscheck.against import Made
from fp4sim.crosscheck.check import Check, Effort, Outcome
from fp4sim.crosscheck.device import Device
from fp4sim.crosscheck.third_party import as_bytes, compare_library


def quantize(x: Any, *, tiles: bool) -> Made:
    """``NVFP4Quantizer`` without rotation; scales come padded, row-major, a tile's in each of its rows."""
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
    made = quantizer(x)
    scales = as_bytes(made._rowwise_scale_inv)[: x.shape[0] : 16 if tiles else 1, : x.shape[1] // 16]
    return Made(as_bytes(made._rowwise_data), scales, layout="linear")


def run(device: Device, effort: Effort) -> Outcome:
    """Both block shapes."""
    kernels = {"nvfp4": lambda x: quantize(x, tiles=False), "nvfp4/16x16": lambda x: quantize(x, tiles=True)}
    return compare_library(device, effort, kernels, ("bfloat16", "float32"), rows=16)


CHECK = Check(
    "transformer-engine", "Transformer Engine's NVFP4 quantizer", run, least=(10, 0), package="transformer_engine"
)
