"""A GEMM of packed tensors, emulated: block-scaled steps, then the epilogue of a kernel, bit for bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.floats import E2M1, E8M0, UE4M3
from fp4sim.fpmode import ieee_mode
from fp4sim.interop import as_array
from fp4sim.mma.block_scaled import block_scaled_mma
from fp4sim.mma.epilogue import Epilogue
from fp4sim.mma.instances import model_named
from fp4sim.mma.operands import ScaleFormat, check_kind
from fp4sim.mma.order import order_named
from fp4sim.packed import PackedTensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.mma.model import MmaModel
    from fp4sim.mma.order import Order

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
    order: str | Order = "chain",
    out: Out = "float32",
    threads: int | None = None,
) -> NDArray[Any]:
    """a bᵀ as a block-scaled GEMM kernel computes it.

    Args:
        a: (M, K), blocks along K; ``b``: (N, K), in the same element, block and scale formats. E2M1 with UE4M3 scales a block
            of 16 (rows of 1 or 16), or E8M0 a block of 32 or 16; the tensor scale is one number, one a row, or none. K that is
            no whole number of steps is filled up with zero codes under zero scale bytes.
        c: float32 (M, N), added in the epilogue alone.
        alpha, beta: factors of the product and of ``c``, rounded to float32; beta is 1 where it is not given, and needs ``c``.
        bias: float32 (N,), added last.
        model: a name of :func:`fp4sim.mma.model_names`, or an :class:`fp4sim.mma.MmaModel`.
        order: how K is cut and partial sums added: ``"chain"``, ``"split-k:N"``, ``"stream-k:STEP:STEP…"`` (fp4sim.mma.order).
        out: the result's dtype: ``"float32"``, ``"bfloat16"`` or ``"float16"``, rounded to nearest even.
        threads: worker threads; None means all processors. No thread count changes a bit.

    On a GPU (both operands' arrays are there) c and bias may be there too; models like ``blackwell`` are computed there, others
    on the host. The result is CuPy's, or torch's if a came from there.

    Returns:
        An array (M, N); NaN in rows and columns with a NaN scale byte. The steps start from C = +0. Then, each operation
        rounded to float32 on its own: the product times fl(fl(scale of a times scale of b) alpha), which where scales are one
        a row is a factor for every output; plus fl(beta c); plus bias; the cast.

    Raises:
        UsageError for operands that no instruction takes together: other formats, other K, rotations that differ, values that
        hang on more than codes and scales (+occ, +mxplus, +if4); and for arrays that do not fit.
    """
    fmt, block = kind_of(a, b)
    shape = (a.shape[0], b.shape[0])
    if any(not isinstance(operand.packed, np.ndarray) for operand in (a, b)):
        from fp4sim.gpu.gemm import gemm_on_device

        factors = (_factor("alpha", alpha), None if beta is None else _factor("beta", beta))
        on_gpu: NDArray[Any] = gemm_on_device(
            a, b, c, *factors, bias, model_named(model), order_named(order), out, (fmt, block), threads
        )
        return on_gpu
    dtype = out_dtype(out)
    addend, offset = _array("c", c, shape), _array("bias", bias, shape[1:])
    if beta is not None and addend is None:
        raise UsageError("beta is given without c: it is the factor of c")
    zero = np.zeros(shape, np.float32)
    operands = (a.packed, b.packed, zero, row_scales(a), row_scales(b))
    product = block_scaled_mma(*operands, scale_format=fmt, block=block, model=model, order=order, threads=threads)
    with ieee_mode(), np.errstate(all="ignore"):
        factor = (_by_row(a)[:, None] * _by_row(b)) * _factor("alpha", alpha)
        added = None if addend is None else addend * _factor("beta", 1.0 if beta is None else beta)
    return Epilogue(factor, dtype, added, offset).apply(product)


def kind_of(a: PackedTensor, b: PackedTensor) -> tuple[ScaleFormat, int]:
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
        if operand.tensor_scale.shape not in ((), operand.shape[:1]):
            raise UsageError(
                f"{name} has tensor scales of shape {operand.tensor_scale.shape}: one, or one a row, is possible"
            )
        kinds.append((check_kind("ue4m3" if spec.scale == UE4M3 else "ue8m0", spec.block.cols), spec.block.cols))
    if kinds[0] != kinds[1]:
        raise UsageError(f"a is {a.spec.short}, b is {b.spec.short}: one instruction takes one scale format and block")
    if a.shape[1] != b.shape[1]:
        raise UsageError(f"K differs: a has {a.shape[1]} columns, b {b.shape[1]}")
    if not same_rotation(a, b):
        raise UsageError("a and b are rotated differently: their product would not be that of the tensors")
    return kinds[0]


def same_rotation(a: PackedTensor, b: PackedTensor) -> bool:
    """Whether the product of the rotated tensors is that of the tensors."""
    if a.signs is None or b.signs is None:
        return a.signs is b.signs
    return np.array_equal(a.signs, b.signs)


def _by_row(x: PackedTensor) -> NDArray[np.float32]:
    """Tensor scales, (1,) or (rows,)."""
    return np.atleast_1d(np.asarray(x.tensor_scale, np.float32))


def row_scales(x: PackedTensor) -> NDArray[np.uint8]:
    """Scale bytes of every row: a tile's is that of each of its rows."""
    tall = x.block_scale.repeat(x.spec.block.rows, axis=0)[: x.shape[0]]
    return np.ascontiguousarray(tall.astype(np.uint8, copy=False))


def _array(name: str, value: Any, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    """A float32 array of a shape, or None. Raises UsageError."""
    if value is None:
        return None
    array = as_array(value)[0]
    if array.dtype.name != "float32" or array.shape != shape:
        raise UsageError(f"{name} is {array.dtype.name} of shape {array.shape}: it must be float32 of shape {shape}")
    return np.asarray(array, np.float32)  # in this machine's byte order


def _factor(name: str, value: Any) -> np.float32:
    try:
        return np.float32(float(value))
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"{name} is not one number") from None


def out_dtype(out: str) -> np.dtype[Any]:
    """The dtype of an output by its name. Raises UsageError."""
    import ml_dtypes

    known: dict[str, Any] = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
    if out not in known:
        raise UsageError(f"out={out!r}: {', '.join(known)}")
    dtype: np.dtype[Any] = np.dtype(known[out])
    return dtype
