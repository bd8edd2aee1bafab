"""A kernel's output in whatever form a test has it, as named numpy arrays."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.interop import as_array
from fp4sim.io.files import shown
from fp4sim.panels import is_float
from fp4sim.verifying.keys import ALIASES, Role, parse_key

if TYPE_CHECKING:
    from numpy.typing import NDArray

_IN_ORDER: tuple[Role, ...] = ("codes", "block_scale", "tensor_scale")


def host_array(x: Any) -> NDArray[Any]:
    """numpy, torch, cupy, DLPack or a list as a numpy array, copied from its device where it has one. Raises UsageError."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        x = x.detach().cpu()
    elif hasattr(x, "__cuda_array_interface__") and hasattr(x, "get"):
        x = x.get()
    elif not isinstance(x, np.ndarray) and hasattr(x, "__dlpack_device__") and x.__dlpack_device__()[0] != 1:
        try:
            return np.from_dlpack(x, device="cpu", copy=True)
        except Exception as error:
            raise UsageError(f"cannot copy a {type(x).__name__} to the host: {str(error).splitlines()[0]}") from None
    return as_array(x)[0]


def named_arrays(actual: Any) -> dict[Role, NDArray[Any]]:
    """What an output holds, by role.

    A PackedTensor; a mapping or an object with attributes of the names that ``fp4sim verify`` knows; a tuple of codes, block
    scales and (if there is one) tensor scale; or one array: codes if its elements are integers or fp4, decoded values if
    they are wider floats. Raises UsageError for anything else.
    """
    from fp4sim.packed import PackedTensor

    if isinstance(actual, PackedTensor):
        found: dict[Role, Any] = {"codes": actual.packed}
        if actual.spec.scale is not None:
            found["block_scale"] = actual.block_scale
        if actual.spec.tensor_scale.mode != "none":
            found["tensor_scale"] = actual.tensor_scale
        return found
    if isinstance(actual, Mapping):
        return _by_name(actual)
    if isinstance(actual, tuple) and 2 <= len(actual) <= 3:
        return {role: host_array(array) for role, array in zip(_IN_ORDER, actual, strict=False)}
    named = _attributes(actual)
    if named:
        return named
    array = host_array(actual)
    is_value = is_float(array.dtype.name) and not array.dtype.name.startswith("float4")
    return {"dequantized" if is_value else "codes": array}


def _by_name(actual: Mapping[Any, Any]) -> dict[Role, NDArray[Any]]:
    found: dict[Role, NDArray[Any]] = {}
    for name, array in actual.items():
        key = parse_key(str(name))
        if key is None or key.case or key.draw is not None or key.role == "x":
            known = ", ".join(role for role in ALIASES if role != "x")
            raise UsageError(f"'{shown(str(name), 40)}' is no output of a kernel: name arrays {known}")
        if key.role in found:
            raise UsageError(f"two arrays are {key.role}: keep one of them")
        found[key.role] = host_array(array)
    if not found:
        raise UsageError("the output holds no arrays: give codes, block_scale, tensor_scale or dequantized")
    return found


def _attributes(actual: Any) -> dict[Role, NDArray[Any]]:
    """Arrays that an object has as attributes; nothing for what is an array itself."""
    if any(hasattr(actual, name) for name in ("__array__", "__dlpack__", "__len__", "__array_interface__")):
        return {}
    found: dict[Role, NDArray[Any]] = {}
    for role, aliases in ALIASES.items():
        for name in aliases:
            value = getattr(actual, name, None) if role != "x" else None
            if value is not None and hasattr(value, "shape") and role not in found:
                found[role] = host_array(value)
    return found
