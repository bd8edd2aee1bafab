"""cuBLASLt's block-scaled FP4 products (tcgen05 on compute capability 10, mma.sync on 12): which chain of steps they are.

Scales over their whole range make every cut of an accumulator show. How long a step is (64, or 96 where the instruction has
that) is open on compute capability 10.3: the model that gives every word is the answer.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fp4sim.crosscheck.check import Check, Effort, Outcome, SkipCheckError
from fp4sim.crosscheck.device import Device
from fp4sim.crosscheck.products import hex_words
from fp4sim.errors import DeviceError
from fp4sim.mma.instances import BLACKWELL
from fp4sim.mma.model import MmaModel
from fp4sim.report.verify_model import Count

M, N, K = 128, 128, 768
KINDS = (("nvf4", "ue4m3", 16, (0x08, 0x7F)), ("mxf4", "ue8m0", 32, (100, 155)))
_STEPS = (64, 96, 32, 16, 128, 192)
_RAW_WORDS = 512

Factors = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]


def candidates() -> list[MmaModel]:
    """Steps of several lengths, each of groups of 16 as Blackwell's."""
    return [replace(BLACKWELL, name=f"steps of {step}", step=step) for step in _STEPS]


def factors(block: int, scales: tuple[int, int]) -> Factors:
    """Packed codes of A and B, and their scale bytes, drawn from a half-open range."""
    rng = np.random.default_rng(block)
    codes = [rng.integers(0, 256, (rows, K // 2), dtype=np.uint8) for rows in (M, N)]
    drawn = [rng.integers(*scales, (rows, K // block)).astype(np.uint8) for rows in (M, N)]
    return codes[0], codes[1], drawn[0], drawn[1]


def run(device: Device, effort: Effort) -> Outcome:
    """Both formats, each for itself: the library may lack one. The raw words of some outputs, and all words' SHA-256."""
    from fp4sim.mma import block_scaled_mma

    counts: dict[str, Count] = {}
    raw: dict[str, str] = {}
    answers, diagnosis, refusals = [], [], []
    zero = np.zeros((M, N), np.float32)
    for kind, scale_format, block, scales in KINDS:
        a, b, scale_a, scale_b = factors(block, scales)
        try:
            words = device.multiply_by_library(kind, a, b, (scale_a, scale_b))
        except (SkipCheckError, DeviceError) as error:
            refusals.append(error)
            answers.append(f"{kind} was not computed: {error}")
            continue
        wrong = {}
        for model in candidates():
            expected = block_scaled_mma(
                a, b, zero, scale_a, scale_b, scale_format=scale_format, block=block, model=model
            )
            wrong[model.name] = int(np.count_nonzero(expected.view(np.uint32) != words))
        best = min(wrong, key=lambda name: wrong[name])
        counts[kind] = Count(wrong[best], words.size)
        raw[f"{kind} sha256"] = hashlib.sha256(words.astype("<u4").tobytes()).hexdigest()
        raw[f"{kind} first words"] = hex_words(words.reshape(-1)[:_RAW_WORDS])
        if wrong[best]:
            diagnosis.append(f"{kind}: no chain gives all words; nearest {best}, which misses {wrong[best]:,}")
        else:
            answers.append(f"{kind} is a chain of {best}")
    if not counts:
        raise refusals[0]
    return Outcome(counts, "; ".join(answers), tuple(diagnosis), raw)


CHECK = Check("cublaslt-fp4", "cuBLASLt's block-scaled FP4 products as a chain of steps", run, (), (10, 0))
