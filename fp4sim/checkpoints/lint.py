"""The lint: what is wrong, doubtful or remarkable in a checkpoint's quantized weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.checkpoints.checkpoint import BY_NAME
from fp4sim.checkpoints.findings import RULES, SEVERITIES, Finding
from fp4sim.checkpoints.fused import fused_key
from fp4sim.checkpoints.lint_global import global_findings
from fp4sim.checkpoints.scan import Tally, scan
from fp4sim.io.files import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fp4sim.checkpoints.checkpoint import Checkpoint
    from fp4sim.checkpoints.findings import Severity
    from fp4sim.checkpoints.fused import Key
    from fp4sim.checkpoints.scan import Scan
    from fp4sim.checkpoints.weight import QuantizedWeight

_MANY = 0.1  # share of blocks under a zero scale that is no underflow any more
_FEW_BLOCKS = 64  # of which all may well have the same scale
_FEW_ZEROS = 16


def lint(checkpoint: Checkpoint, threads: int | None = None) -> list[Finding]:
    """All findings, the gravest first. Raises UnreadableError where the file is damaged."""
    findings = [_of("config", "", problem) for problem in checkpoint.config.problems]
    findings += [_of(fault.rule, fault.tensor, fault.message) for fault in checkpoint.found.faults]
    findings += _config_findings(checkpoint)
    for weight in checkpoint.found.weights:
        findings += _weight_findings(weight, scan(weight, threads))
    findings += _unshared(checkpoint.found.weights)
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def _of(rule: str, tensor: str, message: str, severity: Severity | None = None) -> Finding:
    return Finding(rule, severity or RULES[rule][0], tensor, message)


def _config_findings(checkpoint: Checkpoint) -> Iterator[Finding]:
    config = checkpoint.config
    weights = checkpoint.found.weights
    for weight in weights:
        if config.group_sizes and weight.block not in config.group_sizes:
            said = ", ".join(map(str, sorted(config.group_sizes)))
            yield _of("config", weight.name, f"blocks of {weight.block}, the configuration says group_size {said}")
        elif len(config.formats) == 1 and weight.format not in config.formats:
            yield _of("config", weight.name, f"is {weight.format}, the configuration says {min(config.formats)}")
        module = weight.name.removesuffix(".weight")
        if module in config.ignored:
            yield _of("config", weight.name, "is quantized, though the configuration ignores it", "warning")


def _weight_findings(weight: QuantizedWeight, seen: Scan) -> Iterator[Finding]:
    blocks = weight.rows * -(-weight.length // weight.block)

    def scales(rule: str, tally: Tally, message: str, severity: Severity | None = None) -> Iterator[Finding]:
        if tally.count:
            grave, index = severity or RULES[rule][0], _index(weight, tally.first, blocks // weight.rows)
            yield Finding(rule, grave, weight.name, message, tally.count, blocks, index)

    note = f" ({weight.encoding.note})" if weight.encoding.note else ""
    yield from scales("nan-scale", seen.nan, f"block scales are NaN{note}")
    yield from scales("negative-scale", seen.negative, "block scales have their sign bit set")
    lost: Severity = "error" if seen.zero.count > _MANY * blocks else "warning"
    yield from scales("zero-scale", seen.zero, "blocks have nonzero codes under a zero scale", lost)
    present = int(np.count_nonzero(seen.scale_bytes))
    if present == 1 and blocks >= _FEW_BLOCKS and weight.encoding.format == "e4m3":
        byte = int(seen.scale_bytes.argmax())
        yield Finding("constant-scale", "warning", weight.name, f"all block scales are 0x{byte:02x}", blocks, blocks)
    yield from global_findings(weight, seen)
    yield from _padding(weight)
    yield from _zeros(weight, seen)


def _index(weight: QuantizedWeight, flat: int, columns: int) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(flat, (*weight.shape[:-1], columns)))


def _padding(weight: QuantizedWeight) -> Iterator[Finding]:
    garbage = weight.blocks.padding()
    if garbage.size:
        severity: Severity = "error" if weight.encoding.nan[garbage].any() else "warning"
        message = f"scale bytes in the padding ({weight.blocks.arrangement}) are not zero"
        yield Finding("padding", severity, weight.name, message, int(garbage.size))


def _zeros(weight: QuantizedWeight, seen: Scan) -> Iterator[Finding]:
    tally = seen.minus_zero
    if not tally.count:
        return
    always = seen.plus_zeros == 0 and tally.count >= _FEW_ZEROS
    message = "zeros are all written as -0 (0x8), none as +0" if always else "codes are -0 (0x8)"
    index = _index(weight, tally.first, weight.length)
    total = weight.rows * weight.length
    yield Finding("negative-zero", "warning" if always else "note", weight.name, message, tally.count, total, index)


def _unshared(weights: tuple[QuantizedWeight, ...]) -> Iterator[Finding]:
    groups: dict[Key, list[QuantizedWeight]] = {}
    for weight in weights:
        key = fused_key(weight.name)
        if key and weight.global_scale is not None and BY_NAME[weight.layout].fused:
            groups.setdefault(key, []).append(weight)
    for members in groups.values():
        values = [weight.globals.tobytes() for weight in members]
        if len(set(values)) > 1:
            said = ", ".join(f"{_last(weight.name)} {float(weight.globals[0]):.6g}" for weight in members)
            yield _of("unshared-global", members[0].name, shown(f"fused weights have different global scales: {said}"))


def _last(name: str) -> str:
    return name.removesuffix(".weight").rpartition(".")[2]
