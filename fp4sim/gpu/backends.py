"""Where a tensor's work is done: on the host, or, for one that lies on a GPU, there as far as its formats allow.

Nothing of the GPU is imported for tensors of the host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.io.source import ArrayTensor
from fp4sim.panels import Panels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fp4sim.estimators.pipeline import Pipeline
    from fp4sim.io.source import Tensor
    from fp4sim.kernels.interface import Kernels
    from fp4sim.spec import Spec
    from fp4sim.stats.metrics import WholeErrors

Backend = tuple[Panels, "Kernels | None", list[int]]


def backends_of(tensor: Tensor, axis: int, specs: Sequence[Spec]) -> list[Backend]:
    """Panels, kernels (None: the host's) and which of the specs they serve; in all each spec once."""
    if not tensor.on_gpu:
        return [(Panels(tensor, axis), None, list(range(len(specs))))]
    from fp4sim.gpu.panels import DevicePanels
    from fp4sim.gpu.quantize import runs_on_device
    from fp4sim.kernels.cuda.kernels import CudaKernels

    there = [i for i, spec in enumerate(specs) if runs_on_device(spec)]
    here = [i for i in range(len(specs)) if i not in there]
    found: list[Backend] = []
    if there:
        device: Any = tensor
        found.append((DevicePanels(device, axis), CudaKernels, there))
    return [*found, *([(Panels(tensor, axis), None, here)] if here else [])]


def whole_errors(pipeline: Pipeline) -> WholeErrors | None:
    """A tensor's errors in one pass over the GPU's data, where a kernel covers the format; None otherwise."""
    if not pipeline.panels.tensor.on_gpu:
        return None
    from fp4sim.gpu.stats import fused_statistics

    return fused_statistics(pipeline)


def panels_of(tensor: Tensor, axis: int) -> Panels:
    """A tensor's panels where it lies."""
    if not tensor.on_gpu:
        return Panels(tensor, axis)
    from fp4sim.gpu.panels import DevicePanels

    device: Any = tensor
    return DevicePanels(device, axis)


def tensor_of(name: str, matrix: Any) -> Tensor:
    """A tensor of float32 panels put together."""
    if isinstance(matrix, np.ndarray):
        return ArrayTensor(name, matrix)
    from fp4sim.gpu.arrays import DeviceArray
    from fp4sim.gpu.panels import DeviceTensor

    return DeviceTensor(name, DeviceArray(matrix, "float32", "cupy"))


def on_host(array: Any) -> NDArray[Any]:
    """A NumPy array of what may lie on a GPU."""
    return array if isinstance(array, np.ndarray) else np.asarray(array.get())


def flat_beside(tensor: Tensor, array: Any) -> Any:
    """The elements of an array in order, one axis, contiguous, where the tensor lies."""
    if not tensor.on_gpu:
        return np.ascontiguousarray(array).reshape(-1)
    from fp4sim.kernels.cuda.arrays import on_device

    return on_device(array).reshape(-1)


def draw_kernels_of(tensor: Tensor) -> Any:
    """What :class:`fp4sim.stats.draws.DrawSums` adds a tensor's draws with."""
    if not tensor.on_gpu:
        return None
    from fp4sim.gpu import draw_kernels

    return draw_kernels
