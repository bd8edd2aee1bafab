"""Rows of a :class:`GemmPlan`: the error of the mean of B quantized products, for B = 1, 4, 16 …

Both operands of a draw share its rotation and differ in their random bits; the product is taken where they are quantized,
so that the rotation cancels. The mean of 4^L draws is known for every disjoint group of that many.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.drawing import Drawer
from fp4sim.grammar import parse
from fp4sim.io.source import ArrayTensor
from fp4sim.parallel import thread_count
from fp4sim.reproduce.model import Measurement

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.reproduce.model import GemmPlan, ReproduceSettings, Row

Progress = Callable[[str, int], None]
_ENOUGH = 8  # groups whose scatter says how far one strays


def draws_of(plan: GemmPlan, settings: ReproduceSettings, rows: Sequence[Row]) -> int:
    """Draws that the largest B of the rows needs, within the plan's."""
    wanted = min(max(row.at for row in rows), plan.quick if settings.quick else plan.draws)
    return int(4 ** math.floor(math.log(max(wanted, 16), 4) + 1e-9))


def measure_gemm(
    plan: GemmPlan, rows: Sequence[Row], settings: ReproduceSettings, progress: Progress | None = None
) -> list[Measurement]:
    """One measurement a row; rows beyond the draws made have no value."""
    measured: dict[tuple[str, int], Measurement] = {}
    for spec in dict.fromkeys(row.spec for row in rows):
        of_spec = [row for row in rows if row.spec == spec]
        draws = draws_of(plan, settings, of_spec)
        levels = _levels(plan, spec, draws, settings, progress)
        spread = next((_relative(level) for level in reversed(levels) if len(level) >= _ENOUGH), 0.0)
        for level, errors in enumerate(levels):
            measured[spec, 4**level] = _measurement(plan, errors, spread, draws)
    return [measured.get((row.spec, row.at), Measurement(None, notes=("not reached with --quick",))) for row in rows]


def work_of_gemm(plan: GemmPlan, rows: Sequence[Row], settings: ReproduceSettings) -> int:
    """Elements to be quantized."""
    m, k, n = plan.shape
    specs = dict.fromkeys(row.spec for row in rows)
    return sum((m + n) * k * draws_of(plan, settings, [r for r in rows if r.spec == spec]) for spec in specs)


def _levels(
    plan: GemmPlan, spec: str, draws: int, settings: ReproduceSettings, progress: Progress | None
) -> list[list[float]]:
    """For each L the relative squared errors of the means of 4^L draws."""
    (m, k, n), threads = plan.shape, thread_count(settings.threads)
    rng = np.random.default_rng([settings.seed, m, k, n])
    a, b = (rng.standard_normal((rows, k), dtype=np.float32) for rows in (m, n))
    if plan.sparsity:
        a[rng.random(a.shape) < plan.sparsity] = 0
    exact = a.astype(np.float64) @ b.astype(np.float64).T
    energy = float(np.square(exact).sum())
    left, right = (
        Drawer(ArrayTensor(name, x), parse(spec), seed=settings.seed, threads=threads)
        for name, x in (("A", a), ("B", b))
    )
    count = round(math.log(draws, 4)) + 1
    errors: list[list[float]] = [[] for _ in range(count)]
    sums: list[NDArray[np.float64]] = [np.zeros((m, n)) for _ in range(count + 1)]
    for draw in range(draws):
        product = left.matrix(draw) @ right.matrix(draw).T
        total, done = product.astype(np.float64) - exact, draw + 1
        for level in range(count):
            errors[level].append(float(np.square(total).sum()) / 16.0**level / energy)
            sums[level] += total
            if done % 4 or level == count - 1:
                break
            done //= 4
            total = sums[level].copy()
            sums[level][...] = 0
        if progress is not None:
            progress(spec, (m + n) * k)
    return errors


def _relative(errors: Sequence[float]) -> float:
    return float(np.std(errors, ddof=1)) / float(np.mean(errors))


def _measurement(plan: GemmPlan, errors: Sequence[float], spread: float, draws: int) -> Measurement:
    """A level's mean; its groups' scatter, or where there are few the relative scatter of a level with enough of them."""
    mean = math.fsum(errors) / len(errors)
    relative = _relative(errors) if len(errors) >= _ENOUGH else spread
    error = relative / math.sqrt(len(errors))
    m, k, n = plan.shape
    elements = (m + n) * k
    if not plan.bits:
        return Measurement(1e3 * mean, 1e3 * mean * error, 1e3 * mean * relative, draws, elements)
    per = 1 / (2 * math.log(2))  # bits a relative change of the error
    return Measurement(-math.log2(mean) / 2, per * error, per * relative, draws, elements)
