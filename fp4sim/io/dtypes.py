"""Element types that files can hold: their numpy name, width and safetensors code."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from fp4sim.errors import UsageError

# Packed fp4 as torch names it: two E2M1 codes per byte, the lower index in the low nibble.
PACKED_FP4 = "float4_e2m1fn_x2"


@dataclass(frozen=True)
class ElementType:
    """One element type: ``name`` as numpy or ml_dtypes says it, ``bits`` as stored, ``code`` as safetensors says it."""

    name: str
    bits: int
    code: str
    readable: bool = True


ELEMENT_TYPES: tuple[ElementType, ...] = (
    ElementType("float64", 64, "F64"),
    ElementType("float32", 32, "F32"),
    ElementType("float16", 16, "F16"),
    ElementType("bfloat16", 16, "BF16"),
    ElementType("float8_e4m3fn", 8, "F8_E4M3"),
    ElementType("float8_e5m2", 8, "F8_E5M2"),
    ElementType("float8_e8m0fnu", 8, "F8_E8M0"),
    ElementType("float8_e4m3fnuz", 8, "F8_E4M3FNUZ"),
    ElementType("float8_e5m2fnuz", 8, "F8_E5M2FNUZ"),
    ElementType("float4_e2m1fn", 4, "F4"),
    ElementType("int64", 64, "I64"),
    ElementType("int32", 32, "I32"),
    ElementType("int16", 16, "I16"),
    ElementType("int8", 8, "I8"),
    ElementType("uint64", 64, "U64"),
    ElementType("uint32", 32, "U32"),
    ElementType("uint16", 16, "U16"),
    ElementType("uint8", 8, "U8"),
    ElementType("bool", 8, "BOOL"),
    ElementType("float6_e2m3fn", 6, "F6_E2M3", readable=False),
    ElementType("float6_e3m2fn", 6, "F6_E3M2", readable=False),
    ElementType("complex64", 64, "C64", readable=False),
)

BY_NAME: dict[str, ElementType] = {element.name: element for element in ELEMENT_TYPES}
BY_CODE: dict[str, ElementType] = {element.code: element for element in ELEMENT_TYPES}

_ALIASES: dict[str, str] = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


def is_readable(name: str) -> bool:
    """Whether elements of the type ``name`` can be read (known, and not 6-bit or complex)."""
    return name in BY_NAME and BY_NAME[name].readable


def canonical_name(name: str) -> str:
    """The element type's numpy name for a name a user may type; ``float4_e2m1fn_x2`` stands for packed fp4.

    Raises UsageError for a name that is not a readable element type.
    """
    full = _ALIASES.get(name, name)
    if full == PACKED_FP4 or is_readable(full):
        return full
    known = ", ".join([element.name for element in ELEMENT_TYPES if element.readable] + [PACKED_FP4])
    raise UsageError(f"unknown dtype {name[:80]!r}; known: {known}")


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The numpy dtype of a readable element type; 4-bit values take one byte each in memory."""
    scalar = getattr(ml_dtypes, name, None)
    return np.dtype(name if scalar is None else scalar)


def decode(raw: np.ndarray[Any, Any], name: str, byteorder: str = "little") -> np.ndarray[Any, Any]:
    """View stored bytes as elements of type ``name``, without a copy where byte order and type allow.

    ``raw`` is 1-D unsigned integers that may be byte-swapped in place; every type but packed fp4.
    """
    if name == "bool":
        # a byte other than 0 or 1 viewed as bool has no defined meaning
        truth: np.ndarray[Any, Any] = raw != 0
        return truth
    dtype = numpy_dtype(name)
    if dtype.itemsize > 1 and byteorder != sys.byteorder:
        raw.view(f"u{dtype.itemsize}").byteswap(inplace=True)
    return raw.view(dtype)


def unpack_fp4(packed: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Unpack 1-D uint8 of n bytes into 2n E2M1 elements, low nibble first (as in torch's float4_e2m1fn_x2)."""
    codes = np.empty(2 * packed.size, np.uint8)
    np.bitwise_and(packed, 0x0F, out=codes[0::2])
    np.right_shift(packed, 4, out=codes[1::2])
    return codes.view(ml_dtypes.float4_e2m1fn)


def pack_fp4(elements: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Pack 1-D E2M1 elements of even count into uint8, low nibble first: the inverse of ``unpack_fp4``."""
    codes = elements.view(np.uint8)
    packed: np.ndarray[Any, Any] = (codes[0::2] & 0x0F) | (codes[1::2] << 4)
    return packed
