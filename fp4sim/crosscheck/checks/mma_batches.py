"""4,096 adversarial outputs of one K = 64 step; where they are wrong, the nearest model is named."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from fp4sim.crosscheck.check import Check, Effort, Outcome
from fp4sim.crosscheck.device import Device
from fp4sim.crosscheck.probes import read_probes
from fp4sim.crosscheck.products import (
    MXF4,
    NVF4,
    SOURCE,
    Kind,
    Operands,
    best_fits,
    expected_pairs,
    hex_words,
    multiply_pairs,
)
from fp4sim.report.verify_model import Count

_MOST_FITTED = 256


def run(device: Device, effort: Effort) -> Outcome:
    """Both batches; raw words where one is wrong, else their SHA-256."""
    counts: dict[str, Count] = {}
    raw: dict[str, str] = {}
    diagnosis: list[str] = []
    for kind, group in ((NVF4, "batch_nvf4"), (MXF4, "batch_mxf4")):
        probes = read_probes(group)
        operands = Operands.of(probes)
        found = multiply_pairs(device, kind, operands)
        wrong = (found != probes["D_hw"][:, None]).any(axis=1)
        counts[kind.name] = Count(int(wrong.sum()), wrong.size)
        digest = hashlib.sha256(np.ascontiguousarray(found[:, 0], "<u4").tobytes()).hexdigest()
        raw[f"{kind.name} sha256"] = digest
        if wrong.any():
            raw[kind.name] = hex_words(found[:, 0])
            families = ", ".join(str(name) for name in np.unique(probes["family"][wrong]))
            nearest = nearest_model(found[:, 0], wrong, kind, operands)
            diagnosis.append(f"{kind.name}: {wrong.sum():,} differ, in {families}; {nearest}")
    return Outcome(counts, diagnosis=tuple(diagnosis), raw=raw)


def nearest_model(words: NDArray[np.uint32], wrong: NDArray[np.bool_], kind: Kind, operands: Operands) -> str:
    """The model that comes nearest on the wrong outputs and as many right ones, of each at most 256."""
    from fp4sim.mma.instances import PROBE_MODELS

    some = np.concatenate([np.flatnonzero(wrong)[:_MOST_FITTED], np.flatnonzero(~wrong)[:_MOST_FITTED]])
    part = operands.rows(some)
    predictions = np.stack([expected_pairs(kind, part, model) for model in PROBE_MODELS.values()], axis=1)
    fits, missed = best_fits(words[some], predictions, [name.removeprefix("probe:") for name in PROBE_MODELS])
    return f"nearest {', '.join(fits)}, which misses {missed:,} of {some.size:,}"


CHECK = Check("mma-batches", "mma.sync m16n8k64 of E2M1: 4,096 adversarial outputs", run, (SOURCE,), (12, 0))
