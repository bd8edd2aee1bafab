"""``fp4sim.compare`` on the GPU against the CPU: counts equal, sums to 1e-12."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fp4sim.crosscheck.check import Check, Effort, Outcome
from fp4sim.crosscheck.checks.own_primitives import panel
from fp4sim.crosscheck.device import Device
from fp4sim.report.verify_model import Count

SPECS = (
    "nvfp4",
    "mxfp4",
    "mxfp4@rceil",
    "nvfp4/16x16",
    "nvfp4+4over6",
    "nvfp4+rht:16:te",
    "nvfp4+mseden",
    "e3m0/32@e8m0",
)
RELATIVE = 1e-12


def run(device: Device, effort: Effort) -> Outcome:
    """Every figure of every spec on normal data, and on rows of many binades."""
    from fp4sim.api import compare

    rng = np.random.default_rng(3)
    wide = panel(64, 512, 3)
    tensors = {
        "normal": rng.standard_normal((max(64, effort.elements >> 12), 4096), np.float32),
        "wide": np.where(np.abs(wide) < np.float32(2.0**60), wide, np.float32(0.5)),
    }
    counts: dict[str, Count] = {}
    diagnosis: list[str] = []
    for name, x in tensors.items():
        found, expected = (compare(array, SPECS).to_dict()["tensors"][0]["results"] for array in (device.tensor(x), x))
        for text, ours, theirs in zip(SPECS, found, expected, strict=True):
            pairs = list(figures("", ours, theirs))
            wrong = [path for path, one, other in pairs if not same(one, other)]
            counts[text] = counts.get(text, Count(0, 0)) + Count(len(wrong), len(pairs))
            diagnosis += [f"{text} on {name}: {', '.join(wrong[:4])} differ"] if wrong else []
    return Outcome(counts, diagnosis=tuple(diagnosis))


def figures(path: str, one: Any, other: Any) -> Iterator[tuple[str, Any, Any]]:
    """The numbers and words of two results, side by side."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:
            yield from figures(f"{path}.{key}".strip("."), one.get(key), other.get(key))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from figures(f"{path}[{index}]", left, right)
    else:
        yield path, one, other


def same(one: Any, other: Any) -> bool:
    """Numbers to 1e-12, all else equal."""
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= RELATIVE * max(abs(one), abs(other))
    return bool(one == other)


SOURCES = ("stats.cu", "hadamard.cu", "eden.cu")
CHECK = Check("own-compare", "fp4sim.compare on the GPU against the CPU", run, SOURCES, package="ml_dtypes")
