"""E2M1 by the instruction of the eight-bit formats, K = 32: 21 probes, 14 models."""

from __future__ import annotations

import numpy as np

from fp4sim.crosscheck.check import Check, Effort, Outcome
from fp4sim.crosscheck.device import Device
from fp4sim.crosscheck.probes import read_probes
from fp4sim.crosscheck.products import MXF8F6F4, SOURCE, Operands, best_fits, hex_words, multiply_pairs
from fp4sim.kernels.reference.blocks import pack
from fp4sim.report.verify_model import Count


def run(device: Device, effort: Effort) -> Outcome:
    """The probes; raw words by probe."""
    probes = read_probes("mxf8f6f4_e2m1_k32")
    operands = Operands(pack(probes["A"]), pack(probes["B"]), probes["C"], probes["SA"][:, None], probes["SB"][:, None])
    found = multiply_pairs(device, MXF8F6F4, operands)
    words, models = found[:, 0], [str(name) for name in probes["models"]]
    counts = {
        MXF8F6F4.name: Count(int((words != probes["pred"][:, 0]).sum()), words.size),
        "both places": Count(int((found[:, 0] != found[:, 1]).sum()), words.size),
    }
    fits, missed = best_fits(words, probes["pred"], models)
    named = " or ".join(fits)
    answer = (
        f"all probes as the model {named}"
        if not missed
        else f"nearest of {len(models)} models: {named}, misses {missed}"
    )
    wrong = np.flatnonzero(words != probes["pred"][:, 0])
    lines = tuple(f"{probes['name'][i]}: {words[i]:08x}, the model gives {probes['pred'][i, 0]:08x}" for i in wrong)
    return Outcome(counts, answer, lines, {MXF8F6F4.name: hex_words(words)})


CHECK = Check("mma-eight-bit", "mma.sync m16n8k32 mxf8f6f4 of E2M1: 21 probes", run, (SOURCE,), (12, 0))
