"""ModelOpt's unified checkpoint: ``X.weight`` U8, ``X.weight_scale``, and ``X.weight_scale_2`` that multiplies.

NVFP4: scales F8_E4M3 [N, K/16], ``weight_scale_2`` F32 scalar = amax/(6*448). MXFP4: scales U8 [N, K/32], E8M0, no second
scale. Stacked experts carry ``X_weight_scale`` and ``X_weight_scale_2`` [E] beside ``X`` [E, N, K/2]. Quark's MXFP4 has the
same tensors; only its config.json tells it apart. Padded scale matrices (128x4) are found by their shape.
Source: TensorRT-Model-Optimizer 0ad6e5f qtensor/nvfp4_tensor.py, 0991404 qtensor/mxfp4_tensor.py; vllm#49638 for the
names of stacks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.checkpoints.build import Stored, found
from fp4sim.checkpoints.weight import Found, Layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fp4sim.checkpoints.config import Config
    from fp4sim.io.source import Tensor

NAME = "modelopt"
_SCALE_DTYPES = ("uint8", "float8_e4m3fn", "float8_e8m0fnu")


def _find(tensors: Mapping[str, Tensor], config: Config) -> Found:
    stored = []
    for name, tensor in tensors.items():
        prefix = name if name.endswith(".weight") else f"{name}_weight"
        scale, second = tensors.get(f"{prefix}_scale"), f"{prefix}_scale_2"
        if tensor.info.dtype != "uint8" or len(tensor.info.shape) < 2:
            continue
        if scale is None and second not in tensors:
            continue
        if scale is not None and scale.info.dtype not in _SCALE_DTYPES and second not in tensors:
            continue  # a byte tensor with float scales is another kind of quantization
        stored.append(Stored(name, packed=name, scale=f"{prefix}_scale", global_scale=second, role="multiplier"))
    lost = [name for name in tensors if name.endswith(".weight_scale_2")]
    known = {one.global_scale for one in stored}
    for name in lost:
        weight = name.removesuffix("_scale_2")
        if name not in known and weight not in tensors:
            stored.append(Stored(weight, packed=weight, scale=f"{weight}_scale", global_scale=name))
    return found(stored, tensors, NAME)


LAYOUT = Layout(
    name=NAME,
    title="ModelOpt, unified checkpoint",
    nibbles="element 2i in the low nibble, 2i+1 in the high one",
    fused=True,
    source="ModelOpt, qtensor/nvfp4_tensor.py and mxfp4_tensor.py",
    find=_find,
)
