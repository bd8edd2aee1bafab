"""The names of a dump's arrays: ``[<case>.]<key>[.<draw>]``, where key is one of a few common words.

============  ==================================================================================================
x             input, a                                       the tensor that was quantized
codes         packed, q, qdata, quantized, fp4, weight_packed, data    4-bit codes, two a byte or one a byte
block_scale   scales, scale, block_scales, sf, scale_inv, weight_scale   one a block, linear or swizzled
tensor_scale  ts, weight_scale_2, per_tensor_scale, decode_scale         what a decoded value is multiplied by
divisor       global_scale, weight_global_scale, input_global_scale, encode_scale, tensor_scale_divisor   divided by
dequantized   out, output, dq, dequant, values               the decoded tensor
============  ==================================================================================================

The case is parted from the key by ``.`` or ``/``; a number after ``codes`` counts the draws of a stochastic kernel.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Role = Literal["x", "codes", "block_scale", "tensor_scale", "divisor", "dequantized"]

ALIASES: dict[Role, tuple[str, ...]] = {
    "x": ("x", "input", "a"),
    "codes": ("codes", "packed", "q", "qdata", "quantized", "fp4", "weight_packed", "data"),
    "block_scale": ("block_scale", "scales", "scale", "block_scales", "sf", "scale_inv", "weight_scale"),
    "tensor_scale": ("tensor_scale", "ts", "weight_scale_2", "per_tensor_scale", "decode_scale"),
    "divisor": (
        "divisor",
        "global_scale",
        "weight_global_scale",
        "input_global_scale",
        "encode_scale",
        "tensor_scale_divisor",
    ),
    "dequantized": ("dequantized", "out", "output", "dq", "dequant", "values"),
}
_ROLES: dict[str, Role] = {alias: role for role, aliases in ALIASES.items() for alias in aliases}
_SEPARATOR = re.compile(r"[./]")


@dataclass(frozen=True)
class Key:
    """What an array's name says: of which case, what it is, and which draw (None: there is one)."""

    case: str
    role: Role
    draw: int | None = None


def parse_key(name: str) -> Key | None:
    """Read an array's name; None for one that says nothing."""
    parts = _SEPARATOR.split(name)
    draw = None
    if len(parts) > 1 and parts[-1].isascii() and parts[-1].isdecimal() and len(parts[-1]) < 7:
        draw = int(parts.pop())
    role = _ROLES.get(parts[-1].lower())
    if role is None or (draw is not None and role not in ("codes", "dequantized")):
        return None
    length = len(".".join(parts[:-1]))
    return Key(name[:length], role, draw)


def names_of(role: Role) -> str:
    """The names that a role goes by, for messages."""
    return ", ".join(ALIASES[role])
