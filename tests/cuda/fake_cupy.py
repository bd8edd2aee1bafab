"""A CuPy whose device is the host: as strict as CuPy about which array lies where, and its kernels run one thread at a time.

What runs under it runs the same Python and the same kernel source as on a GPU. Shared memory and warps are there for sources
that bring an emulation of them (``*_host.cpp``).
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from tests.cuda.host import HERE, host_library

_ARGUMENTS = 32


def _bare(value: Any) -> Any:
    """NumPy's array of a device array; a host array among a device function's arguments is an error, as in CuPy."""
    if isinstance(value, ndarray):
        return value.array
    if isinstance(value, np.ndarray) and value.ndim:
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(value, (list, tuple)):
        return type(value)(_bare(part) for part in value)
    if isinstance(value, dict):
        return {key: _bare(part) for key, part in value.items()}
    return value


def _device(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return ndarray(np.asarray(value))
    if isinstance(value, (list, tuple)):
        return type(value)(_device(part) for part in value)
    return value


class ndarray:  # noqa: N801
    """Device memory."""

    __array_priority__ = 100

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __array__(self, *_args: Any, **_options: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **options: Any) -> Any:
        return _device(getattr(ufunc, method)(*_bare(args), **_bare(options)))

    def __array_function__(self, function: Any, _types: Any, args: Any, options: Any) -> Any:
        return _device(function(*_bare(args), **_bare(options)))

    @property
    def data(self) -> Any:
        return SimpleNamespace(ptr=self.array.ctypes.data)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    def get(self) -> np.ndarray:
        return self.array.copy()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.array, name)
        if name in ("shape", "dtype", "ndim", "size", "flags", "strides", "nbytes", "itemsize"):
            return found
        if callable(found):
            return lambda *args, **options: _device(found(*_bare(args), **_bare(options)))
        return _device(found)

    def __getitem__(self, key: Any) -> Any:
        return _device(self.array[_bare(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self.array[_bare(key)] = _bare(value)

    def __len__(self) -> int:
        return len(self.array)

    def __bool__(self) -> bool:
        return bool(self.array)

    def __int__(self) -> int:
        return int(self.array)

    def __float__(self) -> float:
        return float(self.array)

    def __index__(self) -> int:
        return self.array.__index__()


def _operator(name: str) -> Any:
    def apply(self: ndarray, *others: Any) -> Any:
        return _device(getattr(self.array, name)(*_bare(others)))

    return apply


_UNARY = ("neg", "pos", "abs", "invert")
_BITWISE = ("and", "or", "xor", "lshift", "rshift")
_NUMBERS = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "eq", "ne", "lt", "le", "gt", "ge")
for _name in (*_UNARY, *_BITWISE, *_NUMBERS, "rand", "ror", "rxor", "radd", "rsub", "rmul", "rtruediv"):
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))


class FakeDevice(nullcontext[None]):
    """The one there is, with room for two stages of the GEMM, which is the least that it takes."""

    attributes: ClassVar = {"MaxSharedMemoryPerBlockOptin": 100 << 10}

    def __init__(self, index: int = 0) -> None:
        assert index == 0
        super().__init__()
        self.id = index


class FakeCuda:
    """Devices and streams, of which there is one."""

    Device = FakeDevice


class FakeCupy:
    """The module: NumPy's functions on device arrays."""

    ndarray, cuda = ndarray, FakeCuda

    def asarray(self, value: Any, dtype: Any = None, order: str = "K") -> ndarray:
        if isinstance(value, ndarray):
            return ndarray(np.asarray(value.array, dtype, order=order))
        return ndarray(np.array(value, dtype, order=order))

    def from_dlpack(self, value: ndarray) -> ndarray:
        return value

    def __getattr__(self, name: str) -> Any:
        found = getattr(np, name)
        if isinstance(found, type) or not callable(found):
            return found
        return lambda *args, **options: _device(found(*_bare(args), **_bare(options)))


def fake_kernel(source: str, function: str, defines: Sequence[str] = (), *, arch: str | None = None) -> Any:
    """What load.kernel gives: a call that runs every thread in turn."""
    own = source.replace(".cu", "_host.cpp")  # kernels whose threads work together bring their own emulation
    library = host_library(own if (HERE / own).is_file() else source, tuple(defines))
    address = ctypes.cast(getattr(library, function), ctypes.c_void_p)

    def run(grid: tuple[int], block: tuple[int], args: tuple[Any, ...], shared_mem: int = 0) -> None:
        words = (ctypes.c_uint64 * _ARGUMENTS)()
        for place, arg in enumerate(args):
            if isinstance(arg, ndarray):
                assert arg.flags.c_contiguous
                words[place] = arg.array.ctypes.data
            else:
                assert isinstance(arg, np.int64), f"argument {place} is a {type(arg).__name__}"
                words[place] = int(arg) & 0xFFFFFFFFFFFFFFFF
        library.emulate(address, ctypes.c_uint(grid[0]), ctypes.c_uint(block[0]), words)

    return run
