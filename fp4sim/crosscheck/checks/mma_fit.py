"""``--fit-mma``: the models that this GPU's dense tensor-core instructions obey, found from their outputs alone.

The same method as for FP4, where it can really be run: fp16 and FP8 by ``mma.sync`` and, on Hopper, by ``wgmma``
(:mod:`fp4sim.mma.fit`). What block-scaled instructions obey is named by the check ``mma-probes``.
"""

from __future__ import annotations

from fp4sim.crosscheck.check import Check, Effort, Outcome
from fp4sim.crosscheck.device import Device
from fp4sim.report.verify_model import Count

_OUTPUTS = {"full": 1_000_000}
_FEW_OUTPUTS = 10_000


def run(device: Device, effort: Effort) -> Outcome:
    """Each instruction that the device has; where no model is left, the nearest one and what it misses."""
    from fp4sim.mma.fit import fit_mma

    counts: dict[str, Count] = {}
    answers: list[str] = []
    lines: list[str] = []
    for name, (kind, instruction) in device.instructions().items():
        found = fit_mma(instruction, kind, outputs=_OUTPUTS.get(effort.name, _FEW_OUTPUTS))
        if found.nearest is not None:
            nearest, missed = found.nearest
            counts[name] = Count(missed, missed)
            lines.append(
                f"{name}: none of {found.rivals} models gives all outputs; the nearest, {nearest}, misses {missed:,}"
            )
            continue
        counts[name] = Count(0, found.compared)
        answers.append(f"{name}: {found.models[0]}")
        lines.append(f"{name}: {len(found.models)} of {found.rivals} models give all {found.compared:,} outputs")
        lines += [f"{name}: no output tells it from {other}" for other in found.models[1:]]
    return Outcome(counts, "; ".join(answers), tuple(lines))


CHECK = Check(
    "mma-fit", "the models that dense tensor-core instructions obey", run, ("dense_mma.cu",), (8, 0), on_request=True
)
