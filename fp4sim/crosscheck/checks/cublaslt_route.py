"""The way to cuBLASLt that :mod:`cublaslt_fp4` takes, tried where it can be: exact FP8 products of small integers."""

from __future__ import annotations

import numpy as np

from fp4sim.crosscheck.check import Check, Effort, Outcome
from fp4sim.crosscheck.device import Device
from fp4sim.floats import E4M3
from fp4sim.kernels.reference.encode import encode
from fp4sim.report.verify_model import Count

M, N, K = 64, 128, 256


def run(device: Device, effort: Effort) -> Outcome:
    """One product, whose every partial sum is a whole number below 2^14."""
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-7, 8, (rows, K)).astype(np.float32) for rows in (M, N))
    codes_a, codes_b = (encode(part, E4M3).astype(np.uint8) for part in (a, b))
    words = device.multiply_by_library("e4m3", codes_a, codes_b)
    wrong = (a @ b.T).view(np.uint32) != words
    return Outcome({"e4m3": Count(int(wrong.sum()), wrong.size)})


CHECK = Check("cublaslt-route", "cuBLASLt is called rightly: exact FP8 products", run, (), (8, 9))
