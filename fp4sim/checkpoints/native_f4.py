"""Typed 4-bit tensors: safetensors dtype F4 (or E2M1 pairs in I8) with typed scales beside it.

``X.weight`` F4 [N, K], or I8 [N, K/2] as DeepSeek V4 stores its experts, with ``X.scale`` or ``X.weight_scale`` F8_E8M0
[N, K/32] or F8_E4M3 [N, K/16], and at most one ``X.scale_2`` or ``X.weight_scale_2`` F32 that multiplies.
Source: safetensors#839 and fastsafetensors#79 (F4 shapes count elements, low nibble first); radixark/miles#2717 and
nemo_automodel quantization/mxfp4 (int8 pairs, one E8M0 scale per 32).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.checkpoints.build import Stored, found
from fp4sim.checkpoints.weight import Found, Layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fp4sim.checkpoints.config import Config
    from fp4sim.io.source import Tensor

NAME = "native-f4"
_TYPED = ("float8_e8m0fnu", "float8_e4m3fn")


def _find(tensors: Mapping[str, Tensor], config: Config) -> Found:
    stored = []
    for name, tensor in tensors.items():
        dtype, axes = tensor.info.dtype, len(tensor.info.shape)
        scale = _scale_of(name, tensors)
        typed = scale in tensors and tensors[scale].info.dtype in _TYPED
        if axes >= 2 and (dtype == "float4_e2m1fn" or (dtype == "int8" and typed)) and (scale in tensors):
            stored.append(Stored(name, packed=name, scale=scale, global_scale=f"{scale}_2"))
    return found(stored, tensors, NAME)


def _scale_of(name: str, tensors: Mapping[str, Tensor]) -> str:
    module = name.removesuffix(".weight")
    candidates = (f"{module}.scale", f"{name}_scale", f"{name}.scale", f"{module}_scale")
    return next((candidate for candidate in candidates if candidate in tensors), candidates[0])


LAYOUT = Layout(
    name=NAME,
    title="typed F4 or int8 pairs with typed scales",
    nibbles="element 2i in the low nibble, 2i+1 in the high one",
    fused=False,
    source="safetensors#839, fastsafetensors#79, radixark/miles#2717",
    find=_find,
)
