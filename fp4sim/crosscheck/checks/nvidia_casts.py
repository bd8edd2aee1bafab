"""NVIDIA's conversion functions against fp4sim's codec: instructions on Blackwell, NVIDIA's emulation elsewhere."""

from __future__ import annotations

from dataclasses import replace

from fp4sim.crosscheck.casts import CASTS
from fp4sim.crosscheck.check import Check, Effort, Outcome
from fp4sim.crosscheck.device import Device
from fp4sim.crosscheck.patterns import compare_cast
from fp4sim.report.verify_model import Count

SOURCE = "nvidia_casts.cu"


def run(device: Device, effort: Effort) -> Outcome:
    """Every function, then both places of a packed pair."""
    counts: dict[str, Count] = {}
    diagnosis: list[str] = []
    jobs = [(cast, f"nvidia_{cast.name}") for cast in CASTS]
    jobs += [(replace(CASTS[0], name=f"e2m1x2 {half}"), f"nvidia_e2m1_{half}") for half in ("low", "high")]
    for cast, kernel in jobs:
        found, lines = compare_cast(device, SOURCE, kernel, cast, effort)
        counts |= found
        diagnosis += lines
    return Outcome(counts, diagnosis=tuple(diagnosis))


CHECK = Check("nvidia-casts", "cuda_fp4.h and cuda_fp8.h against fp4sim's casts", run, (SOURCE,))
