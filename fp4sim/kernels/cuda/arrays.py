"""Arrays of the device and of the host, from one to the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.kernels.cuda import load

if TYPE_CHECKING:
    from numpy.typing import NDArray


def on_device(array: Any, dtype: Any = None) -> Any:
    """A C-contiguous CuPy array of what may be NumPy's."""
    with load.device_errors():
        return load.get_cupy().asarray(array, dtype, order="C")


def on_host(array: Any) -> NDArray[Any]:
    """A NumPy array of what may be CuPy's."""
    return array if isinstance(array, np.ndarray) else np.asarray(array.get())


def is_aligned(array: Any) -> bool:
    """Whether kernels may read sixteen bytes at a time: C-contiguous, and not a view that starts in between."""
    return bool(array.flags.c_contiguous) and getattr(array.data, "ptr", 0) % 16 == 0


def empty(shape: tuple[int, ...], dtype: Any) -> Any:
    """An uninitialized CuPy array. Raises DeviceError where memory is short."""
    with load.device_errors():
        return load.get_cupy().empty(shape, dtype)


def zeros(shape: tuple[int, ...], dtype: Any) -> Any:
    """A CuPy array of zeros. Raises DeviceError where memory is short."""
    with load.device_errors():
        return load.get_cupy().zeros(shape, dtype)
