"""What ``fp4sim gemm --fit`` does: recorded outputs held, bit for bit, against every model of a matrix unit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import fp4sim
from fp4sim.errors import NothingComparedError, UnreadableError
from fp4sim.io.files import shown
from fp4sim.mma.instances import model_named, model_names
from fp4sim.mma.order import CHAIN, Order
from fp4sim.mma.raw import RawPair
from fp4sim.report.gemm_fit_model import FitCase, FitDifference, FitModel, FitResult
from fp4sim.verifying.check import Options, product_of_case
from fp4sim.verifying.dump import dump_of, is_known, read_arrays
from fp4sim.verifying.gemm_dump import parse_gemm_key
from fp4sim.verifying.gemm_models import SPLITS, same_bits, sampled_rows
from fp4sim.verifying.recorded import Recorded, is_recorded, is_recorded_part, recorded_cases

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.mma.epilogue import Epilogue
    from fp4sim.mma.model import MmaModel
    from fp4sim.spec import Spec

Progress = Callable[[str, int], None]  # a model's name, words held since the last call

_WORK = 1 << 23  # products of a case held against each model, by the kernel that compiles once for all of them


@dataclass(frozen=True, eq=False)
class _Outputs:
    """One case to fit: how it is shown, how a model's words are made, and what was recorded."""

    case: FitCase
    words: Callable[[MmaModel, Order], NDArray[Any]]
    recorded: NDArray[Any]
    place: Callable[[int], tuple[tuple[int, ...], str]]
    block_scaled32: bool
    steps: int


def fit_outputs(
    path: str,
    spec: Spec,
    *,
    scale_format: str | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> FitResult:
    """Which models give what was recorded at ``path``.

    Recorded words (:mod:`fp4sim.verifying.recorded`), else a dump of verify with GEMM outputs, whose operands are ``spec``.
    Of products beyond 2^23 multiplications evenly spaced rows are taken. Raises UnreadableError for files that are damaged or
    hold neither, NothingComparedError where operands are none of an instruction.
    """
    arrays = read_arrays(Path(path), lambda name: is_known(name) or is_recorded_part(name))
    outputs: list[_Outputs]
    if any(is_recorded(name) for name in arrays):
        outputs = [_of_words(case, threads) for case in recorded_cases(arrays, path, scale_format)]
    elif any((parsed := parse_gemm_key(name)) and parsed[1] == "y" for name in arrays):
        outputs = list(_of_dump(arrays, path, spec, threads))
    else:
        raise _nothing(path)
    models = [_fit(names, model, order, outputs, progress) for names, model, order in _rules(outputs)]
    return FitResult(
        path,
        tuple(one.case for one in outputs),
        tuple(sorted(models, key=lambda model: (model.differing, model.names))),
        version=fp4sim.__version__,
        bits_version=fp4sim.BITS_VERSION,
    )


def _rules(outputs: Sequence[_Outputs]) -> Iterator[tuple[tuple[str, ...], MmaModel, Order]]:
    """Every rule once, with the names that it goes by; then Blackwell's in split-K orders, where there are steps to split.

    Rules that sum single products are of kind mxf8f6f4, which takes UE8M0 scales with block 32 alone.
    """
    rules: dict[MmaModel, list[str]] = {}
    single = all(one.block_scaled32 for one in outputs)
    for name in model_names():
        if name != "dense" and (single or model_named(name).group > 1):
            rules.setdefault(replace(model_named(name), name=""), []).append(name)
    for model, names in rules.items():
        yield tuple(names), replace(model, name=names[0]), CHAIN
    for order in map(Order, SPLITS):
        if any(len(order.slices(one.steps)) == order.parts for one in outputs):
            yield (f"blackwell {order}",), model_named("blackwell"), order


def _fit(
    names: tuple[str, ...], model: MmaModel, order: Order, outputs: Sequence[_Outputs], progress: Progress | None
) -> FitModel:
    differing = compared = 0
    first: FitDifference | None = None
    separating: dict[str, int] = {}
    for one in outputs:
        words = one.words(model, order)
        wrong = np.flatnonzero(~same_bits(one.recorded, words).reshape(-1))
        compared += one.recorded.size
        differing += wrong.size
        if wrong.size:
            separating[one.case.name] = wrong.size
        if wrong.size and first is None:
            flat = int(wrong[0])
            index, probe = one.place(flat)
            bits = (_bits(array.reshape(-1)[flat : flat + 1]) for array in (one.recorded, words))
            first = FitDifference(one.case.name, index, probe, *bits)
        if progress is not None:
            progress(names[0], one.recorded.size)
    return FitModel(names, differing, compared, first, separating)


def _bits(word: NDArray[Any]) -> str:
    return f"0x{int(word.view(f'u{word.itemsize}')[0]):0{2 * word.itemsize}X}"


def _of_words(case: Recorded, threads: int | None) -> _Outputs:
    m, n = len(case.a), len(case.b)
    rows = np.arange(m) if case.paired else sampled_rows((m, n, case.length), _WORK)
    taken = replace(case, a=case.a[rows], sa=case.sa[rows], c=case.c[rows], d=case.d[rows])

    def words(model: MmaModel, order: Order) -> NDArray[Any]:
        return taken.words(model, order, threads).view(np.float32)

    def place(flat: int) -> tuple[tuple[int, ...], str]:
        index, probe = taken.place(flat)
        return (index if case.paired else (int(rows[index[0]]), *index[1:])), probe

    shown = FitCase(case.name, f"{case.scale_format}, block {case.block}", case.d.shape, case.length, taken.d.size)
    mx = (case.scale_format, case.block) == ("ue8m0", 32)
    return _Outputs(shown, words, taken.d.view(np.float32), place, mx, -(-case.length // 64))


def _of_dump(arrays: dict[str, NDArray[Any]], path: str, spec: Spec, threads: int | None) -> Iterator[_Outputs]:
    for case in dump_of(arrays, path).cases:
        product = product_of_case(case, spec, Options(threads=threads))
        if product is None:
            continue
        if product.a.packed is None or product.b.packed is None:
            raise NothingComparedError(f"{case.label}: operands were dumped as decoded values; dump codes and scales")
        pair = RawPair.of(product.a.packed, product.b.packed)
        rows = sampled_rows(pair.shape, _WORK)
        yield _of_pair(case.name, pair, rows, product.epilogue, product.y, threads)


def _nothing(path: str) -> UnreadableError:
    return UnreadableError(
        f"{shown(path)}: holds no recorded words (D beside A, B, SA and SB) and no GEMM output (y beside x and w)"
    )


def _of_pair(
    name: str, pair: RawPair, rows: NDArray[np.int64], epilogue: Epilogue, y: NDArray[Any], threads: int | None
) -> _Outputs:
    taken, tail = pair.take(rows, slice(None)), epilogue.take(rows, np.arange(pair.shape[1]))

    def words(model: MmaModel, order: Order) -> NDArray[Any]:
        return tail.apply(taken.words(model, order, "wide", threads))

    def place(flat: int) -> tuple[tuple[int, ...], str]:
        row, col = divmod(flat, pair.shape[1])
        return (int(rows[row]), col), ""

    shown = FitCase(name, f"{pair.scale_format}, block {pair.block}", y.shape, pair.shape[2], y[rows].size)
    mx = (pair.scale_format, pair.block) == ("ue8m0", 32)
    return _Outputs(shown, words, y[rows], place, mx, -(-pair.shape[2] // 64))
