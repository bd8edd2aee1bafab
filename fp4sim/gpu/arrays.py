"""Arrays on a GPU, from whoever made them: CuPy, torch, anything with DLPack; no copy, on the caller's stream."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.kernels.cuda import load
from fp4sim.kernels.cuda.kernels import widened

_DLPACK_CUDA = (2, 13)  # kDLCUDA, kDLCUDAManaged
_RAW = {"bfloat16": np.uint16}


@dataclass(frozen=True)
class DeviceArray:
    """``raw``: a CuPy array, bfloat16 as uint16; ``dtype``: the elements' numpy or ml_dtypes name."""

    raw: Any
    dtype: str
    origin: Literal["cupy", "torch"]


def is_on_device(x: Any) -> bool:
    """Whether an array-like lies on a CUDA GPU. Imports nothing."""
    if _is_torch(x):
        return bool(x.is_cuda)
    if isinstance(x, np.ndarray) or not hasattr(x, "__dlpack_device__"):
        return False
    try:
        return int(x.__dlpack_device__()[0]) in _DLPACK_CUDA
    except Exception:  # whatever it is, the reader of host arrays says what is wrong with it
        return False


@contextmanager
def place_of(x: Any, *, on_torch_stream: bool = False) -> Iterator[None]:
    """Work on the GPU where ``x`` lies, on torch's current stream for its tensors (or if asked), else on CuPy's."""
    cupy = load.get_cupy()
    index = int(x.__dlpack_device__()[1])
    with load.device_errors(), cupy.cuda.Device(index):
        if not (on_torch_stream or _is_torch(x)):
            yield
            return
        import torch

        with _stream_of(cupy, torch.cuda.current_stream(index)):
            yield


def _stream_of(cupy: Any, stream: Any) -> Any:
    """torch's stream as CuPy's: from 14 on by the stream protocol, before by its number."""
    if hasattr(cupy.cuda.Stream, "from_external") and hasattr(stream, "__cuda_stream__"):
        return cupy.cuda.Stream.from_external(stream)
    return cupy.cuda.ExternalStream(stream.cuda_stream)


def _is_torch(x: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def device_array(x: Any) -> DeviceArray:
    """A view of what lies on the GPU; call it inside :func:`place_of`. Raises UsageError for dtypes that cannot be."""
    cupy = load.get_cupy()
    if _is_torch(x):
        import torch

        name = str(x.dtype).removeprefix("torch.")
        plain = x.detach().resolve_conj().resolve_neg()
        _check(name)
        if name == "bfloat16":
            return DeviceArray(cupy.from_dlpack(plain.view(torch.int16)).view(np.uint16), name, "torch")
        return DeviceArray(cupy.from_dlpack(plain), name, "torch")
    if not isinstance(x, cupy.ndarray):
        try:
            x = cupy.from_dlpack(x)
        except Exception as error:
            raise UsageError(f"cannot read a {type(x).__name__} by DLPack: {str(error).splitlines()[0]}") from error
    name = x.dtype.name
    _check(name)
    return DeviceArray(x.view(_RAW[name]) if name in _RAW else x, name, "cupy")


def read_back(x: Any) -> Any:
    """A small device array on the host, as NumPy's or torch's."""
    if _is_torch(x):
        return x.detach().cpu()
    with place_of(x):
        return load.get_cupy().from_dlpack(x).get()


def _check(name: str) -> None:
    if name not in ("float32", "float16", "bfloat16", "float64"):
        raise UsageError(f"dtype {name} cannot be quantized on the GPU: float32, bfloat16, float16 and float64 can")


def widen(raw: Any, dtype: str) -> Any:
    """To float32: exact from the narrower floats, rounded once from float64."""
    return raw if dtype == "float32" else widened(raw, dtype)
