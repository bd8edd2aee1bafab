"""``--fit-mma``: the model that this GPU's tensor cores obey, found from its outputs alone.

Block-scaled E2M1 where there is an instruction; dense fp16, bf16 and tf32 by ``mma.sync`` on any GPU; FP8 by cuBLASLt with one
step of K, which is the matrix unit itself (``mma.sync`` of FP8 is emulated by the compiler on compute capability 9.0 and 10.x).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fp4sim.crosscheck.check import Check, Effort, Outcome, SkipCheckError
from fp4sim.crosscheck.checks.mma_tiles import random_tiles
from fp4sim.crosscheck.dense_products import (
    E4M3,
    KINDS,
    SOURCE,
    DenseKind,
    expected_dense,
    multiply_dense,
    operands,
)
from fp4sim.crosscheck.device import Device
from fp4sim.crosscheck.fitting import Candidate, Fit, fit
from fp4sim.crosscheck.products import MXF4, NVF4, Kind, expected_tiles, multiply_tiles
from fp4sim.crosscheck.products import SOURCE as BLOCK_SCALED
from fp4sim.kernels.cuda.targets import refusal, target_for
from fp4sim.mma.instances import BLACKWELL, DENSE
from fp4sim.mma.model import MmaModel
from fp4sim.report.verify_model import Count

_OUTPUTS = 4096
_FP8, _FP8_BY_MMA = (8, 9), (12, 0)
_ROWS, _COLUMNS = 64, 64  # of the library's products


def run(device: Device, effort: Effort) -> Outcome:
    """Each kind that the device has; what a fit misses counts as wrong, since no model then is the chip's."""
    counts: dict[str, Count] = {}
    answers: list[str] = []
    lines: list[str] = []
    for name, found in _fits(device):
        counts[name] = Count(found.missed, found.total)
        answers.append(f"{name}: {found.text}")
        if found.missed:
            lines.append(f"{name}: no model gives all {found.total:,} outputs; the nearest misses {found.missed:,}")
        near = sorted((missed, words) for words, missed in found.rivals.items() if missed != found.missed)[:4]
        lines.append(f"{name}: changes miss at least " + ", ".join(f"{missed:,} ({words})" for missed, words in near))
        if found.tied:
            lines.append(f"{name}: these outputs cannot tell it from {', '.join(found.tied)}")
    return Outcome(counts, "; ".join(answers), tuple(lines))


def _fits(device: Device) -> Iterator[tuple[str, Fit]]:
    native = (E4M3,) if device.info.capability >= _FP8_BY_MMA else ()
    for kind in (*KINDS, *native):
        yield kind.name, _of_dense(device, kind)
    if device.info.capability >= _FP8:
        with suppress(SkipCheckError):
            yield "e4m3 by cuBLASLt", _of_library(device)
    if not refusal(BLOCK_SCALED, target_for(BLOCK_SCALED, device.info.capability)):
        for scaled in (NVF4, MXF4):
            yield scaled.name, _of_block_scaled(device, scaled)


def _of_dense(device: Device, kind: DenseKind) -> Fit:
    """One instruction."""
    a, b, c = operands(kind, _OUTPUTS)
    start = Candidate(replace(DENSE, name="fit", step=kind.k))
    steps = tuple(step for step in (4, 8, 16, 32) if kind.k % step == 0)
    return fit(multiply_dense(device, kind, a, b, c), partial(expected_dense, kind, a, b, c), start, steps)


def _of_block_scaled(device: Device, kind: Kind) -> Fit:
    """One instruction on whole tiles."""
    tiles = random_tiles(kind, _OUTPUTS // 128, 1, seed=1)
    start = Candidate(replace(BLACKWELL, name="fit"))

    def predict(model: MmaModel) -> NDArray[np.uint32]:
        return expected_tiles(kind, tiles, model).reshape(-1)

    return fit(multiply_tiles(device, kind, tiles).reshape(-1), predict, start, (16, 32, 64))


def _of_library(device: Device) -> Fit:
    """FP8 with K of one step and C = 0."""
    a, b, _ = operands(E4M3, _ROWS)
    words = device.multiply_by_library("e4m3", a, b).reshape(-1)

    def predict(model: MmaModel) -> NDArray[np.uint32]:
        from fp4sim.mma import dense_mma

        zero = np.zeros((_ROWS, _COLUMNS), np.float32)
        step = model.step if isinstance(model.step, int) else E4M3.k
        return dense_mma(a, b, zero, kind="e4m3", model=model, step=step).view(np.uint32).reshape(-1)

    return fit(words, predict, Candidate(replace(DENSE, name="fit", step=32)), (8, 16, 32))


CHECK = Check("mma-fit", "the model that the tensor cores obey", run, (SOURCE,), (8, 0), on_request=True)
