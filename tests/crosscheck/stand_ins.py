"""Libraries that are not installed, with the signatures of their current sources and fp4sim's bits of their dialect.

Signatures: flashinfer/fp4_quantization.py (0.6), vllm/_custom_ops.py (0.14), torchao 0.18's nvfp4_tensor.py, Transformer Engine
2.8's tensor/nvfp4_tensor.py. What a parameter must be is asserted, because the libraries assert it.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from fp4sim.api import quantize
from fp4sim.layouts import padded_shape, swizzle
from tests.crosscheck.simulated import SimulatedDevice

REACH = 2688.0


class TorchDevice(SimulatedDevice):
    """The simulated GPU with torch, on the CPU."""

    def torch(self, array: np.ndarray) -> torch.Tensor:
        if array.dtype.name == "bfloat16":
            return torch.from_numpy(array.view(np.uint16).copy()).view(torch.bfloat16)
        return torch.from_numpy(array.copy())


def install(monkeypatch: pytest.MonkeyPatch, name: str, **contents: Any) -> None:
    """A module, and the packages that it is in."""
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        full = ".".join(parts[:depth])
        if full not in sys.modules:
            made = ModuleType(full)
            made.__spec__, made.__path__ = ModuleSpec(full, None, is_package=True), []
            monkeypatch.setitem(sys.modules, full, made)
    for key, value in contents.items():
        monkeypatch.setattr(sys.modules[name], key, value, raising=False)


def encoded(x: torch.Tensor, spec: str) -> tuple[torch.Tensor, np.ndarray]:
    """Packed codes and linear block scales (rows, K / 16), or (rows / 16, K / 16) of tiles."""
    assert x.ndim == 2
    assert x.is_contiguous()
    made = quantize(x, spec, threads=1)
    return torch.from_numpy(np.ascontiguousarray(made.packed)), np.ascontiguousarray(made.block_scale)


def _check_scale(x: torch.Tensor, scale: Any) -> None:
    assert scale.dtype is torch.float32
    assert scale.numel() == 1
    assert float(scale) == float(np.float32(REACH) / np.float32(float(x.abs().max())))


def flashinfer(monkeypatch: pytest.MonkeyPatch, spec: str = "nvfp4@flashinfer", refuses: Any = None) -> None:
    def fp4_quantize(
        input: torch.Tensor,
        global_scale: torch.Tensor | None = None,
        sf_vec_size: int = 16,
        sf_use_ue8m0: bool = False,
        is_sf_swizzled_layout: bool = True,
        is_sf_8x4_layout: bool = False,
        enable_pdl: bool | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if refuses is not None and refuses(input):
            raise ValueError("this shape is not supported\nand more")
        assert (sf_vec_size, sf_use_ue8m0, is_sf_swizzled_layout, is_sf_8x4_layout) == (16, False, True, False)
        assert input.dtype in (torch.bfloat16, torch.float16)
        assert tuple(global_scale.shape) == (1,)
        _check_scale(input, global_scale)
        packed, scales = encoded(input, spec)
        return packed, torch.from_numpy(swizzle(scales, "128x4")).reshape(-1, input.shape[1] // 16 or 1)

    install(monkeypatch, "flashinfer", fp4_quantize=fp4_quantize)


def vllm(monkeypatch: pytest.MonkeyPatch, spec: str = "nvfp4@vllm-cuda") -> None:
    def scaled_fp4_quant(
        input: torch.Tensor, input_global_scale: torch.Tensor, is_sf_swizzled_layout: bool = True, backend: str = "none"
    ) -> tuple[torch.Tensor, torch.Tensor]:
        assert input.dtype in (torch.bfloat16, torch.float16)
        _check_scale(input, input_global_scale)
        packed, scales = encoded(input, spec)
        rows, columns = padded_shape(*scales.shape, "128x4")
        words = torch.from_numpy(swizzle(scales, "128x4")).view(torch.int32).reshape(rows, columns // 4)
        return packed, words.view(torch.float8_e4m3fn)

    install(monkeypatch, "vllm._custom_ops", scaled_fp4_quant=scaled_fp4_quant)


def torchao(monkeypatch: pytest.MonkeyPatch, dialect: str = "@torchao") -> None:
    def nvfp4_quantize(
        data_hp: torch.Tensor, block_size: int = 16, per_tensor_scale: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        assert data_hp.dtype in (torch.bfloat16, torch.float32)
        assert block_size == 16
        level = "" if per_tensor_scale is not None else ":onelevel"
        packed, scales = encoded(data_hp, f"nvfp4{dialect}{level}:cuda")
        return torch.from_numpy(scales).view(torch.float8_e4m3fn), packed

    def per_tensor_amax_to_scale(amax: torch.Tensor) -> torch.Tensor:
        return amax.to(torch.float32) / REACH

    module = "torchao.prototype.mx_formats.nvfp4_tensor"
    install(monkeypatch, module, nvfp4_quantize=nvfp4_quantize, per_tensor_amax_to_scale=per_tensor_amax_to_scale)


def transformer_engine(monkeypatch: pytest.MonkeyPatch, dialect: str = "") -> None:
    class NVFP4Quantizer:
        def __init__(
            self,
            fp4_dtype: str,
            rowwise: bool = True,
            columnwise: bool = True,
            with_amax_reduction: bool = False,
            amax_reduction_group: Any = None,
            with_rht: bool = False,
            with_post_rht_amax: bool = False,
            with_2d_quantization: bool = False,
            stochastic_rounding: bool = False,
            with_random_sign_mask: bool = True,
        ) -> None:
            assert fp4_dtype == "e2m1"
            assert rowwise
            assert (columnwise, with_amax_reduction, amax_reduction_group) == (False, False, None)
            assert (with_rht, with_post_rht_amax, stochastic_rounding) == (False, False, False)
            self.tiles = with_2d_quantization

        def __call__(self, tensor: torch.Tensor) -> Any:
            rows, columns = tensor.shape
            assert rows % 16 == 0
            assert columns % 16 == 0
            packed, scales = encoded(tensor, ("nvfp4/16x16" if self.tiles else "nvfp4") + dialect)
            tall = np.repeat(scales, 16, axis=0) if self.tiles else scales
            padded = np.full((-(-rows // 128) * 128, -(-tall.shape[1] // 4) * 4), 0xAA, np.uint8)
            padded[:rows, : tall.shape[1]] = tall
            return SimpleNamespace(_rowwise_data=packed, _rowwise_scale_inv=torch.from_numpy(padded))

    install(monkeypatch, "transformer_engine.pytorch.tensor.nvfp4_tensor", NVFP4Quantizer=NVFP4Quantizer)
    install(monkeypatch, "transformer_engine_torch", DType=SimpleNamespace(kFloat4E2M1="e2m1"))
