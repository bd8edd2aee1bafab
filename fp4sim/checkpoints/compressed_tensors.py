"""compressed-tensors: ``X.weight_packed`` U8, ``X.weight_scale``, and a global scale that divides.

NVFP4 (``nvfp4-pack-quantized``): scales F8_E4M3 [N, K/16], ``weight_global_scale`` F32 [1] = 448*6/amax.
MXFP4 (``mxfp4-pack-quantized``): scales U8 or F8_E8M0 [N, K/32] biased by 127, no global scale.
Source: compressed-tensors 0.20, compressors/nvfp4/base.py and mxfp4/base.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.checkpoints.build import Stored, found
from fp4sim.checkpoints.weight import Found, Layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fp4sim.checkpoints.config import Config
    from fp4sim.io.source import Tensor

NAME = "compressed-tensors"
_PACKED, _SCALE, _GLOBAL = ".weight_packed", ".weight_scale", ".weight_global_scale"


def _find(tensors: Mapping[str, Tensor], config: Config) -> Found:
    packed = {name.removesuffix(_PACKED) for name, t in tensors.items() if name.endswith(_PACKED) and _is_fp4(t)}
    lost = {name.removesuffix(_GLOBAL) for name in tensors if name.endswith(_GLOBAL)}
    # a divisor without codes is a lost weight, unless its codes are of another kind, such as int4 in int32
    modules = packed | {module for module in lost if f"{module}{_PACKED}" not in tensors}
    stored = [
        Stored(
            name=f"{module}.weight",
            packed=module + _PACKED,
            scale=module + _SCALE,
            global_scale=module + _GLOBAL,
            role="divisor",
            needs_global=True,
        )
        for module in sorted(modules)
    ]
    return found(stored, tensors, NAME)


def _is_fp4(tensor: Tensor) -> bool:
    return tensor.info.dtype == "uint8"


LAYOUT = Layout(
    name=NAME,
    title="compressed-tensors, *-pack-quantized",
    nibbles="element 2i in the low nibble, 2i+1 in the high one",
    fused=True,
    source="compressed-tensors 0.20, compressors/nvfp4/base.py, compressors/mxfp4/base.py",
    find=_find,
)
