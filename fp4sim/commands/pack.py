"""What ``fp4sim quantize`` and ``fp4sim dequantize`` do: checkpoints in, packed checkpoints out, and back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fp4sim.checkpoints.checkpoint import examine
from fp4sim.checkpoints.config import Config
from fp4sim.commands.compare import Settings, skip_reason
from fp4sim.commands.packed_file import METADATA_KEY, PackedFile, load_packed, save_packed
from fp4sim.commands.packed_parts import bytes_needed, expected_parts, part_names, parts_of
from fp4sim.commands.write_arrays import ARRAY_SUFFIXES, write_arrays
from fp4sim.errors import NothingComparedError, UsageError
from fp4sim.estimators.pipeline import check_spec
from fp4sim.io.dtypes import BY_NAME
from fp4sim.io.files import shown
from fp4sim.io.source import open_source
from fp4sim.io.source import select as choose
from fp4sim.io.target import check_writable
from fp4sim.packing import quantize_tensor

if TYPE_CHECKING:
    from fp4sim.io.source import Source, Tensor
    from fp4sim.packed import PackedTensor
    from fp4sim.spec import Spec

OutputDtype = Literal["float32", "bfloat16", "float16", "float64"]


@dataclass(frozen=True)
class Select:
    """Which tensors of a source to quantize, by globs, and how raw integers in it are read."""

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    dtype: str | None = None


@dataclass(frozen=True)
class PackSummary:
    """What was written: tensors quantized and copied, bytes of the tensors read and of the file."""

    quantized: int
    copied: int
    bytes_in: int
    bytes_out: int
    bits_per_element: float | None = None  # of the quantized tensors, with all that dequantizing needs


def pack_source(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    spec: Spec,
    settings: Settings | None = None,
    *,
    select: Select | None = None,
) -> PackSummary:
    """Quantize the selected float tensors with at least 2 axes and copy all others unchanged, quantized weights whole.

    Raises UsageError for keys that collide, a source that is packed already and a spec that needs arguments;
    NothingComparedError where nothing would be quantized; DeviceError where a GPU is asked for and cannot be used;
    UnreadableError for damaged data, NaN or Inf.
    """
    select, settings = select or Select(), settings or Settings()
    check_target(out, path, (".safetensors",))
    check_spec(spec)
    if settings.device == "cuda":
        from fp4sim.kernels.cuda.load import get_cupy

        get_cupy()  # before anything is read
    if spec.tensor_scale.mode == "given":
        raise UsageError(f"{spec.short}: ts:given needs a scale for every tensor; use fp4sim.quantize in Python")
    with open_source(path, dtype=select.dtype) as source:
        metadata: dict[str, str] = dict(getattr(source, "metadata", {}))
        if METADATA_KEY in metadata:
            raise UsageError(f"{source.label} is packed already; fp4sim dequantize it first")
        everything = source.tensors()
        selected = choose(everything, select.include, select.exclude)
        parts = _parts_of_others(source)
        chosen = {id(t) for t in selected if t.info.name not in parts and not skip_reason(t)}
        _check_names(everything, chosen, spec)
        if not chosen and parts:
            raise NothingComparedError(
                f"nothing to quantize in {source.label}: its weights are quantized already; fp4sim compare measures them,"
                " fp4sim convert writes them in another layout"
            )
        if not chosen:
            raise NothingComparedError(_nothing(source, selected))
        _check_shapes([tensor for tensor in everything if id(tensor) in chosen], spec, settings.axis)
        packed = {t.info.name: _quantize(t, spec, settings) for t in everything if id(t) in chosen}
        copied = {tensor.info.name: tensor.read_all() for tensor in everything if id(tensor) not in chosen}
        save_packed(out, packed, copied, metadata)
        return _summary(everything, packed, out)


def _parts_of_others(source: Source) -> set[str]:
    """Codes and block scales of weights that another tool quantized: small floats, but no tensors to quantize."""
    found = examine(source, Config()).found
    infos = [tensor.info for tensor in source.tensors()]
    return {info.name for info in infos if info.name in found.names and info.dtype.startswith(("float8_", "float4_"))}


def _quantize(tensor: Tensor, spec: Spec, settings: Settings) -> PackedTensor:
    if settings.device == "cuda":
        from fp4sim.gpu.quantize import quantize_uploaded

        return quantize_uploaded(tensor, spec, axis=settings.axis, seed=settings.seed, nonfinite=settings.nonfinite)
    return quantize_tensor(
        tensor,
        spec,
        axis=settings.axis,
        seed=settings.seed,
        nonfinite=settings.nonfinite,
        threads=settings.threads,
    )


def _nothing(source: Source, tensors: Sequence[Tensor]) -> str:
    if not tensors:
        return f"nothing to quantize in {source.label}: no tensor is there or matches --include/--exclude"
    first = tensors[0]
    return (
        f"nothing to quantize in {source.label}: no float tensor with at least 2 axes"
        f" (the first, '{shown(first.info.name)}': {skip_reason(first)})"
    )


def _check_shapes(tensors: Sequence[Tensor], spec: Spec, axis: int) -> None:
    """Find a tensor that the spec does not fit before the work, and name it."""
    for tensor in tensors:
        try:
            expected_parts(spec, tensor.info.shape, axis)
        except UsageError as error:
            raise UsageError(f"tensor '{shown(tensor.info.name, 80)}': {error}") from None


def _check_names(tensors: Sequence[Tensor], chosen: set[int], spec: Spec) -> None:
    """Find colliding keys before the work."""
    keys: set[str] = set()
    for tensor in tensors:
        name = tensor.info.name
        for key in [f"{name}.{part}" for part in part_names(spec)] if id(tensor) in chosen else [name]:
            if key in keys:
                raise UsageError(f"the key '{shown(key, 80)}' would be written twice: rename one of its tensors")
            keys.add(key)


def _summary(tensors: Sequence[Tensor], packed: dict[str, PackedTensor], out: str | os.PathLike[str]) -> PackSummary:
    elements = sum(one.geometry.rows * one.geometry.length for one in packed.values())
    stored = sum(bytes_needed(parts_of(one)) for one in packed.values())
    return PackSummary(
        quantized=len(packed),
        copied=len(tensors) - len(packed),
        bytes_in=sum(tensor.info.size * BY_NAME[tensor.info.dtype].bits for tensor in tensors) // 8,
        bytes_out=os.stat(Path(out)).st_size,
        bits_per_element=8 * stored / elements,
    )


def unpack_file(
    path: str | os.PathLike[str], out: str | os.PathLike[str], dtype: OutputDtype = "float32"
) -> PackSummary:
    """Write the values of a packed file under the tensors' own names; what was copied stays as it is.

    ``out`` ends in .safetensors, .npz, or .npy for a single tensor. Raises UnreadableError for a file that
    fp4sim quantize did not write, UsageError for an output that does not fit.
    """
    check_target(out, path, ARRAY_SUFFIXES)
    with PackedFile(path) as file:
        copied = {name: tensor.read_all() for name, tensor in file.copied.items()}
        values = {name: file.packed(name).dequantize(dtype) for name in file.entries}
        if not values:
            raise NothingComparedError(f"nothing to dequantize in {file.label}: it holds no packed tensor")
        write_arrays(out, {**values, **copied}, file.metadata)
    return PackSummary(len(values), len(copied), os.stat(path).st_size, os.stat(Path(out)).st_size)


def check_target(out: str | os.PathLike[str], source: str | os.PathLike[str], suffixes: Sequence[str]) -> None:
    """Refuse an output of another suffix, without a folder, or that would overwrite its own input."""
    target, origin = Path(out), Path(source)
    where = f"cannot write {shown(str(target))}"
    if target.suffix.lower() not in suffixes:
        raise UsageError(f"{where}: the suffix is {' or '.join(suffixes)}")
    check_writable(target)
    if not target.exists() or not origin.exists():
        return
    if target.samefile(origin):
        raise UsageError(f"{where}: it is the input")
    sharded = origin.is_dir() or origin.name.lower().endswith(".index.json")
    if sharded and target.parent.samefile(origin if origin.is_dir() else origin.parent):
        raise UsageError(f"{where}: it lies among the input's own shards")


__all__ = ["PackSummary", "Select", "check_target", "load_packed", "pack_source", "save_packed", "unpack_file"]
