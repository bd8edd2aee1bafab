"""Float32 patterns through a kernel that tallies them (cuda/tally.cuh): mismatches, the first, and how often each code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.report.verify_model import Count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fp4sim.crosscheck.casts import Cast
    from fp4sim.crosscheck.check import Effort
    from fp4sim.crosscheck.device import Device

_THREADS = 1 << 19
_NONE = (1 << 64) - 1


@dataclass(frozen=True, eq=False)
class Tally:
    """``histogram``: of codes, int64 (256,); ``first``: pattern, code and expected code of the first mismatch, if any."""

    histogram: NDArray[np.int64]
    differing: int
    first: tuple[int, int, int] | None


def tally(device: Device, source: str, kernel: str, effort: Effort, before: Sequence[Any] = ()) -> Tally:
    """Run a tallying kernel; ``before``: its arguments between the patterns and the results."""
    histogram = device.put(np.zeros(256, np.uint64))
    differing, where = device.put(np.zeros(1, np.uint64)), device.put(np.full(1, _NONE, np.uint64))
    given = (np.uint32(0), np.uint32(effort.stride), np.uint64(effort.patterns))
    threads = min(_THREADS, effort.patterns)
    device.call(source, kernel, threads, *given, *before, histogram, differing, where)
    place = int(device.get(where)[0])
    first = None
    if place != _NONE:
        first = ((place >> 16) * effort.stride & 0xFFFFFFFF, place >> 8 & 0xFF, place & 0xFF)
    return Tally(device.get(histogram).astype(np.int64), int(device.get(differing)[0]), first)


def compare_cast(
    device: Device, source: str, kernel: str, cast: Cast, effort: Effort
) -> tuple[dict[str, Count], tuple[str, ...]]:
    """Counts and diagnosis of one conversion: every pattern against fp4sim's own code on the device, and how often each code
    comes out against the reference on the CPU, so that a fault that both share on the device shows too.
    """
    found = tally(device, source, kernel, effort)
    expected = cast.histogram(effort.patterns, effort.stride)
    off = np.flatnonzero(found.histogram != expected)
    counts = {
        cast.name: Count(found.differing, effort.patterns),
        f"{cast.name} histogram": Count(off.size, 256),
    }
    diagnosis = []
    if found.first is not None:
        bits, code, wanted = found.first
        x = np.uint32(bits).view(np.float32)
        diagnosis.append(
            f"{cast.name}: first at 0x{bits:08x} ({x:.9g}), code 0x{code:02x} where 0x{wanted:02x} is right"
        )
    if off.size:
        code = int(off[0])
        diagnosis.append(
            f"{cast.name}: code 0x{code:02x} comes out {found.histogram[code]:,} times, {expected[code]:,} is right"
        )
    return counts, tuple(diagnosis)
