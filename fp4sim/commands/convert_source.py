"""The weights to convert: quantized now from floats, or taken as they are from a packed or quantized checkpoint."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.checkpoints.checkpoint import open_checkpoint
from fp4sim.checkpoints.fused import fused_key
from fp4sim.checkpoints.write import BLOCKS, StoredWeight, check_axes
from fp4sim.commands.compare import skip_reason
from fp4sim.commands.packed_file import METADATA_KEY, PackedFile
from fp4sim.commands.packed_parts import PARTS, TRUST, part_names
from fp4sim.errors import UnreadableError, UsageError
from fp4sim.estimators.pipeline import check_spec
from fp4sim.io.files import shown
from fp4sim.io.source import ArrayTensor, select
from fp4sim.kernels.reference.blocks import pack
from fp4sim.packing import quantize_tensor

if TYPE_CHECKING:
    from fp4sim.checkpoints.checkpoint import Checkpoint
    from fp4sim.checkpoints.weight import QuantizedWeight
    from fp4sim.checkpoints.write import Arrays, Format, Target
    from fp4sim.io.source import Tensor
    from fp4sim.packed import PackedTensor
    from fp4sim.spec import Spec

# what is kept in its own precision as a rule: embeddings, the head, norms and the routers of experts
KEPT = ("*embed*", "*lm_head*", "*norm*", "*router*", "*.gate.weight", "output.weight", "token_embd*")
_FORMATS: dict[tuple[str, int], Format] = {("e4m3", 16): "NVFP4", ("e8m0", 32): "MXFP4"}


@dataclass(frozen=True)
class Selection:
    """Which tensors to quantize, and to what; for sources that are quantized already, ``spec`` must be None.

    Without ``include`` all matrices but embeddings, heads, norms and routers are taken.
    """

    spec: Spec | None = None
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    seed: int = 0
    threads: int | None = None


def read_weights(
    path: str | os.PathLike[str], selection: Selection, target: Target
) -> tuple[list[StoredWeight], Arrays]:
    """Weights, and all other tensors as they are. Raises UsageError, UnreadableError, and what does not fit ``target``."""
    with open_checkpoint(path) as checkpoint:
        packed = METADATA_KEY in getattr(checkpoint.source, "metadata", {})
        if (packed or checkpoint.by_layout) and (selection.spec or selection.include or selection.exclude):
            raise UsageError(
                f"{checkpoint.source.label} is quantized already: --spec, --include, --exclude have no use"
            )
        if packed:
            return _from_packed(path, target)
        if checkpoint.by_layout:
            return _from_layout(checkpoint, target)
        return _from_floats(checkpoint.source.tensors(), selection, target)


def _from_packed(path: str | os.PathLike[str], target: Target) -> tuple[list[StoredWeight], Arrays]:
    with PackedFile(path) as file:
        for name, entry in file.entries.items():
            _check_storable(name, entry.spec, entry.shape, entry.axis)
            check_axes(name, len(entry.shape), target)
        weights = [_stored(name, file.packed(name)) for name in file.entries]
        return weights, {name: tensor.read_all() for name, tensor in file.copied.items()}


def _from_layout(checkpoint: Checkpoint, target: Target) -> tuple[list[StoredWeight], Arrays]:
    found = checkpoint.found
    for fault in found.faults:
        label = f"{checkpoint.source.label}: tensor '{shown(fault.tensor, 80)}'"
        raise UnreadableError(f"{label}: {fault.message}")
    for weight in found.weights:
        check_axes(weight.name, len(weight.shape), target)
    weights = [_recoded(weight) for weight in found.weights]
    return weights, {tensor.info.name: tensor.read_all() for tensor in checkpoint.others}


def _recoded(weight: QuantizedWeight) -> StoredWeight:
    """Codes and block scales bit for bit, from whatever order they are stored in."""
    fmt = _FORMATS.get((weight.encoding.format, weight.block))
    if fmt is None or weight.length % weight.block:
        raise UsageError(
            f"tensor '{shown(weight.name, 80)}': {weight.format} of {list(weight.shape)} cannot be written"
        )
    codes, scales = weight.blocks.read(0, weight.rows)
    if weight.encoding.nan[scales].any():
        raise UnreadableError(f"tensor '{shown(weight.name, 80)}': block scales are NaN; see fp4sim lint")
    factors = weight.globals if weight.global_scale is not None else None
    if factors is not None and factors.size == 1:
        factors = factors.reshape(())
    role = weight.global_scale.role if weight.global_scale is not None else "multiplier"
    rows = weight.shape[:-1]
    return StoredWeight(weight.name, fmt, pack(codes).reshape(*rows, -1), scales.reshape(*rows, -1), factors, role)


def _from_floats(tensors: Sequence[Tensor], selection: Selection, target: Target) -> tuple[list[StoredWeight], Arrays]:
    spec = selection.spec
    if spec is None:
        raise UsageError("the source holds floats: name the format to quantize to with --spec, e.g. nvfp4")
    check_spec(spec)
    exclude = (*selection.exclude, *(() if selection.include else KEPT))
    chosen = [tensor for tensor in select(tensors, selection.include, exclude) if not skip_reason(tensor)]
    for tensor in chosen:
        _check_storable(tensor.info.name, spec, tensor.info.shape, len(tensor.info.shape) - 1)
        check_axes(tensor.info.name, len(tensor.info.shape), target)
    weights = [_stored(name, packed) for name, packed in _quantized(chosen, spec, selection).items()]
    names = {tensor.info.name for tensor in chosen}
    return weights, {t.info.name: t.read_all() for t in tensors if t.info.name not in names}


def _quantized(tensors: Sequence[Tensor], spec: Spec, selection: Selection) -> dict[str, PackedTensor]:
    """Each tensor quantized; those that runtimes fuse under the tensor scale of their largest amax."""

    def quantized(tensor: Tensor) -> PackedTensor:
        return quantize_tensor(tensor, spec, seed=selection.seed, threads=selection.threads)

    groups: dict[Any, list[Tensor]] = {}
    for number, tensor in enumerate(tensors):
        key = fused_key(tensor.info.name) if spec.tensor_scale.mode == "tensor" else None
        alike = (key, tensor.info.shape[1:], tensor.info.dtype)
        groups.setdefault(number if key is None else alike, []).append(tensor)
    done: dict[str, PackedTensor] = {}
    for members in groups.values():
        if len(members) == 1:
            done[members[0].info.name] = quantized(members[0])
            continue
        whole = ArrayTensor(members[0].info.name, np.concatenate([tensor.read_all() for tensor in members]))
        done |= _parted(quantized(whole), members)
    return {tensor.info.name: done[tensor.info.name] for tensor in tensors}


def _parted(packed: PackedTensor, members: Sequence[Tensor]) -> dict[str, PackedTensor]:
    """The parts of weights that were quantized as the one matrix that runtimes make of them."""
    parts, start = {}, 0
    for tensor in members:
        rows = slice(start, start + tensor.info.shape[0])
        start = rows.stop
        parts[tensor.info.name] = replace(
            packed, packed=packed.packed[rows], block_scale=packed.block_scale[rows], shape=tensor.info.shape
        )
    return parts


def _check_storable(name: str, spec: Spec, shape: tuple[int, ...], axis: int) -> None:
    """Raise UsageError where no layout has a place for what the spec gives."""
    where = f"tensor '{shown(name, 80)}'"
    scale, block = spec.scale, spec.block
    plain = set(part_names(spec)) <= {*PARTS, TRUST} and not spec.has("if4")
    tiles = block.kind == "tile" and block.rows == 1
    fmt = _FORMATS.get((str(scale), block.cols)) if plain and tiles and str(spec.element) == "e2m1" else None
    if fmt is None or spec.tensor_scale.mode not in ("none", "tensor", "given"):
        raise UsageError(f"{where}: {spec.short} has no place in these layouts; nvfp4 and mxfp4 and their kin have")
    if axis != len(shape) - 1 or len(shape) < 2:
        raise UsageError(f"{where}: blocks must run along the last of at least 2 axes; axis {axis} of {list(shape)}")
    if shape[-1] % BLOCKS[fmt]:
        raise UsageError(f"{where}: rows of {shape[-1]} are not whole blocks of {BLOCKS[fmt]}; --exclude it")


def _stored(name: str, packed: PackedTensor) -> StoredWeight:
    fmt = _FORMATS[str(packed.spec.scale), packed.spec.block.cols]
    if fmt == "MXFP4":
        if not (packed.tensor_scale == 1).all():
            raise UsageError(
                f"tensor '{shown(name, 80)}': {packed.spec.short} has a tensor scale, for which MXFP4 layouts have no place"
            )
        return StoredWeight(name, fmt, packed.packed, packed.block_scale.astype(np.uint8))
    if packed.tensor_scale.shape != ():
        raise UsageError(f"tensor '{shown(name, 80)}': has a tensor scale a row, the layouts have one a tensor")
    return StoredWeight(name, fmt, packed.packed, packed.block_scale.astype(np.uint8), packed.tensor_scale)
