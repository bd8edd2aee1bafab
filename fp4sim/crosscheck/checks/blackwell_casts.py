"""Blackwell's conversion instructions, issued by fp4sim's own kernels, against its codec."""

from __future__ import annotations

import numpy as np

from fp4sim.crosscheck.casts import CASTS
from fp4sim.crosscheck.check import Check, Effort, Outcome
from fp4sim.crosscheck.device import Device
from fp4sim.crosscheck.patterns import compare_cast
from fp4sim.floats import E2M1
from fp4sim.kernels.reference.blocks import pack
from fp4sim.report.verify_model import Count

SOURCE = "blackwell_convert.cu"
_MOST_IN_ARRAY = 1 << 20
_SPREAD = np.uint32(0x9E3779B1)  # neighbours in the array must not share their code, else swapped nibbles do not show


def run(device: Device, effort: Effort) -> Outcome:
    """Each instruction over patterns, a packed array, and what all 256 bytes decode to."""
    counts: dict[str, Count] = {}
    diagnosis: list[str] = []
    for cast in CASTS:
        if cast.instruction:
            found, lines = compare_cast(device, SOURCE, f"instruction_{cast.name}", cast, effort)
            counts |= found
            diagnosis += lines
    bits = np.arange(min(effort.patterns, _MOST_IN_ARRAY), dtype=np.uint32) * _SPREAD
    packed = device.put(np.zeros(bits.size // 2, np.uint8))
    x = device.put(bits.view(np.float32))
    device.call(SOURCE, "convert_e2m1x2", bits.size // 2, x, packed, np.uint64(bits.size // 2))
    wrong = device.get(packed) != pack(CASTS[0].codes(bits))
    counts["packed array"] = Count(int(np.count_nonzero(wrong)), wrong.size)
    every = np.arange(256, dtype=np.uint8)
    halves = device.put(np.zeros(256, np.uint32))
    device.call(SOURCE, "decode_e2m1x2", 256, device.put(every), halves, np.uint32(256))
    values = E2M1.values().astype(np.float16).view(np.uint16).astype(np.uint32)
    wanted = values[every & 15] | values[every >> 4] << np.uint32(16)
    counts["decode"] = Count(int(np.count_nonzero(device.get(halves) != wanted)), 256)
    return Outcome(counts, diagnosis=tuple(diagnosis))


CHECK = Check("blackwell-casts", "cvt to e2m1x2, e4m3x2 and ue8m0x2, and back", run, (SOURCE,), (10, 0))
