"""``cvt.rs.satfinite.e2m1x4.f32``: is its rounding the carry model, and which random byte serves which element.

The second is open: PTX gives halves, the machine code suggests an order, nobody has published a measurement.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from fp4sim.crosscheck.check import Check, Effort, Outcome
from fp4sim.crosscheck.device import Device
from fp4sim.crosscheck.probes import read_probes
from fp4sim.crosscheck.products import hex_words
from fp4sim.floats import E2M1
from fp4sim.kernels.reference.encode import encode
from fp4sim.report.verify_model import Count
from fp4sim.rounding import Rounding

SOURCE = "blackwell_stochastic.cu"
DEDUCED = (3, 1, 2, 0)  # the byte of rbits, counted from the lowest, that serves a, b, e and f
_NAMES = "abef"


def convert(device: Device, x: NDArray[np.float32], rbits: NDArray[np.uint32]) -> NDArray[np.uint16]:
    """The instruction's words of (n, 4) floats in the order a, b, e, f."""
    d = device.put(np.zeros(rbits.size, np.uint16))
    device.call(SOURCE, "convert_rs_e2m1x4", rbits.size, device.put(x), device.put(rbits), d, np.uint64(rbits.size))
    return device.get(d)


def predicted(x: NDArray[np.float32], rbits: NDArray[np.uint32], order: tuple[int, ...]) -> NDArray[np.uint16]:
    """The words of the carry model with the byte ``order[i]`` for element i; a has the highest nibble."""
    shifts = 8 * np.array(order, np.uint32)
    random = rbits[:, None] >> shifts & np.uint32(0xFF)
    codes = encode(x, E2M1, Rounding.SR, random=random, random_bits=8).astype(np.uint16)
    return np.asarray((codes << np.array([12, 8, 4, 0], np.uint16)).sum(axis=1), np.uint16)


def samples(count: int) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    """Floats over all of E2M1's range and beyond, and random words."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-7, 7, (count, 4)).astype(np.float32)
    x[1::3] = np.ldexp(x[1::3], rng.integers(-6, 1, x[1::3].shape)).astype(np.float32)
    x[2::9] = rng.integers(0, 1 << 32, x[2::9].shape, dtype=np.uint64).astype(np.uint32).view(np.float32)
    return x, rng.integers(0, 1 << 32, count, dtype=np.uint64).astype(np.uint32)


def run(device: Device, effort: Effort) -> Outcome:
    """Random words under all 24 orders of bytes, and the 20 probes, whose raw words go into the evidence."""
    probes = read_probes("cvt_rs_e2m1x4")
    raw = {"probes": hex_words(convert(device, probes["x_abef"], probes["rbits"]))}
    x, rbits = samples(min(effort.elements, 1 << 20) // 4)
    found = convert(device, x, rbits)
    wrong = {order: int(np.count_nonzero(predicted(x, rbits, order) != found)) for order in permutations(range(4))}
    order = min(wrong, key=lambda one: (wrong[one], one != DEDUCED))
    count = Count(wrong[order], rbits.size)
    served = ", ".join(f"{name} by bits {8 * byte + 7}:{8 * byte}" for name, byte in zip(_NAMES, order, strict=True))
    if count.wrong:
        line = f"no order of bytes gives the carry model; the nearest serves {served}"
        return Outcome({"words": count}, diagnosis=(line,), raw=raw)
    known = "as deduced from the machine code" if order == DEDUCED else "not as deduced from the machine code"
    return Outcome({"words": count}, f"the carry model on 8 random bits; {served}: {known}", raw=raw)


CHECK = Check("cvt-rs", "stochastic rounding to E2M1 and its random bytes", run, (SOURCE,), (10, 0))
