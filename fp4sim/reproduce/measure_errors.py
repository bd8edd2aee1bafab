"""Rows of an :class:`ErrorPlan`: each distinct (data, spec) is quantized once a repeat and serves all its rows."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.grammar import parse
from fp4sim.parallel import thread_count
from fp4sim.reproduce.data import count_of, tensors
from fp4sim.reproduce.model import Measurement
from fp4sim.reproduce.quantities import Sample, quantity

if TYPE_CHECKING:
    from fp4sim.reproduce.model import Data, ErrorPlan, ReproduceSettings, Row

Progress = Callable[[str, int], None]
_SEEDS = 1000  # repeats of a seed lie between it and the next


def repeats_of(plan: ErrorPlan, settings: ReproduceSettings) -> int:
    """How many independent tensors."""
    return plan.quick if settings.quick else plan.repeats


def measure_errors(
    plan: ErrorPlan, rows: Sequence[Row], settings: ReproduceSettings, progress: Progress | None = None
) -> list[Measurement]:
    """One measurement a row."""
    repeats, threads = repeats_of(plan, settings), thread_count(settings.threads)
    found: list[list[float]] = [[] for _ in rows]
    sizes = [0] * len(rows)
    for data, members in _by_data(plan, rows).items():
        for repeat in range(repeats):
            seed = settings.seed * _SEEDS + repeat
            made = tensors(data, seed)
            for spec, indices in _by_spec(rows, members).items():
                values: dict[int, list[float]] = {i: [] for i in indices}
                for tensor in made:
                    sample = Sample(tensor, parse(spec), seed, threads)
                    for i in indices:
                        values[i].append(quantity(rows[i].quantity or plan.quantity).measure(sample))
                    if progress is not None:
                        progress(rows[indices[0]].label, sample.elements)
                for i in indices:
                    found[i].append(math.fsum(values[i]) / len(values[i]))
                    sizes[i] = sum(tensor.info.size for tensor in made)
    return [_mean(values, size) for values, size in zip(found, sizes, strict=True)]


def work_of_errors(plan: ErrorPlan, rows: Sequence[Row], settings: ReproduceSettings) -> int:
    """Elements to be quantized."""
    total = 0
    for data, members in _by_data(plan, rows).items():
        total += data.rows * data.columns * count_of(data) * len(_by_spec(rows, members))
    return total * repeats_of(plan, settings)


def _by_data(plan: ErrorPlan, rows: Sequence[Row]) -> dict[Data, list[int]]:
    groups: dict[Data, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        if row.spec:
            groups[row.data or plan.data].append(i)
    return groups


def _by_spec(rows: Sequence[Row], members: Sequence[int]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for i in members:
        groups[rows[i].spec].append(i)
    return groups


def _mean(values: Sequence[float], elements: int) -> Measurement:
    if not values:
        return Measurement(None)
    scatter = float(np.std(values, ddof=1)) if len(values) > 1 else None
    error = None if scatter is None else scatter / math.sqrt(len(values))
    return Measurement(math.fsum(values) / len(values), error, scatter, len(values), elements)
