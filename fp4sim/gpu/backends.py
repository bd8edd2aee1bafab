"""Where a tensor's work is done: on the host, or, for one that lies on a GPU, there as far as its formats allow.

Nothing of the GPU is imported for tensors of the host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fp4sim.panels import Panels

if TYPE_CHECKING:
    from collections.abc import Sequence

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
