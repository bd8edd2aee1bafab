"""GGUF: blocks of codes and scales together, nibbles of a byte half a block apart.

MXFP4: 17 bytes for 32 elements, E8M0 and then 16 bytes of which byte j holds elements j (low nibble) and j + 16.
NVFP4: 36 bytes for 64, four UE4M3 and then 8 bytes for each 16 elements, byte j holding j and j + 8. A tensor scale is a
tensor of its own, ``blk.N.ffn_gate.scale`` or ``blk.N.ffn_gate.weight.scale``, and multiplies.
The library halves its scales and doubles its codes; the product is the same, bytes 0x7f and 0xff aside.
Source: llama.cpp ggml-common.h, ggml-impl.h (ggml_e8m0_to_fp32_half, ggml_ue4m3_to_fp32), its Python package gguf 0.19
(quants.py), llama.cpp#19769; lucebox#146 for the two names of the scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.checkpoints.build import FaultyError, checked_global
from fp4sim.checkpoints.encodings import GGML_E8M0, GGML_UE4M3
from fp4sim.checkpoints.weight import Fault, Found, Layout, QuantizedWeight
from fp4sim.io.gguf import GgufTensor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fp4sim.checkpoints.config import Config
    from fp4sim.io.source import Tensor

NAME = "gguf"
_ENCODINGS = {"MXFP4": GGML_E8M0, "NVFP4": GGML_UE4M3}


@dataclass(frozen=True, eq=False)
class GgufBlocks:
    """Codes and scales of a tensor of MXFP4 or NVFP4 blocks."""

    tensor: GgufTensor
    scales: int  # of a block

    @property
    def arrangement(self) -> str:
        """Where the scales are."""
        return "within each block"

    def read(self, start: int, stop: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Codes and scale bytes of rows."""
        row = self.tensor.info.shape[-1] // self.tensor.kind.elements
        raw = self.tensor.read_blocks(start * row, stop * row)
        pairs = raw[:, self.scales :].reshape(len(raw), self.scales, -1)
        codes = np.concatenate([pairs & np.uint8(15), pairs >> np.uint8(4)], axis=2)
        return codes.reshape(stop - start, -1), raw[:, : self.scales].reshape(stop - start, -1)

    def padding(self) -> NDArray[np.uint8]:
        """Blocks have no padding."""
        return np.zeros(0, np.uint8)


def _find(tensors: Mapping[str, Tensor], config: Config) -> Found:
    weights, faults, names = [], [], set[str]()
    for name, tensor in tensors.items():
        if not isinstance(tensor, GgufTensor) or tensor.kind.name not in _ENCODINGS:
            continue
        scale = next((one for one in _scale_names(name) if one in tensors), None)
        names |= {name} if scale is None else {name, scale}
        try:
            weights.append(_weight(tensor, tensors.get(scale or "")))
        except FaultyError as error:
            faults.append(Fault(error.fault.rule, name, error.fault.message))
    return Found(tuple(weights), tuple(faults), frozenset(names))


def _scale_names(name: str) -> tuple[str, str]:
    return f"{name.removesuffix('.weight')}.scale", f"{name}.scale"


def _weight(tensor: GgufTensor, scale: Tensor | None) -> QuantizedWeight:
    info, encoding = tensor.info, _ENCODINGS[tensor.kind.name]
    parts = {"blocks": info.name} | ({} if scale is None else {"global scale": scale.info.name})
    return QuantizedWeight(
        name=info.name,
        layout=NAME,
        shape=info.shape,
        block=encoding.block,
        encoding=encoding,
        blocks=GgufBlocks(tensor, tensor.kind.elements // encoding.block),
        global_scale=None if scale is None else checked_global(scale, "multiplier", info.shape),
        parts=parts,
    )


LAYOUT = Layout(
    name=NAME,
    title="GGUF of llama.cpp",
    nibbles="elements j and j + half a block in the low and high nibble of byte j",
    fused=False,
    source="llama.cpp, ggml-common.h and ggml-impl.h; gguf 0.19, quants.py",
    find=_find,
)
