"""CuPy and the kernels: found on first need, errors in one line. Nothing here runs at import time.

``kernel("panel.cu", "encode_panel")`` compiles if need be and gives what :func:`launch` takes. Kernels are ``extern "C"``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np

from fp4sim.errors import DeviceError
from fp4sim.kernels.cuda.compile import compile_source, uncached_file

THREADS = 256


def get_cupy() -> Any:
    """The module, where a usable GPU is present. Raises DeviceError saying which of package, driver and GPU is missing."""
    return _usable_cupy()


@lru_cache(maxsize=1)
def _usable_cupy() -> Any:
    try:
        import cupy
    except ImportError as error:
        if getattr(error, "name", None) == "cupy":
            raise DeviceError("the GPU needs CuPy, which is not installed: pip install 'fp4sim[cuda]'") from None
        raise DeviceError(f"CuPy cannot be loaded: {_first_line(error)}") from None
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        if "InsufficientDriver" in str(error):
            raise DeviceError("no CUDA driver that this CuPy can use: install or update NVIDIA's driver") from None
        raise DeviceError(f"no usable CUDA GPU: {_first_line(error)}") from None
    if count == 0:
        raise DeviceError("no CUDA GPU is present")
    return cupy


def driver_major() -> int:
    """CUDA major version of the driver."""
    return int(get_cupy().cuda.runtime.driverGetVersion()) // 1000


def target(device: int | None = None) -> str:
    """The current (or given) device's own target, e.g. ``sm_90``."""
    cupy = get_cupy()
    return f"sm_{cupy.cuda.Device(device).compute_capability}"


@lru_cache(maxsize=16)
def _processors(device: int) -> int:
    return int(get_cupy().cuda.Device(device).attributes["MultiProcessorCount"])


def processors() -> int:
    """Multiprocessors of the current device."""
    return _processors(int(get_cupy().cuda.runtime.getDevice()))


@lru_cache(maxsize=16)
def _shared_memory(device: int) -> int:
    return int(get_cupy().cuda.Device(device).attributes["MaxSharedMemoryPerBlockOptin"])


def shared_memory() -> int:
    """Bytes of shared memory that a thread block may ask for on the current device."""
    return _shared_memory(int(get_cupy().cuda.runtime.getDevice()))


def kernel(source: str, function: str, defines: Sequence[str] = (), *, arch: str | None = None) -> Any:
    """A kernel of the current device, loaded. Raises DeviceError.

    ``arch``: another target than the device's own, e.g. ``sm_100a`` for instructions that only that one has.
    """
    with device_errors():
        return _module(source, arch or target(), tuple(defines)).get_function(function)


@lru_cache(maxsize=256)
def _module(source: str, arch: str, defines: tuple[str, ...]) -> Any:
    cubin, path = compile_source(source, arch, defines, driver_major=driver_major())
    return get_cupy().RawModule(path=str(path or uncached_file(source, cubin)))


def launch(function: Any, threads: int, args: Sequence[Any], *, block: int = THREADS, shared: int = 0) -> None:
    """Run at least ``threads`` threads in blocks of ``block`` on the current stream.

    Python ints are passed as 64-bit, so kernels take ``long long``; anything else by its NumPy type.
    """
    if threads <= 0:
        return
    grid = -(-threads // block)
    if grid > 2**31 - 1:
        raise DeviceError(f"{threads} threads are more than one launch takes")
    with device_errors():
        function((grid,), (block,), tuple(_argument(arg) for arg in args), shared_mem=shared)


def _argument(arg: Any) -> Any:
    return np.int64(arg) if isinstance(arg, int) and not isinstance(arg, bool) else arg


@contextmanager
def device_errors() -> Iterator[None]:
    """What CuPy and CUDA raise, as DeviceError in one line."""
    try:
        yield
    except Exception as error:
        kind = type(error).__name__
        if kind == "OutOfMemoryError":
            raise DeviceError(f"out of GPU memory: {_first_line(error)}; quantize in smaller parts") from error
        if kind in ("CUDARuntimeError", "CUDADriverError", "CompileException"):
            raise DeviceError(f"the GPU reports: {_first_line(error)}") from error
        raise


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
