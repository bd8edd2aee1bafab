"""A GEMM output against a model of the matrix unit: bit for bit, else by what any order of its steps could give.

Where no instruction takes the operands, or the bound alone is asked for, the output is held to the bound of FP32 accumulation
(:mod:`fp4sim.verifying.gemm`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.mma.instances import model_named
from fp4sim.mma.raw import RawPair
from fp4sim.report.verify_model import GemmModel, GemmOutside, GemmResult
from fp4sim.verifying.gemm_models import other_models, same_bits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.verifying.gemm import Product

BOUND = "bound"  # in place of a model: the bound of FP32 accumulation alone
_SHOWN = 8


@dataclass(frozen=True, eq=False)
class Judged:
    """The result, and which elements are outside the enclosure but inside the bound (None: judged by the bound).

    ``nearby``: a factor one ulp away, ``"larger"`` or ``"smaller"``, under which every element is bit for bit the model's.
    """

    result: GemmResult
    other_sums: NDArray[np.bool_] | None
    nearby: str = ""


def check_model(name: str) -> None:
    """Raise UsageError for the name of no model."""
    if name != BOUND:
        model_named(name)


def judge_gemm(product: Product, shape: tuple[int, ...], model: str, threads: int, *, signed: bool = True) -> Judged:
    """Judge every element of y; ``shape``: of x; ``signed``: a zero of the other sign is another value."""
    error, share = product.errors()
    bounded = _bound_result(product, shape, error, share)
    if model == BOUND:
        return Judged(bounded, None)
    if product.a.packed is None or product.b.packed is None:
        return Judged(
            replace(bounded, reason="an operand was dumped as decoded values, without codes and scales"), None
        )
    try:
        pair = RawPair.of(product.a.packed, product.b.packed)
    except UsageError as error_:
        return Judged(replace(bounded, reason=str(error_)), None)
    y = product.y
    words = pair.words(model, threads=threads)
    equal = same_bits(y, product.epilogue.apply(words))
    beyond: tuple[GemmOutside, ...] = ()
    outside = np.zeros(y.shape, np.bool_)
    if not equal.all():
        outside, beyond = _outside(product, pair, model, equal, shape, threads, signed=signed)
    nearby = "" if equal.all() else _nearby(product, words)
    under = (GemmModel(f"{model} under a factor one ulp {nearby}", 0, y.size),) if nearby else ()
    differing = int(np.count_nonzero(~equal))
    result = replace(
        bounded,
        method="enclosure",
        outside=int(np.count_nonzero(outside)),
        model=model,
        equal=int(np.count_nonzero(equal)),
        beyond=beyond,
        models=under + other_models(pair, product.epilogue, y, model, differing, threads),
    )
    return Judged(result, outside & (share <= 1), nearby)


def _nearby(product: Product, words: NDArray[np.float32]) -> str:
    """Kernels multiply or invert tensor scales in their own order, and round the factor otherwise by an ulp."""
    for name, end in (("larger", np.inf), ("smaller", -np.inf)):
        factor = np.nextafter(product.epilogue.factor, np.float32(end))
        if same_bits(product.y, replace(product.epilogue, factor=factor).apply(words)).all():
            return name
    return ""


def _outside(
    product: Product, pair: RawPair, model: str, equal: NDArray[np.bool_], shape: tuple[int, ...], threads: int,
    *, signed: bool,
) -> tuple[NDArray[np.bool_], tuple[GemmOutside, ...]]:  # fmt: skip
    """Elements that no order gives, and the first of them; only rows and columns with an unequal element are enclosed."""
    rows, cols = (np.flatnonzero(~equal.all(axis=axis)) for axis in (1, 0))
    enclosure = pair.take(rows, cols).enclose(model, threads)
    low, high = product.epilogue.take(rows, cols).bounds(enclosure)
    found = product.y[np.ix_(rows, cols)]
    with np.errstate(invalid="ignore"):
        never = np.isnan(found.astype(np.float64))
        want_nan = enclosure.nan | (np.isnan(low.astype(np.float64)) & ~enclosure.free)
        between = _at_most(low, found, signed=signed) & _at_most(found, high, signed=signed)
        inside = np.where(want_nan, never, enclosure.free | between)
    outside = np.zeros(equal.shape, np.bool_)
    outside[np.ix_(rows, cols)] = ~inside & ~equal[np.ix_(rows, cols)]
    listed = []
    for row, col in np.argwhere(outside)[:_SHOWN]:
        place = int(np.searchsorted(rows, row)), int(np.searchsorted(cols, col))
        values = (product.y[row, col], low[place], high[place])
        listed.append(GemmOutside(index_of(int(row), int(col), shape), *(_number(value) for value in values)))
    return outside, tuple(listed)


def _at_most(x: NDArray[Any], y: NDArray[Any], *, signed: bool) -> NDArray[np.bool_]:
    """x <= y; -0 is below +0 where signs count: every operation of an epilogue keeps that order too."""
    return np.asarray((x < y) | ((x == y) & (~np.bool_(signed) | (np.signbit(x) >= np.signbit(y)))))


def index_of(row: int, col: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The index in y of a row of x's matrix and a column; ``shape``: of x."""
    lead = tuple(int(i) for i in np.unravel_index(row, shape[:-1])) if len(shape) > 1 else ()
    return (*lead, col)


def _number(value: Any) -> float | str:
    """A float for JSON: NaN and infinities are words."""
    number = float(value)
    return number if np.isfinite(number) else str(number)


def _bound_result(
    product: Product, shape: tuple[int, ...], error: NDArray[np.float64], share: NDArray[np.float64]
) -> GemmResult:
    worst = int(share.argmax())
    most, found = float(share.reshape(-1)[worst]), float(error.reshape(-1)[worst])
    row, col = divmod(worst, product.y.shape[1])
    beyond = int(np.count_nonzero(share > 1))
    sources = {True: "as the kernel dumped it", False: "as fp4sim quantizes it"}
    return GemmResult(
        (*product.y.shape, product.depth),
        product.y.dtype.name,
        "bound",
        beyond,
        share.size,
        beyond,
        most if np.isfinite(most) else None,
        found if np.isfinite(found) else None,
        index_of(row, col, shape),
        f"x {sources[product.a.own]}, w {sources[product.b.own]}"
        + ("; alpha is taken for the product of the tensor scales" if product.combined else ""),
    )
