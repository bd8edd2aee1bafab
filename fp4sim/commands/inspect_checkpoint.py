"""What ``fp4sim inspect`` says: the layout and conventions of a quantized checkpoint, and what the answer rests on."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from fp4sim.checkpoints.checkpoint import BY_NAME, open_checkpoint
from fp4sim.commands.packed_file import METADATA_KEY
from fp4sim.errors import NothingComparedError, UsageError
from fp4sim.panels import is_float

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fp4sim.checkpoints.checkpoint import Checkpoint
    from fp4sim.checkpoints.weight import QuantizedWeight

SCHEMA = "fp4sim.inspect/1"

# what only the configuration tells apart
_TITLES = {("modelopt", "quark"): "Quark, which stores the tensors of ModelOpt's MXFP4"}


@dataclass(frozen=True)
class Group:
    """Weights of one layout, format and convention. ``value``: what an element is, in the layout's own words."""

    layout: str
    title: str
    format: str
    block: int
    scale: str
    scale_layout: str
    tensor_scale: str
    value: str
    nibbles: str
    weights: int
    elements: int
    source: str


@dataclass(frozen=True)
class WeightRow:
    """One quantized weight: its logical shape and the stored tensors that make it, by what they are for."""

    name: str
    layout: str
    format: str
    shape: tuple[int, ...]
    tensor_scale: str
    parts: dict[str, str]


@dataclass(frozen=True)
class Inspection:
    """A checkpoint's layout. ``unquantized``: names of the float tensors with at least 2 axes that stand beside."""

    path: str
    groups: tuple[Group, ...]
    weights: tuple[WeightRow, ...]
    unquantized: tuple[str, ...]
    others: int
    undecodable: tuple[str, ...]
    evidence: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Strict-JSON data."""
        return {"schema": SCHEMA, **asdict(self)}


def inspect_checkpoint(path: str | os.PathLike[str]) -> Inspection:
    """Name layout, format and conventions. Raises UnreadableError; NothingComparedError where nothing is quantized."""
    with open_checkpoint(path) as checkpoint:
        found = checkpoint.found
        refuse_unquantized(checkpoint)
        wide = [t.info.name for t in checkpoint.others if is_float(t.info.dtype) and len(t.info.shape) > 1]
        rows = tuple(WeightRow(w.name, w.layout, w.format, w.shape, w.convention, dict(w.parts)) for w in found.weights)
        return Inspection(
            path=checkpoint.source.label,
            groups=_groups(found.weights, checkpoint.config.method),
            weights=rows,
            unquantized=tuple(wide),
            others=len(checkpoint.others) - len(wide),
            undecodable=tuple(f"{fault.tensor}: {fault.message}" for fault in found.faults),
            evidence=(*checkpoint.config.evidence(), *_tensor_evidence(checkpoint)),
        )


def refuse_unquantized(checkpoint: Checkpoint) -> None:
    """Raise where there is nothing to look at, and say what there is instead."""
    if checkpoint.by_layout or checkpoint.config.problems:
        return
    label = checkpoint.source.label
    if METADATA_KEY in getattr(checkpoint.source, "metadata", {}):
        raise UsageError(f"{label} is a packed file of fp4sim quantize; convert writes it in another layout")
    raise NothingComparedError(
        f"nothing quantized in {label}: no tensors in a layout that is known ({', '.join(BY_NAME)})"
    )


def _groups(weights: Sequence[QuantizedWeight], method: str) -> tuple[Group, ...]:
    by_kind: dict[tuple[str, ...], list[QuantizedWeight]] = {}
    for weight in weights:
        key = (weight.layout, weight.format, str(weight.block), weight.convention, weight.blocks.arrangement)
        by_kind.setdefault(key, []).append(weight)
    return tuple(_group(members, method) for members in sorted(by_kind.values(), key=len, reverse=True))


def _group(members: Sequence[QuantizedWeight], method: str) -> Group:
    first = members[0]
    layout = BY_NAME[first.layout]
    module = first.name.removesuffix("weight").rstrip(".")
    stored = "*" + first.parts.get("global scale", "").removeprefix(module)
    last = {"none": "", "multiplier": f" × {stored}", "divisor": f" / {stored}"}[first.convention]
    note = f" ({first.encoding.note})" if first.encoding.note else ""
    return Group(
        layout=layout.name,
        title=_TITLES.get((layout.name, method), layout.title),
        format=first.format,
        block=first.block,
        scale=f"{first.encoding.name}{note}",
        scale_layout=first.blocks.arrangement,
        tensor_scale=first.convention,
        value=f"code × block scale{last}",
        nibbles=layout.nibbles,
        weights=len(members),
        elements=sum(weight.rows * weight.length for weight in members),
        source=layout.source,
    )


def _tensor_evidence(checkpoint: Checkpoint) -> list[str]:
    """One line for each pattern of stored tensors, with their dtypes."""
    tensors = {tensor.info.name: tensor.info for tensor in checkpoint.source.tensors()}
    patterns: Counter[tuple[str, ...]] = Counter()
    for weight in checkpoint.found.weights:
        module = weight.name.removesuffix("weight").rstrip(".")
        patterns[tuple(_pattern(name, module, tensors[name].dtype) for name in weight.parts.values())] += 1
    return [f"{count} × {' + '.join(pattern)}" for pattern, count in patterns.most_common()]


def _pattern(name: str, module: str, dtype: str) -> str:
    return f"*{name.removeprefix(module)} {dtype}" if name.startswith(module) else f"{name} {dtype}"
