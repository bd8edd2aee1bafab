"""Libraries that are not installed, with the signatures of their current sources and fp4sim's bits of their dialect.

Signatures, names and order: flashinfer/quantization/fp4_quantization.py of 0.6.16 and 0.7.4, vllm/_custom_ops.py and
nvfp4_emulation_utils.py of 0.33.0, torchao 0.18.0's nvfp4_tensor.py, Transformer Engine 2.20.2's tensor/nvfp4_tensor.py. What a
parameter must be is asserted, because the libraries assert it, and that the variables that they read say what is wanted.
"""

from __future__ import annotations

import os
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


def _check_scale(x: torch.Tensor, scale: Any, bounded: bool = False) -> None:
    assert scale.dtype is torch.float32
    assert scale.numel() == 1
    with np.errstate(over="ignore"):
        wanted = np.float32(REACH) / np.float32(float(x.abs().max()))
    assert float(scale) == float(min(wanted, np.finfo(np.float32).max) if bounded else wanted)


def flashinfer(
    monkeypatch: pytest.MonkeyPatch, spec: str = "", refuses: Any = None, version: str = "0.7.4", flips: bool = False
) -> None:
    """``spec``: what it computes in place of its own arithmetic. ``flips``: it takes one mode for the other."""

    def quantized(input: torch.Tensor, global_scale: Any, fixed: tuple[Any, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        if refuses is not None and refuses(input):
            raise ValueError("this shape is not supported\nand more")
        # sf_vec_size, sf_use_ue8m0, is_sf_swizzled_layout, is_sf_8x4_layout, is_global_scale_inversed
        assert fixed == (16, False, True, False, False)
        assert input.dtype in (torch.bfloat16, torch.float16)
        assert tuple(global_scale.shape) == (1,)
        assert os.environ["FLASHINFER_NVFP4_4OVER6"] == "0"
        exact = os.environ["FLASHINFER_DISABLE_FP4_QUANT_FAST_MATH"] == "1"
        assert exact == (os.environ["TRTLLM_DISABLE_FP4_QUANT_FAST_MATH"] == "1")
        _check_scale(input, global_scale, bounded=exact)
        own = "nvfp4@flashinfer:v0.7.4" if version == "0.7.4" else "nvfp4@flashinfer"
        packed, scales = encoded(input, spec or ("nvfp4@flashinfer-exact:ftz" if exact != flips else own))
        _rows, columns = padded_shape(*scales.shape, "128x4")
        return packed, torch.from_numpy(swizzle(scales, "128x4")).reshape(-1, columns)

    def fp4_quantize(
        input: torch.Tensor,
        global_scale: torch.Tensor | None = None,
        sf_vec_size: int = 16,
        sf_use_ue8m0: bool = False,
        is_sf_swizzled_layout: bool = True,
        is_sf_8x4_layout: bool = False,
        is_global_scale_inversed: bool = False,
        enable_pdl: bool | None = None,
        backend: str = "auto",
        nvfp4_4over6: Any = None,
        *,
        batch_invariant: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        assert (enable_pdl, backend, nvfp4_4over6, batch_invariant) == (None, "auto", None, False)
        layout = (is_sf_swizzled_layout, is_sf_8x4_layout, is_global_scale_inversed)
        return quantized(input, global_scale, (sf_vec_size, sf_use_ue8m0, *layout))

    def fp4_quantize_of_0_6(
        input: torch.Tensor,
        global_scale: torch.Tensor | None = None,
        sf_vec_size: int = 16,
        sf_use_ue8m0: bool = False,
        is_sf_swizzled_layout: bool = True,
        is_sf_8x4_layout: bool = False,
        is_global_scale_inversed: bool = False,
        enable_pdl: bool | None = None,
        backend: str = "cuda",
    ) -> tuple[torch.Tensor, torch.Tensor]:
        assert (enable_pdl, backend) == (None, "cuda")
        layout = (is_sf_swizzled_layout, is_sf_8x4_layout, is_global_scale_inversed)
        return quantized(input, global_scale, (sf_vec_size, sf_use_ue8m0, *layout))

    function = fp4_quantize if version == "0.7.4" else fp4_quantize_of_0_6
    install(monkeypatch, "flashinfer", fp4_quantize=function, __version__=version)


def vllm(monkeypatch: pytest.MonkeyPatch, spec: str = "nvfp4@vllm-cuda") -> None:
    def scaled_fp4_quant(
        input: torch.Tensor,
        input_global_scale: torch.Tensor,
        is_sf_swizzled_layout: bool = True,
        backend: str = "none",
        padded_n: int | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        assert (is_sf_swizzled_layout, backend, padded_n) == (True, "none", None)
        assert input.dtype in (torch.bfloat16, torch.float16)
        _check_scale(input, input_global_scale)
        packed, scales = encoded(input, spec)
        rows, columns = padded_shape(*scales.shape, "128x4")
        words = torch.from_numpy(swizzle(scales, "128x4")).view(torch.int32).reshape(rows, columns // 4)
        return packed, words.view(torch.float8_e4m3fn)

    install(monkeypatch, "vllm._custom_ops", scaled_fp4_quant=scaled_fp4_quant)


def vllm_emulation(monkeypatch: pytest.MonkeyPatch, spec: str = "nvfp4@vllm-torch") -> None:
    def ref_nvfp4_quant(
        x: torch.Tensor, global_scale: torch.Tensor, block_size: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        assert global_scale.dtype is torch.float32
        assert x.ndim == 2
        assert block_size == 16
        _check_scale(x, global_scale)
        packed, scales = encoded(x, spec)
        grid = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)
        grid = np.concatenate([grid, -grid])
        codes = np.stack([packed.numpy() & 15, packed.numpy() >> 4], axis=-1).reshape(x.shape)
        return torch.from_numpy(grid[codes]), torch.from_numpy(scales).view(torch.float8_e4m3fn).float()

    module = "vllm.model_executor.layers.quantization.utils.nvfp4_emulation_utils"
    install(monkeypatch, module, ref_nvfp4_quant=ref_nvfp4_quant)


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


def transformer_engine(monkeypatch: pytest.MonkeyPatch, dialect: str = "", swizzled: bool = False) -> None:
    class NVFP4Quantizer:
        def __init__(
            self,
            fp4_dtype: str = "e2m1",
            rowwise: bool = True,
            columnwise: bool = True,
            with_amax_reduction: bool = False,
            amax_reduction_group: Any = None,
            with_rht: bool = False,
            with_post_rht_amax: bool = False,
            with_2d_quantization: bool = False,
            stochastic_rounding: bool = False,
            row_scaled_nvfp4: bool = False,
            nvfp4_use_4over6: bool = False,
            nvfp4_e4m3_max: int = 448,
            nvfp4_4over6_err_mode: str = "MAE",
            with_random_sign_mask: bool = True,
        ) -> None:
            assert fp4_dtype == "e2m1"
            assert rowwise
            assert (columnwise, with_amax_reduction, amax_reduction_group) == (False, False, None)
            assert (with_rht, with_post_rht_amax, stochastic_rounding) == (False, False, False)
            assert (row_scaled_nvfp4, nvfp4_use_4over6, nvfp4_e4m3_max) == (False, False, 448)
            self.tiles = with_2d_quantization

        def __call__(self, tensor: torch.Tensor) -> Any:
            rows, columns = tensor.shape
            assert rows % 16 == 0
            assert columns % 16 == 0
            packed, scales = encoded(tensor, ("nvfp4/16x16" if self.tiles else "nvfp4") + dialect)
            tall = np.repeat(scales, 16, axis=0) if self.tiles else scales
            padded = np.full((-(-rows // 128) * 128, -(-tall.shape[1] // 4) * 4), 0xAA, np.uint8)
            padded[:rows, : tall.shape[1]] = tall
            assert os.environ["NVTE_USE_FAST_MATH"] == "0"
            return SimpleNamespace(
                _rowwise_data=packed,
                _rowwise_scale_inv=torch.from_numpy(padded),
                _with_gemm_swizzled_scales=swizzled,
            )

    install(monkeypatch, "transformer_engine.pytorch.tensor.nvfp4_tensor", NVFP4Quantizer=NVFP4Quantizer)
    install(monkeypatch, "transformer_engine_torch", DType=SimpleNamespace(kFloat4E2M1="e2m1"))
