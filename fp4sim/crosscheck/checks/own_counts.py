"""``fp4sim.compare`` of a bfloat16 tensor so large that the GPU counts values (cuda/value_counts.cu), against the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fp4sim.crosscheck.check import Check, Effort, Outcome, SkipCheckError
from fp4sim.crosscheck.checks.own_compare import RELATIVE, figures, same
from fp4sim.crosscheck.device import Device
from fp4sim.report.verify_model import Count

SPECS = ("nvfp4", "mxfp4")
LEAST = 1024, 4096  # with fewer than 2^22 elements values are not counted


def run(device: Device, effort: Effort) -> Outcome:
    """Every figure of every spec: counts, histograms and the worst element equal, sums to 1e-12."""
    from fp4sim.api import compare

    x = values(max(LEAST[0], effort.elements // LEAST[1]), LEAST[1])
    there = device.tensor(x)
    if there is None:
        raise SkipCheckError("bfloat16 needs torch or CuPy 14 here")
    counts: dict[str, Count] = {}
    diagnosis: list[str] = []
    found, expected = (compare(array, SPECS).to_dict()["tensors"][0]["results"] for array in (there, x))
    for text, ours, theirs in zip(SPECS, found, expected, strict=True):
        pairs = list(figures("", ours, theirs))
        wrong = [path for path, one, other in pairs if not _same(path, one, other, theirs["mse"])]
        counts[text] = Count(len(wrong), len(pairs))
        diagnosis += [f"{text}: {', '.join(wrong[:4])} differ"] if wrong else []
    arithmetic = (
        "the GPU offers a thread block too little shared memory to count values: by arithmetic on every element"
    )
    return Outcome(counts, "" if device.counts_values(x.size) else arithmetic, tuple(diagnosis))


def values(rows: int, cols: int) -> NDArray[Any]:
    """Normal bfloat16 with zeros of both signs, blocks of zeros, and a few blocks that have no bins.

    Those are of small rows, or hold an element that is next to nothing. None of them has the worst element.
    """
    import ml_dtypes

    rng = np.random.default_rng(22)
    x = rng.standard_normal((rows, cols), np.float32)
    x[1::8, ::7] = 0
    x[3::8, 5::11] = -0.0
    x[4::16, : cols // 2] = 0
    x[5::32] *= np.float32(2.0**-12)
    x[7::64, :: cols // 8] *= np.float32(2.0**-30)
    return x.astype(ml_dtypes.bfloat16)


def _same(path: str, one: Any, other: Any, mse: float) -> bool:
    """Errors cancel in their mean, so it is held to the root of the mean of squares; the worst has no sum in it."""
    if path == "mean_error" and isinstance(one, float):
        return bool(abs(one - other) <= RELATIVE * mse**0.5)
    return bool(one == other) if path == "max_error" else same(one, other)


SOURCES = ("value_counts.cu", "stats.cu")
CHECK = Check(
    "own-counts", "fp4sim.compare by counting values on the GPU against the CPU", run, SOURCES, package="ml_dtypes"
)
