"""The encoders of fp4sim's GPU kernels, the general and the fused ones' fast one, over float32 patterns against thresholds."""

from __future__ import annotations

import numpy as np

from fp4sim.crosscheck.casts import CASTS
from fp4sim.crosscheck.check import Check, Effort, Outcome
from fp4sim.crosscheck.device import Device
from fp4sim.floats import E2M1
from fp4sim.report.verify_model import Count
from fp4sim.rounding import Rounding, thresholds

SOURCE = "exhaustive.cu"
_FIRST_OF_FEW = 0x3E7FF000  # just below 0.25, the first tie


def run(device: Device, effort: Effort) -> Outcome:
    """Every pattern, or a run of them where codes change; and how often each code comes out, over all of them."""
    whole = effort.patterns == 1 << 32
    first = 0 if whole else _FIRST_OF_FEW
    found = device.put(np.zeros(18, np.uint64))
    limits = device.put(thresholds(E2M1, Rounding.RN).astype(np.float32))
    device.call(SOURCE, "encode_every_float", 1 << 19, limits, found, np.int64(first), np.int64(effort.patterns))
    numbers = device.get(found).astype(np.int64)
    counts = {"general": Count(int(numbers[0]), effort.patterns), "fused": Count(int(numbers[1]), effort.patterns)}
    if whole:
        off = np.count_nonzero(numbers[2:] != CASTS[0].histogram()[:16])
        counts["histogram"] = Count(int(off), 16)
    return Outcome(counts)


CHECK = Check("own-encode", "E2M1 as fp4sim's GPU kernels encode it", run, (SOURCE,))
