"""gpt-oss: ``X_blocks`` U8 [..., N, K/32, 16] and ``X_scales`` U8 [..., N, K/32], E8M0, no global scale.

The original files write ``X.blocks`` and ``X.scales``. Values are shown as stored, [experts, N, K]; the Transformers library
transposes the last two axes after decoding. Source: Transformers, integrations/mxfp4.py (convert_moe_packed_tensors: even
element in the low nibble, 2^(scale - 127)).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.checkpoints.build import Stored, found
from fp4sim.checkpoints.weight import Found, Layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fp4sim.checkpoints.config import Config
    from fp4sim.io.source import Tensor

NAME = "gpt-oss"


def _find(tensors: Mapping[str, Tensor], config: Config) -> Found:
    stored = []
    for mark in ("_", "."):
        blocks, scales = f"{mark}blocks", f"{mark}scales"
        bases = {name.removesuffix(blocks) for name, t in tensors.items() if name.endswith(blocks) and _is_blocks(t)}
        bases |= {
            name.removesuffix(scales)
            for name, t in tensors.items()
            if name.endswith(scales) and t.info.dtype == "uint8" and name.removesuffix(scales) + blocks in tensors
        }
        stored += [Stored(base, base + blocks, base + scales, in_blocks=True) for base in sorted(bases)]
    return found(stored, tensors, NAME)


def _is_blocks(tensor: Tensor) -> bool:
    return tensor.info.dtype == "uint8" and len(tensor.info.shape) >= 3 and tensor.info.shape[-1] == 16


LAYOUT = Layout(
    name=NAME,
    title="gpt-oss, blocks and scales",
    nibbles="element 2i in the low nibble, 2i+1 in the high one",
    fused=False,
    source="Transformers, integrations/mxfp4.py, convert_moe_packed_tensors",
    find=_find,
)
