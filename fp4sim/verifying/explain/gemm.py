"""Why a GEMM output is not what it should be: an operand the other way round, a factor that is missing or there twice, or the
arithmetic of another unit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.report.verify_model import Finding
from fp4sim.verifying.explain.judge import MOST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.verifying.gemm import Product
    from fp4sim.verifying.gemm_judge import Judged

_NEAR = 1e-3  # factors nearer to 1 are not told from the right one
_Way = tuple[str, str, Any, Any, Any, Any]  # cause, sentence, and y, raw, size, factor under it


def explain(product: Product, judged: Judged) -> Iterator[Finding]:
    """What explains the elements outside the bound of FP32 accumulation, and those inside it that no order gives."""
    found = judged.result
    if found.beyond_bound:
        yield _of_bound(product, found.beyond_bound)
    other = 0 if judged.other_sums is None else int(np.count_nonzero(judged.other_sums))
    if other and not (found.beyond_bound and not product.y.any()):
        yield _of_arithmetic(product, judged, other)


def _of_arithmetic(product: Product, judged: Judged, other: int) -> Finding:
    """Elements whose errors FP32 accumulation allows, but not the model in any order."""
    found = judged.result
    obeyed = [name for name in found.obeyed if name != found.model]
    compared = {one.name: one.compared for one in found.models}
    head = f"{other:,} elements that {found.model} gives in no order, within the error of FP32 sums"
    if judged.nearby:
        sentence = f"{head}: every element is what it gives under a factor one ulp {judged.nearby}; dump the kernel's own alpha"
        return Finding("gemm.factor_rounding", "gemm", sentence, other, other)
    if obeyed:
        where = (
            "every element" if compared[obeyed[0]] == found.total else f"each of {compared[obeyed[0]]:,} elements tried"
        )
        sentence = f"{head}: {where} is what {obeyed[0]} gives"
        return Finding("gemm.model", "gemm", sentence, other, other, tuple(obeyed[1:]))
    if found.dtype == "float32" and (name := _narrow(product.y)):
        sentence = f"{head}: y was rounded to {name} and stored as float32"
        return Finding("gemm.narrowed", "gemm", sentence, other, other)
    sentence = f"{head}: sums of another unit, or of other operands (--model bound judges emulations in FP32)"
    return Finding("gemm.accumulation", "gemm", sentence, other, other)


def _of_bound(product: Product, outside: int) -> Finding:
    """The first assumption under which the elements are inside the bound (all, or nearly all of those outside)."""
    if not product.y.any():
        return _finding("gemm.all_zero", "every element is zero: nothing was computed or written", outside, 0)
    best: tuple[int, str, str] | None = None
    for cause, sentence, *arrays in _ways(product):
        left = int(np.count_nonzero(product.outside(*arrays)))
        if left <= (1 - MOST) * outside and (best is None or left < best[0]):
            best = (left, cause, sentence)
        if not left:
            break
    if best is None:
        return Finding(
            "unknown", "gemm", f"{outside:,} elements outside the bound: no hypothesis explains them", 0, outside
        )
    return _finding(best[1], best[2], outside, best[0])


def _finding(cause: str, sentence: str, outside: int, left: int) -> Finding:
    head = f"all {outside:,}" if not left else f"{outside - left:,} of {outside:,}"
    return Finding(cause, "gemm", f"{head} elements outside the bound: {sentence}", outside - left, outside)


def _ways(p: Product) -> Iterator[_Way]:
    yield from _factors(p)
    yield from _turned(p)
    yield from _without_scales(p)
    yield from _any_factor(p)
    yield from _narrowed(p)


def _factors(p: Product) -> Iterator[_Way]:
    a, b = p.a.factor, p.b.factor.T
    choices: list[tuple[str, str, Any]] = []
    same = a.size == b.size == 1 and abs(float(a[0, 0] / b[0, 0]) - 1) < _NEAR
    for name, factor in (("x or of w" if same else "x", a), ("w", b), ("x and of w", a * b)):
        choices += [
            ("gemm.tensor_scale_missing", f"the tensor scale of {name} is left out", 1 / factor),
            (
                "gemm.tensor_scale_inverted",
                f"sums are divided by the tensor scale of {name}, not multiplied",
                factor**-2.0,
            ),
            ("gemm.tensor_scale_twice", f"the tensor scale of {name} is applied twice", factor),
        ]
    alpha = p.alpha
    if alpha:
        choices += [
            ("gemm.alpha_missing", f"alpha = {alpha:g} is left out", 1 / alpha),
            ("gemm.alpha_twice", f"alpha = {alpha:g} is applied twice", alpha),
            ("gemm.alpha_only", f"tensor scales are left out, alpha = {alpha:g} alone is applied", 1 / (a * b)),
        ]
    with np.errstate(all="ignore"):
        for cause, sentence, change in choices:
            if np.abs(np.log(np.abs(np.asarray(change)))).max() > _NEAR:
                yield cause, sentence, p.y, p.raw, p.size, p.factor * change


def _turned(p: Product) -> Iterator[_Way]:
    rows, cols = p.y.shape
    if min(rows, cols) > 1:
        sentence = f"y is stored transposed, as ({cols:,}, {rows:,})"
        yield "gemm.transposed", sentence, p.y.reshape(cols, rows).T, p.raw, p.size, p.factor
    if cols == p.depth and p.b.factor.size == cols and (p.b.factor == p.b.factor[0]).all():
        a, b = p.a.values, p.b.values
        yield (
            "gemm.operand_transposed",
            "w is used transposed: y = x · w, not x · wᵀ",
            p.y,
            a @ b,
            np.abs(a) @ np.abs(b),
            p.factor,
        )


def _without_scales(p: Product) -> Iterator[_Way]:
    a, b = p.a.codes, p.b.codes
    for name, left, right in (("x", a, p.b.values), ("w", p.a.values, b), ("x and of w", a, b)):
        if left is not None and right is not None:
            size = np.abs(left) @ np.abs(right).T
            yield (
                "gemm.no_block_scales",
                f"the block scales of {name} are left out",
                p.y,
                left @ right.T,
                size,
                p.factor,
            )


def _any_factor(p: Product) -> Iterator[_Way]:
    with np.errstate(all="ignore"):
        exact = p.raw * p.factor
        ratio = (p.y.astype(np.float64) / exact)[np.abs(exact) > 0.5 * p.size * np.abs(p.factor)]
        ratio = ratio[np.isfinite(ratio)] if ratio.size >= 8 else np.zeros(0)
        if not ratio.size:
            large = np.abs(exact) >= np.quantile(np.abs(exact), 0.9)
            ratio = (p.y.astype(np.float64) / exact)[large & np.isfinite(exact) & (exact != 0)]
            ratio = ratio[np.isfinite(ratio)]
    factor = float(np.median(ratio)) if ratio.size else 0.0
    if factor and abs(factor - 1) > _NEAR:
        close = np.abs(ratio / factor - 1) < _NEAR
        factor = float(np.mean(ratio[close])) if close.any() else factor
        sentence = f"every element is {factor:.6g} times the product: a factor is missing, or one too many"
        yield "gemm.factor", sentence, p.y, p.raw, p.size, p.factor * factor


def _narrowed(p: Product) -> Iterator[_Way]:
    import ml_dtypes

    if p.y.dtype != np.float32:
        return
    name = _narrow(p.y)
    if name:
        narrow = p.y.astype(ml_dtypes.bfloat16 if name == "bfloat16" else name)
        yield "gemm.narrowed", f"y was rounded to {name} and stored as float32", narrow, p.raw, p.size, p.factor


def _narrow(y: NDArray[Any]) -> str:
    """The 16-bit dtype that holds all of y; empty where none does."""
    import ml_dtypes

    for dtype in (np.dtype(ml_dtypes.bfloat16), np.dtype(np.float16)):
        with np.errstate(all="ignore"):
            if np.array_equal(y.astype(dtype).astype(np.float32), y, equal_nan=True):
                return dtype.name
    return ""
