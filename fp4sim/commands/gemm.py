"""What ``fp4sim gemm`` does: the error of a product of quantized operands, split into its parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

import fp4sim
from fp4sim.commands.gemm_row import Chain, row_of
from fp4sim.errors import UsageError
from fp4sim.estimators.pipeline import check_spec
from fp4sim.fpmode import ieee_mode
from fp4sim.io.source import ArrayTensor
from fp4sim.mma.epilogue import Epilogue
from fp4sim.mma.gemm import out_dtype, same_rotation
from fp4sim.mma.instances import model_named
from fp4sim.mma.order import order_named
from fp4sim.mma.raw import RawPair
from fp4sim.packing import quantize_tensor
from fp4sim.parallel import thread_count
from fp4sim.report.gemm_model import PARTS, GemmErrors, GemmRow
from fp4sim.stats.product_errors import ProductErrors
from fp4sim.transforms import rotation_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.packed import PackedTensor
    from fp4sim.report.gemm_model import GemmOperand
    from fp4sim.spec import Spec

    Floats = NDArray[np.float64]

Progress = Callable[[str, int], None]  # the formats, outputs done since the last call

_BAND = 256  # rows of outputs at once


@dataclass(frozen=True)
class GemmSettings:
    """How a product is measured.

    ``model``: of the matrix unit; ``order``: of its steps; ``out``: the output's dtype; ``seed``: of random roundings.
    """

    model: str = "blackwell"
    order: str = "chain"
    out: str = "bfloat16"
    seed: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        model_named(self.model)
        order_named(self.order)
        out_dtype(self.out)
        thread_count(self.threads)

    def recorded(self) -> dict[str, Any]:
        """What a report repeats: threads change no digit and are left out."""
        return {"model": self.model, "order": self.order, "out": self.out, "seed": self.seed}


@dataclass(frozen=True, eq=False)
class _Side:
    """A quantized operand: ``values`` float64 (rows, K) without ``scale``, its tensor scale as a number or a column."""

    packed: PackedTensor
    values: Floats
    scale: Floats


@ieee_mode()
def gemm_errors(
    a: tuple[NDArray[np.float32], GemmOperand],
    b: tuple[NDArray[np.float32], GemmOperand],
    pairs: Sequence[tuple[Spec, Spec]],
    settings: GemmSettings | None = None,
    progress: Progress | None = None,
) -> GemmErrors:
    """The error of a · bᵀ under each pair of formats; ``a`` is (M, K), ``b`` is (N, K), finite, with what reports say of them.

    Random bits of the two operands differ; rotations are the same. Formats that no instruction multiplies are measured as far
    as that makes sense, and say why. Raises UsageError for shapes that do not fit.
    """
    settings = settings or GemmSettings()
    (x, of_x), (w, of_w) = a, b
    if x.shape[1] != w.shape[1]:
        raise UsageError(
            f"K differs: A is {x.shape[0]:,} × {x.shape[1]:,}, B is {w.shape[0]:,} × {w.shape[1]:,}; the product is A · Bᵀ,"
            " both with K columns"
        )
    if not pairs:
        raise UsageError("no formats to measure: name at least one, e.g. --formats nvfp4,mxfp4")
    for spec in dict.fromkeys(one for pair in pairs for one in pair):
        check_spec(spec)
        if (size := rotation_size(spec)) and x.shape[1] % size:
            raise UsageError(f"{spec.short} rotates groups of {size}, which do not divide K = {x.shape[1]:,}")
    notes = []
    if x.shape == w.shape and np.array_equal(x, w):
        notes.append(
            "A and B are the same tensor: this is its Gram matrix, no ordinary product (synthetic: give another seed)"
        )
    return GemmErrors(
        of_x,
        of_w,
        (x.shape[0], w.shape[0], x.shape[1]),
        tuple(_measure(x, w, pair, settings, progress) for pair in pairs),
        settings.recorded(),
        tuple(notes),
        version=fp4sim.__version__,
        bits_version=fp4sim.BITS_VERSION,
    )


def _measure(
    x: NDArray[np.float32],
    w: NDArray[np.float32],
    pair: tuple[Spec, Spec],
    settings: GemmSettings,
    progress: Progress | None,
) -> GemmRow:
    packed = [
        quantize_tensor(ArrayTensor(name, array), spec, seed=settings.seed, threads=settings.threads)
        for name, array, spec in zip(("a", "b"), (x, w), pair, strict=True)
    ]
    reason, words = "", None
    try:
        words = RawPair.of(*packed).words(settings.model, settings.order, threads=settings.threads)
    except UsageError as error:
        reason = str(error)
    turned = same_rotation(*packed)
    left, right = (_side(one, "rotated" if turned else "input") for one in packed)
    sums = ProductErrors((x.shape[0], w.shape[0]), PARTS if words is not None else PARTS[:1])
    chain = Chain(right.values)
    epilogue = Epilogue(_factor(left, right), out_dtype(settings.out))
    other = w.T.astype(np.float64)
    with np.errstate(all="ignore"):
        for start in range(0, x.shape[0], _BAND):
            rows = np.arange(start, min(start + _BAND, x.shape[0]))
            exact = x[rows].astype(np.float64) @ other
            raw = left.values[rows] @ right.values.T
            decoded = raw * _rows(left.scale, rows) * right.scale.T
            errors = {"operands": decoded - exact}
            if words is not None:
                chain.add(words[rows], raw, left.values[rows])
                tail = epilogue.take(rows, np.arange(w.shape[0]))
                wide = replace(tail, dtype=np.dtype(np.float32)).apply(words[rows])
                out = tail.apply(words[rows]).astype(np.float64)
                chain.wide_overflows += int(np.count_nonzero(~np.isfinite(wide)))
                chain.overflows += int(np.count_nonzero(~np.isfinite(out)))
                errors |= {"accumulation": _finite(wide - decoded), "cast": _finite(out - wide)}
            sums.add(start, exact, errors)
            if progress is not None:
                progress(pair[0].short, exact.size)
    rotated = turned and packed[0].signs is not None
    return row_of(pair, sums, None if words is None else chain, reason, rotated, settings.out)


def _side(packed: PackedTensor, domain: Any) -> _Side:
    """Without the tensor scale where that is one number or a row's; other scales stay in the values."""
    scale = packed.tensor_scale.astype(np.float64)
    one = np.ones((1, 1))
    if "residual" in packed.extra or scale.ndim > 1:
        return _Side(packed, packed.dequantize("float64", domain=domain), one)
    bare = replace(packed, tensor_scale=np.ones_like(packed.tensor_scale))
    return _Side(packed, bare.dequantize("float64", domain=domain), scale.reshape(-1, 1))


def _finite(error: Floats) -> Floats:
    """NaN, which has no figures, where an output overflows."""
    return np.where(np.isfinite(error), error, np.nan)


def _rows(scale: Floats, rows: Any) -> Floats:
    return scale if scale.shape[0] == 1 else scale[rows]


def _factor(left: _Side, right: _Side) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return np.asarray(left.scale.astype(np.float32) * right.scale.astype(np.float32).T)
