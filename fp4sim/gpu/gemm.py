"""Block-scaled products of operands that lie on a GPU: the checks and the order of work around the kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.gpu.arrays import is_on_device, place_of
from fp4sim.gpu.dequantize import as_origin
from fp4sim.interop import as_array
from fp4sim.kernels.cuda import load
from fp4sim.kernels.cuda.arrays import on_device, on_host
from fp4sim.kernels.cuda.gemm import PATHS
from fp4sim.kernels.cuda.gemm_launch import OUTS, Epilogue
from fp4sim.kernels.cuda.gemm_parts import multiply_parts
from fp4sim.mma.on_gpu import covers, gpu_rule

if TYPE_CHECKING:
    from fp4sim.mma.model import MmaModel
    from fp4sim.mma.operands import ScaleFormat
    from fp4sim.mma.order import Order
    from fp4sim.packed import PackedTensor

_STEP_BYTES = 32  # of codes


def gemm_on_device(
    a: PackedTensor,
    b: PackedTensor,
    c: Any,
    alpha: np.float32,
    beta: np.float32 | None,
    bias: Any,
    model: MmaModel,
    order: Order,
    out: str,
    kind: tuple[ScaleFormat, int],
    threads: int | None = None,
) -> Any:
    """See :func:`fp4sim.gemm`; the operands have been checked."""
    for name, operand in (("a", a), ("b", b)):
        if isinstance(operand.packed, np.ndarray):
            raise UsageError(
                f"{name} is on the host and the other operand on the GPU: move one with to_device or to_host"
            )
    if out not in OUTS:
        raise UsageError(f"out={out!r}: {', '.join(OUTS)}")
    if beta is not None and c is None:
        raise UsageError("beta is given without c: it is the factor of c")
    shape = (a.shape[0], b.shape[0])
    with place_of(a.packed, on_torch_stream=a.origin == "torch"):
        addend, offset = _float32("c", c, shape), _float32("bias", bias, shape[1:])
        if not covers(model, kind[1]):
            options: dict[str, Any] = {"alpha": alpha, "beta": beta, "model": model, "order": order, "out": out}
            return as_origin(_by_host(a, b, addend, offset, {**options, "threads": threads}), out, a.origin)
        rule = gpu_rule(model, *kind)
        factor, scales = _factors(a, b, alpha)
        epilogue = Epilogue(factor, addend, 1.0 if beta is None else float(beta), offset, out, scales)
        left, right = ((_contiguous(x.packed), _scales(x)) for x in (a, b))
        parts = order.slices(-(-left[0].shape[1] // _STEP_BYTES))
        product = multiply_parts(left, right, rule, parts, backward=order.backward, epilogue=epilogue)
        return as_origin(product, out, a.origin)


def _by_host(a: PackedTensor, b: PackedTensor, c: Any, bias: Any, options: dict[str, Any]) -> Any:
    """A model that no kernel computes: by the CPU, and back; bfloat16 by its bits."""
    from fp4sim.mma.gemm import gemm

    added, offset = (None if x is None else on_host(x) for x in (c, bias))
    product = gemm(a.to_host(), b.to_host(), added, bias=offset, **options)
    return on_device(product.view(np.uint16) if options["out"] == "bfloat16" else product)


def block_scaled_on_device(
    arrays: tuple[Any, Any, Any, Any, Any], fmt: ScaleFormat, block: int, model: MmaModel, order: Order, path: str
) -> Any:
    """See :func:`fp4sim.mma.block_scaled_mma`."""
    from fp4sim.mma.block_scaled import check_shapes

    chosen = next((known for known in PATHS if known == path), "proven" if path == "compiled" else None)
    if chosen is None:
        raise UsageError(f"path {path!r} on a GPU: compiled, {', '.join(PATHS)}")
    rule, names = gpu_rule(model, fmt, block), ("a_packed", "b_packed", "c", "a_scale", "b_scale")
    with place_of(arrays[0]):
        cupy, given = load.get_cupy(), {}
        for name, array in zip(names, arrays, strict=True):
            if not is_on_device(array):
                raise UsageError(f"{name} is on the host and a_packed on the GPU: all five must lie together")
            given[name] = cupy.ascontiguousarray(cupy.from_dlpack(array))
            wanted = (np.float32, np.uint32) if name == "c" else (np.uint8,)
            if given[name].dtype not in wanted or given[name].ndim not in (2, 3):
                raise UsageError(f"{name} is {given[name].dtype} of shape {given[name].shape}: see block_scaled_mma")
        check_shapes({name: array.shape for name, array in given.items()}, block)
        out = cupy.empty(given["c"].shape, np.float32)
        lifted = [x if x.ndim == 3 else x[None] for x in (*given.values(), out)]
        parts = order.slices(-(-arrays[0].shape[-1] // _STEP_BYTES))
        for a, b, c, sa, sb, d in zip(*lifted, strict=True):
            words, last = c.view(np.uint32), Epilogue(c=c.view(np.float32)) if order.c_last else Epilogue()
            start = words if not order.c_last and bool(words.any()) else None
            d[...] = multiply_parts(
                (a, sa), (b, sb), rule, parts, backward=order.backward, start=start, epilogue=last, path=chosen
            )
        return out


def _factors(a: PackedTensor, b: PackedTensor, alpha: np.float32) -> tuple[float, tuple[Any, Any] | None]:
    """What a product is multiplied by: one number; or alpha, and the tensor scales of rows and columns."""
    if a.tensor_scale.ndim == b.tensor_scale.ndim == 0:
        with np.errstate(all="ignore"):
            return float(np.float32(on_host(a.tensor_scale) * on_host(b.tensor_scale)) * alpha), None
    tall = (np.broadcast_to(on_host(x.tensor_scale), x.shape[:1]) for x in (a, b))
    rows, columns = (load.get_cupy().asarray(np.ascontiguousarray(scales)) for scales in tall)
    return float(alpha), (rows, columns)


def _scales(x: PackedTensor) -> Any:
    """Scale bytes of every row: a tile's is that of each of its rows."""
    tall = x.block_scale.repeat(x.spec.block.rows, axis=0)[: x.shape[0]]
    return _contiguous(tall.astype(np.uint8, copy=False))


def _contiguous(array: Any) -> Any:
    return load.get_cupy().ascontiguousarray(array)


def _float32(name: str, value: Any, shape: tuple[int, ...]) -> Any:
    """A float32 CuPy array of a shape, or None. Raises UsageError."""
    if value is None:
        return None
    cupy = load.get_cupy()
    array = cupy.from_dlpack(value) if is_on_device(value) else as_array(value)[0]
    if array.dtype.name != "float32" or array.shape != shape:
        raise UsageError(f"{name} is {array.dtype.name} of shape {array.shape}: it must be float32 of shape {shape}")
    return cupy.ascontiguousarray(on_device(array, np.float32))  # in this machine's byte order
