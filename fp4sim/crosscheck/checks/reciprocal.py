"""``rcp.approx.ftz.f32``: this GPU's table against the one measured on Hopper, and the model of :mod:`fp4sim.rcp`.

On a GPU other than Hopper a table of its own is an answer, not a fault; the model around the table must hold in any case.
"""

from __future__ import annotations

import base64
import hashlib
import zlib

import numpy as np

from fp4sim.crosscheck.check import Check, Effort, Outcome
from fp4sim.crosscheck.device import Device
from fp4sim.crosscheck.patterns import tally
from fp4sim.rcp import MANTISSAS, hopper_table
from fp4sim.report.verify_model import Count

SOURCE = "reciprocal.cu"
_HOPPER = (9, 0)


def run(device: Device, effort: Effort) -> Outcome:
    """The table by all 2^23 mantissas, then the model with that table over float32 patterns."""
    on_device = device.put(np.zeros(MANTISSAS, np.int8))
    device.call(SOURCE, "rcp_table", 1 << 18, on_device)
    table, hopper = device.get(on_device), hopper_table()
    found = tally(device, SOURCE, "rcp_compare", effort, before=[on_device])
    counts = {"model": Count(found.differing, effort.patterns)}
    diagnosis = []
    if found.first is not None:
        diagnosis.append(f"model: first differing pattern 0x{found.first[0]:08x}")
    differing = int(np.count_nonzero(table != hopper))
    beyond = int(np.count_nonzero(np.abs(table.astype(int)) > 1))
    counts["one ulp"] = Count(beyond, MANTISSAS)
    if device.info.capability == _HOPPER:
        counts["Hopper's table"] = Count(differing, MANTISSAS)
    raw = {"table_sha256": hashlib.sha256(table.tobytes()).hexdigest()}
    if differing:
        packed = zlib.compress((table.astype(np.int16) - hopper).astype(np.int8).tobytes(), 9)
        raw["table_minus_hopper_int8_zlib_base64"] = base64.b64encode(packed).decode("ascii")
    answer = (
        "rcp.approx.ftz is Hopper's, all 2^23 mantissas"
        if not differing
        else f"rcp.approx.ftz differs from Hopper's in {differing:,} of 2^23 mantissas"
    )
    return Outcome(counts, answer, tuple(diagnosis), raw)


CHECK = Check("rcp-approx", "rcp.approx.ftz.f32 against the table of fp4sim.rcp", run, (SOURCE,))
