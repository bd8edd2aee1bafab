"""Quantizes a tensor on the GPU to a PackedTensor there.

Three ways, the same bits: a fused kernel where one exists (:mod:`fp4sim.gpu.fused`), the pipeline of every backend on
CudaKernels, and, for the few estimators that compute on elements in NumPy, the host and back.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.dialects.registry import dialect_of
from fp4sim.estimators.pipeline import check_spec, is_random
from fp4sim.estimators.registry import choice_of, correction_of
from fp4sim.geometry import Geometry
from fp4sim.gpu import fused, rotated
from fp4sim.gpu.arrays import DeviceArray, device_array, place_of
from fp4sim.gpu.dequantize import as_origin
from fp4sim.gpu.panels import DevicePanels, DeviceTensor, upload
from fp4sim.kernels.cuda.arrays import empty, on_device
from fp4sim.kernels.cuda.kernels import CudaKernels
from fp4sim.packed import PackedTensor
from fp4sim.packing import quantize_panels, quantize_tensor
from fp4sim.quantizer import Quantizer
from fp4sim.randbits import Stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.io.source import Tensor
    from fp4sim.panels import Nonfinite
    from fp4sim.spec import Spec

_ON_DEVICE = ("4over6", "pma", "mseden", "eden")  # estimators whose work on elements is in kernels


def quantize_on_device(
    x: Any,
    spec: Spec,
    *,
    axis: int = -1,
    seed: int = 0,
    draw: int = 0,
    name: str = "",
    tensor_scale: NDArray[np.float32] | None = None,
    nonfinite: Nonfinite = "error",
) -> PackedTensor:
    """Quantize; see :func:`fp4sim.quantize`. The result's arrays are CuPy's, on x's GPU, ordered on x's stream."""
    check_spec(spec)
    with place_of(x):
        array = device_array(x)
        geometry = Geometry.for_spec(array.raw.shape, axis, spec)
        tensor, stream = DeviceTensor(name, array), Stream.of(seed, name, draw)
        packed = _quantize(tensor, spec, geometry, stream, tensor_scale, nonfinite)
    return replace(packed, origin=array.origin)


def quantize_uploaded(tensor: Tensor, spec: Spec, *, axis: int, seed: int, nonfinite: Nonfinite) -> PackedTensor:
    """Quantize a tensor of the host on the current GPU; the result is the host's again. Raises DeviceError without a GPU."""
    geometry, copy = Geometry.for_spec(tensor.info.shape, axis, spec), upload(tensor)
    with copy.place():
        packed = _quantize(copy, spec, geometry, Stream.of(seed, tensor.info.name), None, nonfinite)
        return replace(packed.to_host(), dtype=tensor.info.dtype)


def _quantize(
    tensor: DeviceTensor,
    spec: Spec,
    geometry: Geometry,
    stream: Stream,
    given: NDArray[np.float32] | None,
    nonfinite: Nonfinite,
) -> PackedTensor:
    array = tensor.array
    Quantizer(spec, geometry, given=given, kernels=CudaKernels)  # raises for a tensor scale that does not fit
    found = _fused(array, spec, geometry, stream, given) or _fused_rotation(array, spec, geometry, stream, given)
    if found is not None:
        return found
    if runs_on_device(spec):
        panels = DevicePanels(tensor, geometry.axis)
        return quantize_panels(
            panels, spec, geometry, stream, tensor_scale=given, nonfinite=nonfinite, threads=1, kernels=CudaKernels
        )
    packed = quantize_tensor(
        tensor, spec, axis=geometry.axis, seed=stream.seed, draw=stream.draw, tensor_scale=given, nonfinite=nonfinite
    )
    return packed.to_device()


def _fused(
    array: DeviceArray, spec: Spec, geometry: Geometry, stream: Stream, given: NDArray[np.float32] | None
) -> PackedTensor | None:
    """By a fused kernel; None where there is none, or NaN or Inf was met."""
    plan = fused.fused_of(spec)
    if plan is None or not fused.fits(plan, geometry, array, given):
        return None
    packed = empty((*geometry.shape[:-1], geometry.length // 2), np.uint8)
    scales = empty(geometry.block_shape, np.uint8)
    numbers = fused.numbers_of(spec, array, given)
    fused.start_quantize(plan, array, numbers, geometry, stream, packed, scales)
    if not numbers.finite():
        return None
    stored = numbers.values[4:5].copy().reshape(())
    seed = stream.seed if is_random(spec) else None
    return PackedTensor(packed, scales, stored, geometry.shape, geometry.axis, spec, array.dtype, seed)


def _fused_rotation(
    array: DeviceArray, spec: Spec, geometry: Geometry, stream: Stream, given: NDArray[np.float32] | None
) -> PackedTensor | None:
    """The same for rotated NVFP4 and MS-EDEN."""
    if geometry.axis != len(geometry.shape) - 1 or not rotated.is_fused(spec, geometry, array.raw):
        return None
    found = rotated.quantize_rotated(array.raw, spec, geometry, stream, given)
    if found is None:
        return None
    seed = stream.seed if is_random(spec) else None
    return PackedTensor(
        found.packed.reshape(*geometry.shape[:-1], -1),
        found.scales.reshape(geometry.block_shape),
        on_device(found.stored).reshape(()),
        geometry.shape,
        geometry.axis,
        spec,
        array.dtype,
        seed,
        np.array(found.rotation.signs, np.int8),
    )


def fake_quant_on_device(
    x: Any,
    spec: Spec,
    *,
    axis: int = -1,
    seed: int = 0,
    draw: int = 0,
    name: str = "",
    tensor_scale: NDArray[np.float32] | None = None,
    nonfinite: Nonfinite = "error",
) -> Any:
    """Quantize and dequantize; see :func:`fp4sim.fake_quant`. Of x's shape, dtype and library, on x's GPU."""
    check_spec(spec)
    with place_of(x):
        array = device_array(x)
        geometry, stream = Geometry.for_spec(array.raw.shape, axis, spec), Stream.of(seed, name, draw)
        Quantizer(spec, geometry, given=tensor_scale, kernels=CudaKernels)
        plan = fused.fused_of(spec)
        if plan is not None and fused.fits(plan, geometry, array, tensor_scale):
            out, numbers = empty(array.raw.shape, array.raw.dtype), fused.numbers_of(spec, array, tensor_scale)
            fused.start_fake_quant(plan, array, numbers, geometry, stream, out)
            if numbers.finite():
                return as_origin(out, array.dtype, array.origin)
        packed = _quantize(DeviceTensor(name, array), spec, geometry, stream, tensor_scale, nonfinite)
        return replace(packed, origin=array.origin).dequantize(array.dtype)


def runs_on_device(spec: Spec) -> bool:
    """Whether every pass over the elements is a kernel."""
    steps = [step for step in (choice_of(spec), correction_of(spec)) if step is not None]
    eager = spec.has("eden") and dialect_of(spec).eager
    return all(step.info.name in _ON_DEVICE for step in steps) and not spec.has("occ") and not eager
