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

# Formats of x and w, model, order.
CASES = (
    ("nvfp4", "nvfp4", "blackwell", "chain"),
    ("nvfp4", "nvfp4", "mma-sim-2026-01", "chain"),
    ("nvfp4", "nvfp4", "blackwell", "split-k:3"),
    ("nvfp4@ts:row", "nvfp4", "blackwell", "chain"),
    ("nvfp4@ts:row", "nvfp4@ts:row", "blackwell", "stream-k:1:5:backward"),
    ("mxfp4", "mxfp4", "blackwell", "chain"),
    ("mxfp4", "mxfp4", "mma-sim-2026-01", "chain"),
    ("mxfp4", "mxfp4", "blackwell", "split-k:3:backward"),
)
# m, n, k: no whole tiles; and fewer than 16 columns, of which the CPU emulates each at once: its faster ways, which other tests
# hold to this one, take three times as long to compile.
_SHAPE = (136, 12, 512)


def run(device: Device, effort: Effort) -> Outcome:
    """Operands on which every step is exact, and operands whose products are cut."""
    from fp4sim.api import quantize
    from fp4sim.mma.gemm import gemm

    counts: dict[str, Count] = {}
    for name, x, w in operands(effort):
        for left, right, model, order in CASES:
            there = [quantize(device.tensor(part), spec) for part, spec in ((x, left), (w, right))]
            here = [quantize(part, spec) for part, spec in ((x, left), (w, right))]
            found = on_host(device, gemm(there[0], there[1], model=model, order=order))
            formats = left if left == right else f"{left} by {right}"
            counts[f"{formats} {name} {model} {order}"] = differing(found, gemm(*here, model=model, order=order))
    return Outcome(counts)


def operands(effort: Effort) -> Iterator[tuple[str, NDArray[np.float32], NDArray[np.float32]]]:
    """Float matrices (m, k) and (n, k)."""
    rng = np.random.default_rng(7)
    m, n, k = _SHAPE
    times = 4 if effort.elements >= 1 << 22 else 1
    x, w = (rng.standard_normal((rows, k), np.float32) for rows in (m * times, n))
    yield "normal", x, w
    wide = [part * np.exp2(rng.normal(0, 4, part.shape).round()).astype(np.float32) for part in (x, w)]
    wide[0][:, k // 2 :], wide[1][:, k // 2 :] = -wide[0][:, : k // 2], wide[1][:, : k // 2]
    yield "wide and cancelling", wide[0], wide[1]


CHECK = Check("own-gemm", "fp4sim.gemm on the GPU against the CPU", run, ("gemm.cu",))
