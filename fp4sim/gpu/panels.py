"""Panels of a tensor on the GPU."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim import panels
from fp4sim.geometry import Cell, Geometry, Run
from fp4sim.gpu.arrays import DeviceArray, device_array, place_of, widen
from fp4sim.io.source import Tensor, TensorInfo
from fp4sim.kernels.cuda import load
from fp4sim.kernels.cuda.arrays import on_device, on_host, zeros
from fp4sim.spec import Block

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray


PIECE_ELEMENTS = 1 << 24  # enough to fill a GPU, and float32 copies of it stay small


class DeviceTensor(Tensor):
    """A tensor on the GPU as sources of the host know it: by name, shape and dtype."""

    load_whole = on_gpu = True

    def __init__(self, name: str, array: DeviceArray) -> None:
        super().__init__(TensorInfo(name, tuple(array.raw.shape), array.dtype))
        self.array = array

    def place(self) -> AbstractContextManager[None]:
        """The GPU where it lies, on the stream of the library that it came from."""
        return place_of(self.array.raw, on_torch_stream=self.array.origin == "torch")

    def _read(self, start: int, stop: int) -> NDArray[Any]:
        """A copy on the host, widened to float32."""
        flat = self.array.raw.reshape(-1)[start:stop]
        return np.asarray(widen(flat, self.array.dtype).get())


def device_tensor(name: str, x: Any) -> DeviceTensor:
    """A tensor of what lies on a GPU, without a copy; arrays of one axis as one row. Raises UsageError for its dtype."""
    with place_of(x):
        array = device_array(x)
        return DeviceTensor(name, replace(array, raw=array.raw.reshape(1, -1)) if array.raw.ndim == 1 else array)


def upload(tensor: Tensor) -> DeviceTensor:
    """A copy on the current GPU of a tensor of the host, under its name and dtype; what is on one already stays.

    Raises DeviceError without a usable GPU.
    """
    if isinstance(tensor, DeviceTensor):
        return tensor
    load.get_cupy()
    whole = np.ascontiguousarray(tensor.read_all())
    if whole.dtype.name == "bfloat16":
        array = DeviceArray(on_device(whole.view(np.uint16)), "bfloat16", "cupy")
    elif whole.dtype.name == "float16":
        array = DeviceArray(on_device(whole), "float16", "cupy")
    else:
        array = DeviceArray(on_device(panels.widen(whole)), "float32", "cupy")
    copy = DeviceTensor(tensor.info.name, array)
    copy.info, copy.note = tensor.info, tensor.note
    return copy


class DevicePanels(panels.Panels):
    """See :class:`fp4sim.panels.Panels`; panels are CuPy arrays."""

    def __init__(self, tensor: DeviceTensor, axis: int) -> None:
        self.tensor, self.axis = tensor, axis
        self._changes, self._drop = (), False
        self._dtype = tensor.array.dtype
        self.moved_last = axis in (-1, len(tensor.info.shape) - 1)
        self.resident = True
        cupy = load.get_cupy()
        with load.device_errors():
            moved = cupy.ascontiguousarray(cupy.moveaxis(tensor.array.raw, axis, -1))
        self._matrix: Any = moved.reshape(-1, moved.shape[-1])

    def load(self, geometry: Geometry, cell: Cell, *, drop_nonfinite: bool = False) -> Any:
        """A cell's panel on the GPU: float32, C-contiguous, padded with zeros."""
        cupy = load.get_cupy()
        part = self._matrix[cell.row0 : cell.row0 + cell.rows, cell.col0 : cell.col0 + cell.cols]
        with load.device_errors():
            values = widen(part, "float32" if part.dtype == np.float32 else self._dtype)
            if drop_nonfinite or self._drop:
                values = cupy.where(cupy.isfinite(values), values, np.float32(0))
            panel, shape = cupy.ascontiguousarray(values), geometry.padded(cell)
            if values.shape != shape:
                panel = cupy.zeros(shape, np.float32)
                panel[: cell.rows, : cell.cols] = values
            for change in self._changes:
                panel = change(cell, panel)
        return panel

    def whole(self) -> NDArray[np.float32]:
        """The matrix (rows, length) as float32 on the host, where quantiles are taken."""
        geometry = Geometry.of(self.tensor.info.shape, self.axis, Block("none"))
        panel = self.load(geometry, Cell(0, geometry.rows, 0, geometry.length))
        return on_host(panel[:, : geometry.length])

    def pieces(self, geometry: Geometry) -> tuple[Cell, ...]:
        """Larger pieces than the host's, which change no bit."""
        return geometry.grid(PIECE_ELEMENTS)

    def runs(self, geometry: Geometry) -> tuple[Run, ...]:
        """More of the host's cells together: no sum changes, and a launch has enough to do."""
        return geometry.runs_of(PIECE_ELEMENTS)

    def zeros(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        """A CuPy array."""
        return zeros(shape, dtype)

    def beside(self, blocks: NDArray[Any]) -> Any:
        """A CuPy copy."""
        return on_device(blocks)

    @property
    def untouched(self) -> Any:
        """The matrix (rows, length) as it lies, bfloat16 as uint16; None where cells are changed as they are loaded."""
        return None if self._changes or self._drop else self._matrix
