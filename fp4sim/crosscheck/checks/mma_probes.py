"""57 outputs that tell 50 models of the K = 64 step apart: which of them does this tensor core obey."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fp4sim.crosscheck.check import Check, Effort, Outcome
from fp4sim.crosscheck.device import Device
from fp4sim.crosscheck.probes import read_probes
from fp4sim.crosscheck.products import (
    MXF4,
    MXF4_AS_NVF4,
    NVF4,
    SOURCE,
    Kind,
    Operands,
    best_fits,
    hex_words,
    multiply_pairs,
)
from fp4sim.report.verify_model import Count


def run(device: Device, effort: Effort) -> Outcome:
    """Both kinds, that of MXFP4 by both of its instructions; raw words by probe."""
    probes = read_probes("k64")
    is_mxf4, models = probes["is_mxf4"], [str(name) for name in probes["models"]]
    counts: dict[str, Count] = {}
    raw: dict[str, str] = {}
    words = np.zeros(is_mxf4.size, np.uint32)
    diagnosis: list[str] = []
    for kind, rows in ((NVF4, ~is_mxf4), (MXF4, is_mxf4), (MXF4_AS_NVF4, is_mxf4)):
        found = multiply_pairs(device, kind, _operands(probes, rows, kind))
        counts[f"{kind.name} both places"] = Count(int((found[:, 0] != found[:, 1]).sum()), len(found))
        words[rows] = found[:, 0]
        wrong = found[:, 0] != probes["pred"][rows, 0]
        counts[kind.name] = Count(int(wrong.sum()), wrong.size)
        raw[kind.name] = hex_words(found[:, 0])
        right = probes["pred"][rows, 0]
        diagnosis += [
            f"{kind.name} {probes['name'][rows][i]}: {found[i, 0]:08x}, the model gives {right[i]:08x}"
            for i in np.flatnonzero(wrong)
        ]
    fits, missed = best_fits(words, probes["pred"], models)
    if not missed:
        return Outcome(counts, f"all probes as the model {' or '.join(fits)}", tuple(diagnosis), raw)
    lines = (f"nearest models, {missed} probes missed: {', '.join(fits)}", *diagnosis)
    return Outcome(counts, f"none of {len(models)} models gives all probes", lines, raw)


def _operands(probes: dict[str, NDArray[Any]], rows: NDArray[np.bool_], kind: Kind) -> Operands:
    """The rows of one kind, whose scales are the first of their four columns."""
    scales = kind.step // kind.block
    return Operands.of(probes | {name: probes[name][:, :scales] for name in ("SA", "SB")}).rows(rows)


CHECK = Check("mma-probes", "mma.sync m16n8k64 of E2M1: 57 probes, 50 models", run, (SOURCE,), (12, 0))
