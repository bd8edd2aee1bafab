"""PackedTensors on the GPU back to values there."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fp4sim.gpu.arrays import place_of
from fp4sim.kernels.cuda import load
from fp4sim.kernels.cuda.arrays import empty, on_device
from fp4sim.kernels.cuda.kernels import dequantize_into, widened

if TYPE_CHECKING:
    from fp4sim.packed import PackedTensor

_MORE_THAN_CODES = ("if4", "mxplus")  # what their codes stand for depends on more than the code


def dequantize_on_device(packed: PackedTensor, dtype: str, domain: Literal["input", "rotated"] = "input") -> Any:
    """Values in the logical shape, rounded once to ``dtype`` (a name); CuPy, or torch if the tensor came from there.

    CuPy arrays of bfloat16 have ml_dtypes' dtype where that is installed and are uint16 bits otherwise. What was rotated or
    compensated is undone on the host.
    """
    with place_of(packed.packed, on_torch_stream=packed.origin == "torch"):
        rotated = packed.signs is not None and domain == "input"
        if rotated or "residual" in packed.extra or any(packed.spec.has(name) for name in _MORE_THAN_CODES):
            values = packed.to_host().dequantize(dtype, domain=domain)
            raw = on_device(values.view(np.uint16) if dtype == "bfloat16" else values)
        else:
            raw = _plain(packed, np.dtype(np.uint16 if dtype == "bfloat16" else dtype))
        return as_origin(raw, dtype, packed.origin)


def as_origin(raw: Any, dtype: str, origin: str) -> Any:
    """A CuPy array, bfloat16 by its bits, as the caller's library has it."""
    if origin != "torch":
        return _as_bfloat16(raw) if dtype == "bfloat16" else raw
    import torch

    if dtype == "bfloat16":
        return torch.from_dlpack(raw.view(np.int16)).view(torch.bfloat16)
    return torch.from_dlpack(raw)


def _as_bfloat16(raw: Any) -> Any:
    """CuPy 14 knows ml_dtypes' bfloat16; before, and without ml_dtypes, the bits are returned."""
    try:
        import ml_dtypes

        return raw.view(ml_dtypes.bfloat16)
    except (ImportError, TypeError, ValueError):
        return raw


def _plain(packed: PackedTensor, dtype: np.dtype[Any]) -> Any:
    """code * (block_scale * tensor_scale) by a kernel."""
    cupy, geometry, element = load.get_cupy(), packed.geometry, packed.spec.element
    width = 0 if element.bits <= 4 else element.code_dtype.itemsize
    out = empty((geometry.rows, geometry.stored_length), dtype)
    decode = _row_decode(packed)
    tile = 1, geometry.stored_length // decode.shape[1]
    dequantize_into(out, packed.packed, cupy.ascontiguousarray(decode), geometry.stored_length, tile, width, element)
    whole = out[:, : geometry.length].reshape(geometry.moved_shape)
    return cupy.ascontiguousarray(cupy.moveaxis(whole, -1, geometry.axis))


def _row_decode(packed: PackedTensor) -> Any:
    """block_scale * tensor_scale in float64, (rows, blocks in a row)."""
    cupy, geometry, spec = load.get_cupy(), packed.geometry, packed.spec
    blocks: Any = cupy.ones((geometry.rows, 1), np.float64)
    if spec.scale is not None:
        if spec.scale.bits > 16:
            values = widened(packed.block_scale.view(np.float32), "float32", np.float64)
        else:
            values = cupy.asarray(spec.scale.values())[packed.block_scale]
        if geometry.block.kind == "tensor":
            blocks = blocks * values
        else:
            blocks = _row_by_row(values, geometry.matrix_rows, geometry.block_rows, geometry.rows)
    stored = widened(packed.tensor_scale, "float32", np.float64)
    if stored.ndim == 1:
        stored = stored[:, None]
    elif stored.ndim == 2:
        stored = stored.repeat(geometry.span // geometry.block.cols, axis=1)[:, : blocks.shape[1]]
    return blocks * stored


def _row_by_row(values: Any, matrix_rows: int, block_rows: int, rows: int) -> Any:
    """One row of block scales for each row of elements: tiles end with their matrix."""
    width = values.shape[-1]
    if block_rows == 1:
        return values.reshape(rows, width)
    per_matrix = math.ceil(matrix_rows / block_rows)
    tall = values.reshape(-1, per_matrix, width).repeat(block_rows, axis=1)[:, :matrix_rows]
    return tall.reshape(rows, width)
