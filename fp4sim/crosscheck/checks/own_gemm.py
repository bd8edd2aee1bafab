"""``fp4sim.gemm`` on the GPU against the CPU's emulation of Blackwell's steps, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fp4sim.crosscheck.check import Check, Effort, Outcome
from fp4sim.crosscheck.checks.own_primitives import differing
from fp4sim.crosscheck.checks.own_quantize import on_host
from fp4sim.crosscheck.device import Device
from fp4sim.report.verify_model import Count

SPECS = ("nvfp4", "mxfp4")
_SHAPE = (136, 72, 512)  # m, n, k: no whole tiles


def run(device: Device, effort: Effort) -> Outcome:
    """Operands on which every step is exact, and operands whose products are cut."""
    from fp4sim.api import quantize
    from fp4sim.mma.gemm import gemm

    counts: dict[str, Count] = {}
    for spec in SPECS:
        for name, x, w in operands(effort):
            there = [quantize(device.tensor(part), spec) for part in (x, w)]
            here = [quantize(part, spec) for part in (x, w)]
            for model in ("blackwell", "mma-sim-2026-01"):
                found = on_host(device, gemm(there[0], there[1], model=model))
                counts[f"{spec} {name} {model}"] = differing(found, gemm(here[0], here[1], model=model))
    return Outcome(counts)


def operands(effort: Effort) -> Iterator[tuple[str, NDArray[np.float32], NDArray[np.float32]]]:
    """Float matrices (m, k) and (n, k)."""
    rng = np.random.default_rng(7)
    m, n, k = _SHAPE
    times = 4 if effort.elements >= 1 << 22 else 1
    x, w = (rng.standard_normal((rows * times, k), np.float32) for rows in (m, n))
    yield "normal", x, w
    wide = [part * np.exp2(rng.normal(0, 4, part.shape).round()).astype(np.float32) for part in (x, w)]
    wide[0][:, k // 2 :], wide[1][:, k // 2 :] = -wide[0][:, : k // 2], wide[1][:, : k // 2]
    yield "wide and cancelling", wide[0], wide[1]


CHECK = Check("own-gemm", "fp4sim.gemm on the GPU against the CPU", run, ("gemm.cu",))
