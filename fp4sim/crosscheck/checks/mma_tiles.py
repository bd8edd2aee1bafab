"""Whole tiles of random operands, steps chained through the accumulator: what a GEMM's main loop does."""

from __future__ import annotations

import numpy as np

from fp4sim.crosscheck.check import Check, Effort, Outcome
from fp4sim.crosscheck.device import Device
from fp4sim.crosscheck.products import MXF4, NVF4, SOURCE, Kind, Operands, expected_tiles, multiply_tiles
from fp4sim.report.verify_model import Count

_STEPS = 4


def random_tiles(kind: Kind, count: int, steps: int, seed: int = 0) -> Operands:
    """Random codes; scales of one, of few binades, or of any size, and an accumulator near or far from the products'."""
    rng, length = np.random.default_rng([seed, kind.step]), kind.step * steps
    a, b = (rng.integers(0, 256, (count, rows, length // 2), dtype=np.uint8) for rows in (16, 8))
    top = 0x7F if kind.scale_format == "ue4m3" else 0xFF
    middle = 0x38 if kind.scale_format == "ue4m3" else 127
    width = rng.choice([1, 8, top], count)
    low = np.maximum(middle - width // 2, 0)
    scales = []
    for rows in (16, 8):
        drawn = low[:, None, None] + rng.integers(0, width[:, None, None], (count, rows, length // kind.block))
        scales.append(np.minimum(drawn, top - 1).astype(np.uint8))
    exponent = rng.integers(-30, 31, count)
    c = np.ldexp(rng.standard_normal((count, 16, 8)), exponent[:, None, None]).astype(np.float32)
    c[::5] = 0
    return Operands(a, b, c.view(np.uint32), scales[0], scales[1])


def run(device: Device, effort: Effort) -> Outcome:
    """Tiles of both formats against the emulation."""
    counts: dict[str, Count] = {}
    diagnosis: list[str] = []
    for kind in (NVF4, MXF4):
        tiles = random_tiles(kind, max(8, effort.elements >> 13), _STEPS)
        wrong = multiply_tiles(device, kind, tiles) != expected_tiles(kind, tiles, "blackwell")
        counts[kind.name] = Count(int(wrong.sum()), wrong.size)
        if wrong.all(axis=0).any() and not wrong.all():
            places = ", ".join(f"({row}, {column})" for row, column in np.argwhere(wrong.all(axis=0))[:4])
            diagnosis.append(f"{kind.name}: always wrong at rows and columns {places}: a fault of the layout")
    return Outcome(counts, diagnosis=tuple(diagnosis))


CHECK = Check("mma-tiles", "mma.sync m16n8k64 of E2M1: tiles, K = 256", run, (SOURCE,), (12, 0))
