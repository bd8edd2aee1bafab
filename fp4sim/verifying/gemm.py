"""A dumped GEMM output with its decoded operands, and a bound that FP32 accumulation of any kind keeps.

|y - exact| <= gamma_n · Σ|a||b| + half an ulp of the output's dtype, where gamma_n = n·u / (1 - n·u), u = 2^-24 and n = K + 5:
K roundings of the sum in any order, three of the factor (tensor scales, alpha), and those of adding c and bias, whose
magnitudes count as products do. It is no bit equality: a right kernel is inside, and a wrong one may be if its fault is small.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.errors import UnreadableError, UsageError
from fp4sim.mma.epilogue import Epilogue
from fp4sim.transforms import rotation_size
from fp4sim.verifying.buffers import Output, output_of
from fp4sim.verifying.closeness import kernel_packed
from fp4sim.verifying.dump import Case
from fp4sim.verifying.expected import Expected

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fp4sim.packed import PackedTensor
    from fp4sim.spec import Spec
    from fp4sim.verifying.gemm_dump import Gemm

Matrix = "NDArray[np.float64]"
_UNIT = 2.0**-24
_DIGITS = {"float64": (53, -1022), "float32": (24, -126), "bfloat16": (8, -126), "float16": (11, -14)}


@dataclass(frozen=True, eq=False)
class Operand:
    """A decoded operand. ``values``: (rows, K) without the tensor scale, ``factor``: the tensor scale, a column.

    ``codes``: what the codes alone stand for, None where none are known. ``own``: as the kernel dumped it. ``packed``: its
    codes and scales, None where values alone are known.
    """

    values: NDArray[np.float64]
    factor: NDArray[np.float64]
    codes: NDArray[np.float64] | None
    own: bool
    packed: PackedTensor | None = None


@dataclass(frozen=True, eq=False)
class Product:
    """``a · bᵀ`` in float64 with its factor apart, the same of magnitudes, and the kernel's ``y`` in that shape.

    ``combined``: the dumped alpha is the product of the tensor scales, and so no factor of its own. ``epilogue``: what the
    dump says of it. ``added``: what it adds, in float64.
    """

    a: Operand
    b: Operand
    y: NDArray[Any]
    alpha: float
    raw: NDArray[np.float64]
    size: NDArray[np.float64]
    combined: bool
    epilogue: Epilogue
    added: NDArray[np.float64]

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
            exact = raw * factor + self.added
            total = size * np.abs(factor) + np.abs(self.added)
            return ~_inside(y, exact, bound(exact, total, self.depth, y.dtype.name))

    def errors(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """|y - exact|, and the same in units of the bound: infinite where NaN or Inf is wrong."""
        with np.errstate(all="ignore"):
            exact = self.raw * self.factor + self.added
            total = self.size * np.abs(self.factor) + np.abs(self.added)
            limit = bound(exact, total, self.depth, self.y.dtype.name)
            inside = _inside(self.y, exact, limit)
            error = np.abs(self.y.astype(np.float64) - exact)
            share = np.where(inside & ~(error <= limit), 0.0, error / limit)
            return error, np.where(np.isnan(share), np.where(inside, 0.0, np.inf), share)


def bound(exact: NDArray[np.float64], size: NDArray[np.float64], depth: int, dtype: str) -> NDArray[np.float64]:
    """The bound of each element; ``size``: the sum of the magnitudes of its products."""
    digits, least = _DIGITS[dtype]
    count = (depth + 5) * _UNIT
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
    y = gemm.y.reshape(rows, cols)
    epilogue, added = _epilogue(gemm, a, b, y, combined=combined)
    return Product(a, b, y, 1.0 if combined else alpha, raw, size, combined, epilogue, added)


def _epilogue(
    gemm: Gemm, a: Operand, b: Operand, y: NDArray[Any], *, combined: bool
) -> tuple[Epilogue, NDArray[np.float64]]:
    """The factor fl(fl(scale of x · scale of w) · alpha), or the dumped alpha where that is their product; c and bias."""
    with np.errstate(all="ignore"):
        scales = np.float32(1) if combined else a.factor.astype(np.float32) * b.factor.astype(np.float32).T
        factor = np.asarray(scales * np.float32(1 if gemm.alpha is None else gemm.alpha), np.float32)
        beta = np.float32(1 if gemm.beta is None else gemm.beta)
        addend = None if gemm.c is None else gemm.c.reshape(y.shape) * beta
        offset = None if gemm.bias is None else gemm.bias.reshape(-1)
        added = np.zeros((1, 1))
        for part in (addend, offset):
            added = added if part is None else added + part.astype(np.float64)
    return Epilogue(factor, y.dtype, addend, offset), added


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
    return Operand(whole, one * scale.reshape(-1, 1), codes, output.codes is not None, packed)


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
