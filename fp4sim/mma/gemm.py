"""A GEMM of packed tensors, emulated: block-scaled steps, then the epilogue of a kernel, bit for bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.floats import E2M1, E8M0, UE4M3
from fp4sim.fpmode import ieee_mode
from fp4sim.interop import as_array
from fp4sim.mma.block_scaled import block_scaled_mma
from fp4sim.mma.instances import model_named
from fp4sim.mma.operands import ScaleFormat, check_kind
from fp4sim.packed import PackedTensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.mma.model import MmaModel

Out = Literal["float32", "bfloat16", "float16"]

_UNKNOWN_TO_HARDWARE = ("residual", "index")  # parts of a value that no scale byte and no code carries


def gemm(
    a: PackedTensor,
    b: PackedTensor,
    c: Any = None,
    *,
    alpha: float = 1.0,
    beta: float | None = None,
    bias: Any = None,
    model: str | MmaModel = "blackwell",
    out: Out = "float32",
    threads: int | None = None,
) -> NDArray[Any]:
    """a bᵀ as a block-scaled GEMM kernel computes it; every step is emulated, so that large products take their time.

    Args:
        a: (M, K), blocks along K; ``b``: (N, K), in the same element, block and scale formats. E2M1 with UE4M3 scales a block
            of 16 (rows of 1 or 16), or E8M0 a block of 32 or 16; the tensor scale is one number or none. K that is no whole
            number of steps is filled up with zero codes under zero scale bytes.
        c: float32 (M, N), added in the epilogue alone.
        alpha, beta: factors of the product and of ``c``, rounded to float32; beta is 1 where it is not given, and needs ``c``.
        bias: float32 (N,), added last.
        model: a name of :func:`fp4sim.mma.model_names`, or an :class:`fp4sim.mma.MmaModel`.
        out: the result's dtype: ``"float32"``, ``"bfloat16"`` or ``"float16"``, rounded to nearest even.
        threads: worker threads; None means all processors. No thread count changes a bit.

    On a GPU (both operands' arrays are there) c and bias may be there too; models like ``blackwell`` are computed, others raise
    UsageError. The result is CuPy's, or torch's if a came from there.

    Returns:
        An array (M, N). The steps start from C = +0. Then, each operation rounded to float32 on its own: the product times
        fl(fl(scale of a times scale of b) alpha); plus fl(beta c); plus bias; the cast.

    Raises:
        UsageError for operands that no instruction takes together: other formats, other K, rotations that differ, values that
        hang on more than codes and scales (+occ, +mxplus, +if4); and for arrays that do not fit.
    """
    fmt, block = _kind(a, b)
    shape = (a.shape[0], b.shape[0])
    if any(not isinstance(operand.packed, np.ndarray) for operand in (a, b)):
        from fp4sim.gpu.gemm import gemm_on_device

        factors = (_factor("alpha", alpha), None if beta is None else _factor("beta", beta))
        return gemm_on_device(a, b, c, *factors, bias, model_named(model), out, (fmt, block))
    dtype = _out_dtype(out)
    addend, offset = _array("c", c, shape), _array("bias", bias, shape[1:])
    if beta is not None and addend is None:
        raise UsageError("beta is given without c: it is the factor of c")
    zero = np.zeros(shape, np.float32)
    operands = (a.packed, b.packed, zero, _scales(a), _scales(b))
    product = block_scaled_mma(*operands, scale_format=fmt, block=block, model=model, threads=threads)
    with ieee_mode(), np.errstate(all="ignore"):
        factor = np.float32(a.tensor_scale * b.tensor_scale) * _factor("alpha", alpha)
        d = product * factor
        if addend is not None:
            d = d + addend * _factor("beta", 1.0 if beta is None else beta)
        if offset is not None:
            d = d + offset
        return np.asarray(d, dtype)


def _kind(a: PackedTensor, b: PackedTensor) -> tuple[ScaleFormat, int]:
    """The scale format and block of both operands. Raises UsageError."""
    kinds = []
    for name, operand in (("a", a), ("b", b)):
        if not isinstance(operand, PackedTensor):
            raise UsageError(f"{name} is a {type(operand).__name__}: quantize it to a PackedTensor first")
        spec = operand.spec
        if len(operand.shape) != 2 or operand.axis % 2 != 1:
            raise UsageError(
                f"{name} has shape {operand.shape} with blocks along axis {operand.axis}: (rows, K) along K"
            )
        if spec.element != E2M1 or spec.block.kind != "tile" or spec.scale not in (UE4M3, E8M0):
            raise UsageError(
                f"{name} is {spec.short}: no instruction multiplies it, only E2M1 under E4M3 or E8M0 scales"
            )
        if spec.has("if4") or any(part in operand.extra for part in _UNKNOWN_TO_HARDWARE):
            raise UsageError(
                f"{name} is {spec.short}: its values are more than codes and scales, which is all that is read"
            )
        if operand.tensor_scale.ndim:
            raise UsageError(
                f"{name} has tensor scales of shape {operand.tensor_scale.shape}: one for the tensor is possible"
            )
        kinds.append((check_kind("ue4m3" if spec.scale == UE4M3 else "ue8m0", spec.block.cols), spec.block.cols))
    if kinds[0] != kinds[1]:
        raise UsageError(f"a is {a.spec.short}, b is {b.spec.short}: one instruction takes one scale format and block")
    if a.shape[1] != b.shape[1]:
        raise UsageError(f"K differs: a has {a.shape[1]} columns, b {b.shape[1]}")
    if not _same_rotation(a, b):
        raise UsageError("a and b are rotated differently: their product would not be that of the tensors")
    return kinds[0]


def _same_rotation(a: PackedTensor, b: PackedTensor) -> bool:
    if a.signs is None or b.signs is None:
        return a.signs is b.signs
    return np.array_equal(a.signs, b.signs)


def _scales(x: PackedTensor) -> NDArray[np.uint8]:
    """Scale bytes of every row: a tile's is that of each of its rows."""
    tall = x.block_scale.repeat(x.spec.block.rows, axis=0)[: x.shape[0]]
    return np.ascontiguousarray(tall.astype(np.uint8, copy=False))


def _array(name: str, value: Any, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    """A float32 array of a shape, or None. Raises UsageError."""
    if value is None:
        return None
    array = as_array(value)[0]
    if array.dtype != np.float32 or array.shape != shape:
        raise UsageError(f"{name} is {array.dtype.name} of shape {array.shape}: it must be float32 of shape {shape}")
    return np.asarray(array)


def _factor(name: str, value: Any) -> np.float32:
    try:
        return np.float32(value)
    except (TypeError, ValueError):
        raise UsageError(f"{name} is {value!r}: it must be a number") from None


def _out_dtype(out: str) -> np.dtype[Any]:
    import ml_dtypes

    known: dict[str, Any] = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
    if out not in known:
        raise UsageError(f"out={out!r}: {', '.join(known)}")
    dtype: np.dtype[Any] = np.dtype(known[out])
    return dtype
