"""Products of E2M1 codes under block scales, on raw bytes, as an instruction of a tensor core chain makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.gpu.arrays import is_on_device
from fp4sim.mma.instances import model_named
from fp4sim.mma.operands import block_scaled, check_kind
from fp4sim.mma.order import order_named

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.mma.model import MmaModel
    from fp4sim.mma.multiply import Path
    from fp4sim.mma.operands import Factors
    from fp4sim.mma.order import Order


def block_scaled_mma(
    a_packed: NDArray[np.uint8],
    b_packed: NDArray[np.uint8],
    c: NDArray[np.float32] | NDArray[np.uint32],
    a_scale: NDArray[np.uint8],
    b_scale: NDArray[np.uint8],
    *,
    scale_format: str,
    block: int,
    model: str | MmaModel = "blackwell",
    order: str | Order = "chain",
    path: Path = "compiled",
    threads: int | None = None,
) -> NDArray[np.float32]:
    """D = A Bᵀ + C, bit for bit as a model makes it; K beyond one step is chained through D.

    Args:
        a_packed: uint8 (m, K/2), E2M1 codes two a byte, the even element low. K is whole blocks; K that is no whole number of
            steps is filled up with zero codes under zero scale bytes.
        b_packed: uint8 (n, K/2), a row for each column of D.
        c: float32 (m, n), or its bits as uint32.
        a_scale: uint8 (m, K/block), scale codes; ``b_scale``: (n, K/block). float8 arrays must be viewed as uint8.
        scale_format, block: ``"ue4m3"`` with 16, ``"ue8m0"`` with 32 or 16; nothing else is an instruction.
        model: a name of :func:`fp4sim.mma.model_names`, or an :class:`fp4sim.mma.MmaModel`.
        order: ``"chain"``, ``"split-k:N"`` or ``"stream-k:STEP:STEP…"``, or an :class:`fp4sim.mma.Order`.
        path: ``"compiled"``, or one that is forced: ``"proven"`` (a BLAS where that is proven exact), ``"emulated"`` (every
            step), ``"wide"`` (the same by a kernel for all models), ``"reference"`` (Python integers: the definition, a
            million times slower). They give the same bits.
        threads: worker threads; None means all processors. No thread count changes a bit.

    All five arrays may have one more axis in front, of independent products. On a GPU all five are CuPy's or torch's there,
    the result is CuPy's, and ``path`` is ``"compiled"``, ``"proven"``, ``"emulated"`` or ``"wide"``. What float32 does not hold
    there takes the slow wide path: MXFP4 rows wider than 26 binades, and single accumulators (docs/gemm.md).

    Returns:
        float32 of the shape of C. A NaN scale byte anywhere in a row of A or B, or NaN in C, gives NaN with the bits
        0x7fffffff, whatever the model.

    Raises:
        UsageError for dtypes, shapes that do not fit, formats that no instruction takes and unknown models.
    """
    rule, plan = model_named(model), order_named(order)
    if is_on_device(a_packed):
        from fp4sim.gpu.gemm import block_scaled_on_device

        fmt, arrays = check_kind(scale_format, block), (a_packed, b_packed, c, a_scale, b_scale)
        return block_scaled_on_device(arrays, fmt, block, rule, plan, path)  # type: ignore[no-any-return]
    from fp4sim.mma.multiply import multiply  # what it imports is not needed on a GPU

    a, b, words = read_operands(a_packed, b_packed, c, a_scale, b_scale, scale_format, block, rule)
    return multiply(a, b, words, rule, path, threads, plan).reshape(np.shape(c)).view(np.float32)


def read_operands(
    a_packed: Any, b_packed: Any, c: Any, a_scale: Any, b_scale: Any, scale_format: str, block: int, model: MmaModel
) -> tuple[Factors, Factors, NDArray[np.uint32]]:
    """Both operands and the bits of C, all with a batch axis. Raises UsageError as :func:`block_scaled_mma` does."""
    fmt = check_kind(scale_format, block)
    arrays = {"a_packed": a_packed, "b_packed": b_packed, "a_scale": a_scale, "b_scale": b_scale}
    batched = {name: _bytes(name, array) for name, array in arrays.items()}
    words = float_bits(c)
    check_shapes({name: array.shape for name, array in batched.items()} | {"c": words.shape}, block)
    lifted = {name: array[None] if array.ndim == 2 else array for name, array in batched.items()}
    a = block_scaled(lifted["a_packed"], lifted["a_scale"], fmt, block, model)
    b = block_scaled(lifted["b_packed"], lifted["b_scale"], fmt, block, model)
    return a, b, words[None] if words.ndim == 2 else words


def float_bits(c: Any) -> NDArray[np.uint32]:
    """The accumulator's bits, C-contiguous. Raises UsageError for anything but float32 and uint32."""
    array = np.asarray(c)
    if array.dtype.name not in ("float32", "uint32"):
        raise UsageError(f"c of dtype {array.dtype}: it must be float32, or its bits as uint32")
    return np.ascontiguousarray(array, array.dtype.newbyteorder("=")).view(np.uint32)


def _bytes(name: str, array: Any) -> NDArray[np.uint8]:
    values = np.asarray(array)
    if values.dtype != np.uint8:
        raise UsageError(f"{name} of dtype {values.dtype}: it must be raw bytes, uint8")
    if values.ndim not in (2, 3):
        raise UsageError(f"{name} has shape {values.shape}: it must have two axes, or three with a batch in front")
    return values


def check_shapes(shapes: dict[str, tuple[int, ...]], block: int) -> None:
    """Raises UsageError where the shapes of a_packed, b_packed, c, a_scale and b_scale do not fit."""
    a, b = shapes["a_packed"], shapes["b_packed"]
    length = 2 * a[-1]
    if b[-1] != a[-1]:
        raise UsageError(f"K differs: a_packed holds {length} elements a row, b_packed {2 * b[-1]}")
    if length == 0 or length % block:
        raise UsageError(f"K = {length} is not a whole number of blocks of {block}")
    batch = a[:-2]
    expected = {
        "b_packed": (*batch, *b[-2:]),
        "a_scale": (*batch, a[-2], length // block),
        "b_scale": (*batch, b[-2], length // block),
        "c": (*batch, a[-2], b[-2]),
    }
    for name, shape in expected.items():
        if shapes[name] != shape:
            raise UsageError(f"{name} has shape {shapes[name]}, these operands need {shape}")
