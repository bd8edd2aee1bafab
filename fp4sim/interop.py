"""Arrays in and out: numpy, ml_dtypes, DLPack, and torch where it is installed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fp4sim.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.packed import PackedTensor

_ML_DTYPES = {
    "e2m1": "float4_e2m1fn",
    "e4m3": "float8_e4m3fn",
    "e5m2": "float8_e5m2",
    "e8m0": "float8_e8m0fnu",
    "e3m4": "float8_e3m4",
    "bf16": "bfloat16",
}


def as_array(x: Any) -> tuple[NDArray[Any], Literal["numpy", "torch"]]:
    """A numpy view of an array-like: numpy, torch (CPU), anything with ``__dlpack__`` or ``__array__``, or a list.

    Raises UsageError for what is not one, and for tensors that live on a device.
    """
    if isinstance(x, np.ma.MaskedArray):
        raise UsageError("masked arrays are not read: fill or drop the masked elements first")
    if isinstance(x, np.ndarray):
        return x, "numpy"
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        return from_torch(x), "torch"
    try:
        if hasattr(x, "__dlpack__"):
            return np.from_dlpack(x), "numpy"
        array = np.asarray(x)
    except Exception as error:
        raise UsageError(f"cannot read a {type(x).__name__} as an array: {str(error).splitlines()[0]}") from error
    if array.dtype == object:
        raise UsageError(f"cannot read a {type(x).__name__} as an array of numbers")
    if isinstance(x, (list, tuple, float)) and array.dtype == np.float64:
        array = array.astype(np.float32)  # plain Python numbers carry no dtype of their own
    return array, "numpy"


def from_torch(x: Any) -> NDArray[Any]:
    """A CPU torch tensor as numpy, without a copy where its memory allows; bf16 and float8 by their bits."""
    import ml_dtypes

    if x.device.type != "cpu":
        raise UsageError(f"the tensor is on {x.device}: move it with .cpu()")
    x = x.detach().resolve_conj().resolve_neg()
    name = str(x.dtype).removeprefix("torch.")
    if name.startswith("float4"):
        packed = x.contiguous().view(dtype=_torch().uint8).numpy()
        from fp4sim.kernels.reference.blocks import unpack

        return np.asarray(unpack(packed).view(ml_dtypes.float4_e2m1fn))
    if name == "bfloat16" or name.startswith("float8"):
        raw = x.contiguous().view(dtype=_torch().uint16 if name == "bfloat16" else _torch().uint8).numpy()
        return np.asarray(raw.view(getattr(ml_dtypes, name)))
    try:
        return np.asarray(x.numpy())
    except (TypeError, RuntimeError) as error:
        raise UsageError(f"torch dtype {name} cannot be quantized: {str(error).splitlines()[0]}") from error


def to_torch(x: NDArray[Any]) -> Any:
    """A numpy array as a torch tensor sharing its memory; bfloat16 and float8 by their bits."""
    torch = _torch()
    name = x.dtype.name
    if name == "bfloat16":
        return torch.from_numpy(x.view(np.uint16)).view(torch.bfloat16)
    if name.startswith("float8"):
        return torch.from_numpy(x.view(np.uint8)).view(getattr(torch, name))
    return torch.from_numpy(np.ascontiguousarray(x))


def as_ml_dtypes(packed: PackedTensor) -> dict[str, NDArray[Any]]:
    """``codes`` and ``block_scale`` under their ml_dtypes dtypes where those exist, raw otherwise."""
    import ml_dtypes

    def typed(raw: NDArray[Any], name: str) -> NDArray[Any]:
        dtype = getattr(ml_dtypes, _ML_DTYPES.get(name, ""), None)
        if name == "fp32":
            return raw.view(np.float32)
        return raw if dtype is None else raw.view(dtype)

    packed = packed.to_host()
    result = {"codes": typed(np.ascontiguousarray(packed.codes), packed.spec.element.name)}
    if packed.spec.scale is not None:
        result["block_scale"] = typed(packed.block_scale, packed.spec.scale.name)
    result["tensor_scale"] = packed.tensor_scale
    return result


def packed_to_torch(packed: PackedTensor) -> dict[str, Any]:
    """See :meth:`fp4sim.PackedTensor.to_torch`."""
    torch = _torch()

    def shared(raw: Any) -> Any:
        return torch.from_numpy(raw) if isinstance(raw, np.ndarray) else torch.from_dlpack(raw)

    codes = shared(packed.packed)
    if packed.spec.element.name == "e2m1" and hasattr(torch, "float4_e2m1fn_x2"):
        codes = codes.view(torch.float4_e2m1fn_x2)
    result = {"packed": codes, "tensor_scale": shared(packed.tensor_scale)}
    if packed.spec.scale is not None:
        dtype = getattr(torch, _ML_DTYPES.get(packed.spec.scale.name, ""), None)
        raw = packed.block_scale
        if packed.spec.scale.name == "fp32":
            result["block_scale"] = shared(raw.view(np.float32))
        else:
            scales = shared(raw)
            result["block_scale"] = scales if dtype is None else scales.view(dtype)
    return result


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise MissingExtraError.of("torch", "torch", "conversion to torch tensors") from None
    return torch
