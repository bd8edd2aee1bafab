"""A GEMM output held to a bound: the float64 product of the decoded operands, and what FP32 accumulation may be off by.

|y - exact| <= gamma_n · Σ|a||b| + half an ulp of the output's dtype, where gamma_n = n·u / (1 - n·u), u = 2^-24 and n = K + 3:
K roundings of the sum in any order, and three of the factor (tensor scales, alpha). It is no bit equality: a right kernel is
inside, and a wrong one may be if its fault is small.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.errors import UnreadableError, UsageError
from fp4sim.report.verify_model import GemmResult
from fp4sim.transforms import rotation_size
from fp4sim.verifying.buffers import Output, output_of
from fp4sim.verifying.closeness import kernel_packed
from fp4sim.verifying.dump import Case
from fp4sim.verifying.expected import Expected

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fp4sim.spec import Spec
    from fp4sim.verifying.gemm_dump import Gemm

Matrix = "NDArray[np.float64]"
_UNIT = 2.0**-24
_DIGITS = {"float64": (53, -1022), "float32": (24, -126), "bfloat16": (8, -126), "float16": (11, -14)}


@dataclass(frozen=True, eq=False)
class Operand:
    """A decoded operand. ``values``: (rows, K) without the tensor scale, ``factor``: the tensor scale, a column.

    ``codes``: what the codes alone stand for, None where none are known. ``own``: as the kernel dumped it.
    """

    values: NDArray[np.float64]
    factor: NDArray[np.float64]
    codes: NDArray[np.float64] | None
    own: bool


@dataclass(frozen=True, eq=False)
class Product:
    """``a · bᵀ`` in float64 with its factor apart, the same of magnitudes, and the kernel's ``y`` in that shape.

    ``combined``: the dumped alpha is the product of the tensor scales, and so no factor of its own.
    """

    a: Operand
    b: Operand
    y: NDArray[Any]
    alpha: float
    raw: NDArray[np.float64]
    size: NDArray[np.float64]
    combined: bool = False

    @property
    def factor(self) -> NDArray[np.float64]:
        """What the sums are multiplied by."""
        return np.asarray(self.a.factor * self.b.factor.T * self.alpha)

    @property
    def depth(self) -> int:
        """Products a sum."""
        return int(self.a.values.shape[1])

    def outside(self, y: Any, raw: Any, size: Any, factor: Any) -> NDArray[np.bool_]:
        """Where ``y`` is beyond the bound of ``raw · factor``."""
        with np.errstate(all="ignore"):
            exact = raw * factor
            return ~_inside(y, exact, bound(exact, size * np.abs(factor), self.depth, y.dtype.name))


def bound(exact: NDArray[np.float64], size: NDArray[np.float64], depth: int, dtype: str) -> NDArray[np.float64]:
    """The bound of each element; ``size``: the sum of the magnitudes of its products."""
    digits, least = _DIGITS[dtype]
    count = (depth + 3) * _UNIT
    sums = count / (1 - count) * size
    exponent = np.frexp(np.abs(exact) + sums)[1] - 1
    return np.asarray(sums + np.ldexp(1.0, np.maximum(exponent, least) - digits))


def _inside(y: NDArray[Any], exact: NDArray[np.float64], limit: NDArray[np.float64]) -> NDArray[np.bool_]:
    """NaN is right where the product is NaN, an infinity where it may overflow."""
    wide = y.astype(np.float64)
    largest = float(_largest(y.dtype))
    overflow = np.isinf(wide) & (np.sign(wide) == np.sign(exact)) & (np.abs(exact) + limit >= largest)
    return np.asarray((np.abs(wide - exact) <= limit) | overflow | (np.isnan(wide) & np.isnan(exact)))


def _largest(dtype: np.dtype[Any]) -> float:
    import ml_dtypes

    return float(ml_dtypes.finfo(dtype).max)


def product_of(gemm: Gemm, expected: Expected, output: Output, requantize: Callable[[Case], Expected]) -> Product:
    """The product of a case's operands: as the kernel quantized them where it dumped that, else as fp4sim does.

    Raises UnreadableError for shapes that do not fit, UsageError for specs whose GEMM is not compared.
    """
    spec, geometry = expected.spec, expected.geometry
    if rotation_size(spec) or geometry.axis != len(geometry.shape) - 1:
        raise UsageError(
            f"{spec.short}: a GEMM output is compared for unrotated operands with blocks along the last axis"
        )
    a = _operand(expected, output)
    b = _second(gemm, spec, geometry.length, requantize)
    rows, cols = a.values.shape[0], b.values.shape[0]
    if gemm.y.size != rows * cols:
        raise UnreadableError(
            f"the GEMM output has shape {gemm.y.shape}; x of shape {geometry.shape} times w of {cols:,} rows needs"
            f" {(*geometry.shape[:-1], cols)}"
        )
    with np.errstate(all="ignore"):
        raw = a.values @ b.values.T
        size = np.abs(a.values) @ np.abs(b.values).T
    alpha = 1.0 if gemm.alpha is None else gemm.alpha
    factor = a.factor * b.factor.T
    combined = gemm.alpha is not None and bool((np.abs(factor - alpha) < 1e-4 * np.abs(factor)).all())
    return Product(a, b, gemm.y.reshape(rows, cols), 1.0 if combined else alpha, raw, size, combined)


def _operand(expected: Expected, output: Output) -> Operand:
    rows = expected.geometry.rows
    one = np.ones((rows, 1))
    if output.codes is None and output.values is not None:
        return Operand(output.values.astype(np.float64), one, None, own=True)
    packed = kernel_packed(expected, output)
    scale = np.asarray(packed.tensor_scale, np.float64)
    if scale.size not in (1, rows):  # groups of blocks with scales of their own: left in the values
        return Operand(packed.dequantize("float64").reshape(rows, -1), one, None, own=output.codes is not None)
    whole = replace(packed, tensor_scale=np.ones_like(packed.tensor_scale)).dequantize("float64").reshape(rows, -1)
    codes = None
    if packed.spec.scale is not None and expected.plain:
        from fp4sim.kernels.reference.encode import decode

        codes = decode(packed.codes, packed.spec.element).astype(np.float64).reshape(rows, -1)
    return Operand(whole, one * scale.reshape(-1, 1), codes, own=output.codes is not None)


def _second(gemm: Gemm, spec: Spec, length: int, requantize: Callable[[Case], Expected]) -> Operand:
    """w as the kernel quantized it, or as fp4sim does."""
    codes = () if gemm.codes is None else (gemm.codes,)
    if gemm.w is not None:
        if gemm.w.shape[1] != length:
            raise UnreadableError(f"w has shape {gemm.w.shape}: its rows are not x's, {length:,} long")
        x = gemm.w
    else:
        assert gemm.codes is not None
        if gemm.codes.ndim != 2:
            raise UnreadableError(f"w_codes have shape {gemm.codes.shape}: dump (N, K), or (N, K/2) of pairs")
        if spec.scale is not None and gemm.block_scale is None:
            raise UnreadableError("w_codes without w_block_scale say nothing: dump both, or w in floats")
        if spec.tensor_scale.mode != "none" and gemm.tensor_scale is None:
            raise UnreadableError("w_codes without w_tensor_scale or w_divisor say nothing: dump both, or w in floats")
        x = np.zeros((gemm.codes.shape[0], length), np.float32)
    case = Case("w", x, codes, gemm.block_scale, gemm.tensor_scale, gemm.divides)
    expected = requantize(case)
    return _operand(expected, output_of(case, spec, expected.geometry))


def judge_gemm(product: Product, shape: tuple[int, ...]) -> GemmResult:
    """How many elements of y are outside the bound, and how near it the worst comes."""
    with np.errstate(all="ignore"):
        exact = product.raw * product.factor
        limit = bound(exact, product.size * np.abs(product.factor), product.depth, product.y.dtype.name)
        outside = ~_inside(product.y, exact, limit)
        error = np.abs(product.y.astype(np.float64) - exact)
        share = np.where(
            np.isnan(error), np.where(outside, np.inf, 0.0), np.where(outside | (error <= limit), error / limit, 0.0)
        )
    worst = int(share.argmax())
    row, col = divmod(worst, product.y.shape[1])
    lead = tuple(int(i) for i in np.unravel_index(row, shape[:-1])) if len(shape) > 1 else ()
    most = float(share.reshape(-1)[worst])
    found = error.reshape(-1)[worst]
    sources = {True: "as the kernel dumped it", False: "as fp4sim quantizes it"}
    return GemmResult(
        (*product.y.shape, product.depth),
        product.y.dtype.name,
        int(np.count_nonzero(outside)),
        outside.size,
        most if np.isfinite(most) else None,
        float(found) if np.isfinite(found) else None,
        (*lead, col),
        f"x {sources[product.a.own]}, w {sources[product.b.own]}"
        + ("; alpha is taken for the product of the tensor scales" if product.combined else ""),
    )
