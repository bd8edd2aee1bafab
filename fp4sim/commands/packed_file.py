"""Packed tensors as a safetensors file: a few arrays a tensor, and metadata that says what they mean."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import fp4sim
from fp4sim.commands.packed_parts import (
    SIGNS,
    Part,
    check_contents,
    expected_parts,
    extras_of,
    part_names,
    parts_of,
)
from fp4sim.errors import UnreadableError, UsageError
from fp4sim.estimators.pipeline import check_spec
from fp4sim.grammar import parse
from fp4sim.io.files import shown
from fp4sim.io.safetensors import SafetensorsSource
from fp4sim.io.strict_json import is_text, parse_object
from fp4sim.io.writer import write_safetensors
from fp4sim.packed import PackedTensor
from fp4sim.panels import is_float

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from fp4sim.io.source import Tensor
    from fp4sim.spec import Spec

SCHEMA = "fp4sim.packed/1"
METADATA_KEY = "fp4sim"
_MAX_RANK = 32
_MAX_ELEMENTS = 1 << 48


def save_packed(
    path: str | os.PathLike[str],
    tensors: Mapping[str, PackedTensor],
    copied: Mapping[str, NDArray[Any]] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write packed tensors, from a GPU too, and ``copied`` arrays as they are, atomically.

    Raises UsageError for names whose keys collide, and for tensors whose parts are not those of their spec.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for name, packed in tensors.items():
        try:
            parts = parts_of(packed.to_host())
        except ValueError as error:
            raise UsageError(f"tensor '{shown(name, 80)}': {error}") from None
        for part, array in parts.items():
            _add(arrays, f"{name}.{part}", array)
    for name, array in (copied or {}).items():
        if name in tensors:
            raise UsageError(f"tensor '{shown(name, 80)}' is there twice: packed and as it is")
        _add(arrays, name, array)
    head = {
        "schema": SCHEMA,
        "BITS_VERSION": fp4sim.BITS_VERSION,
        "version": fp4sim.__version__,
        "tensors": {name: _describe(packed) for name, packed in sorted(tensors.items())},
    }
    text = json.dumps(head, allow_nan=False, separators=(",", ":"))
    write_safetensors(path, arrays, {**(metadata or {}), METADATA_KEY: text})


def _add(arrays: dict[str, NDArray[Any]], key: str, array: NDArray[Any]) -> None:
    if key in arrays:
        raise UsageError(f"the key '{shown(key, 80)}' would be written twice: rename or --exclude one of its tensors")
    arrays[key] = array


def _describe(packed: PackedTensor) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "spec": str(packed.spec),
        "shape": list(packed.shape),
        "dtype": packed.dtype,
        "axis": packed.axis,
        "seed": packed.seed,
    }
    if packed.nonfinite:
        entry["nonfinite"] = packed.nonfinite
    return entry


def load_packed(path: str | os.PathLike[str]) -> dict[str, PackedTensor]:
    """Read the packed tensors of a file. Raises UnreadableError for one that is damaged or was not made by fp4sim."""
    with PackedFile(path) as file:
        return {name: file.packed(name) for name in file.entries}


@dataclass(frozen=True)
class Entry:
    """What the metadata says of one packed tensor, checked."""

    spec: Spec
    shape: tuple[int, ...]
    axis: int
    dtype: str
    seed: int | None
    nonfinite: int

    def expected(self) -> dict[str, Part]:
        """The dtype and the possible shapes of each part. Raises UsageError for a shape that does not fit the spec."""
        return expected_parts(self.spec, self.shape, self.axis)


class PackedFile:
    """An open packed file: ``entries`` of its packed tensors, ``copied`` ones as they are, nothing read yet."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._source = SafetensorsSource(Path(path))
        self.label = self._source.label
        try:
            self._tensors = {tensor.info.name: tensor for tensor in self._source.tensors()}
            self.entries = self._entries()
            self.copied = self._others()
            self.metadata = {key: text for key, text in self._source.metadata.items() if key != METADATA_KEY}
        except BaseException:
            self._source.close()
            raise

    def __enter__(self) -> PackedFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._source.close()

    def _entries(self) -> dict[str, Entry]:
        text = self._source.metadata.get(METADATA_KEY)
        if text is None:
            raise UnreadableError(
                f"{self.label}: no metadata '{METADATA_KEY}': not a file of fp4sim quantize,"
                " the only ones that dequantize reads; compare reads the values of other layouts"
            )
        head = parse_object(text.encode(), f"{self.label}: metadata '{METADATA_KEY}'")
        if head.get("schema") != SCHEMA:
            raise UnreadableError(f"{self.label}: schema {_quoted(head.get('schema'))}; this version reads {SCHEMA}")
        tensors = head.get("tensors")
        if not isinstance(tensors, dict):
            raise UnreadableError(f"{self.label}: metadata '{METADATA_KEY}' lists no tensors")
        return {name: self._entry(name, fields) for name, fields in tensors.items()}

    def _entry(self, name: str, fields: object) -> Entry:
        where = self._where(name)
        if not is_text(name) or not isinstance(fields, dict):
            raise UnreadableError(f"{where}: its metadata is not a JSON object under a valid name")
        shape, axis, dtype = fields.get("shape"), fields.get("axis"), fields.get("dtype")
        seed, nonfinite = fields.get("seed"), fields.get("nonfinite", 0)
        if not isinstance(shape, list) or not 0 < len(shape) <= _MAX_RANK or not all(_natural(n) and n for n in shape):
            raise UnreadableError(
                f"{where}: shape {_quoted(shape)} is not a list of 1 to {_MAX_RANK} positive integers"
            )
        if math.prod(shape) > _MAX_ELEMENTS:
            raise UnreadableError(f"{where}: shape {_quoted(shape)} is too large to exist")
        if not _natural(axis) or axis >= len(shape):
            raise UnreadableError(f"{where}: axis {_quoted(axis)} is not one of shape {_quoted(shape)}")
        if not isinstance(dtype, str) or not is_float(dtype):
            raise UnreadableError(f"{where}: dtype {_quoted(dtype)} is not a float type")
        if (seed is not None and not _natural(seed)) or not _natural(nonfinite):
            raise UnreadableError(
                f"{where}: seed {_quoted(seed)} or nonfinite {_quoted(nonfinite)} is not a natural number"
            )
        entry = Entry(self._spec(where, fields.get("spec")), tuple(shape), axis, dtype, seed, nonfinite)
        self._check_parts(name, entry)
        return entry

    def _spec(self, where: str, text: object) -> Spec:
        if not isinstance(text, str):
            raise UnreadableError(f"{where}: spec {_quoted(text)} is not a string")
        try:
            spec = parse(text)
            check_spec(spec)
        except UsageError as error:
            raise UnreadableError(f"{where}: {error}") from None
        return spec

    def _check_parts(self, name: str, entry: Entry) -> None:
        """Hold what the header promises against what the metadata needs, before anything is read or allocated."""
        where = self._where(name)
        try:
            expected = entry.expected()
        except UsageError as error:
            raise UnreadableError(f"{where}: {error}") from None
        for part, needed in expected.items():
            tensor = self._tensors.get(f"{name}.{part}")
            if tensor is None:
                raise UnreadableError(f"{where}: the file has no '{shown(name, 80)}.{part}'")
            if not needed.fits(tensor.info.dtype, tensor.info.shape):
                raise UnreadableError(
                    f"{where}: {part} is {tensor.info.dtype} {_quoted(list(tensor.info.shape))},"
                    f" {entry.spec.short} needs {shown(str(needed), 90)}"
                )

    def _others(self) -> dict[str, Tensor]:
        parts = {f"{name}.{part}" for name, entry in self.entries.items() for part in part_names(entry.spec)}
        others = {name: tensor for name, tensor in self._tensors.items() if name not in parts}
        for name in others:
            if name in self.entries:
                raise UnreadableError(f"{self._where(name)}: is there twice: packed and as it is")
        return others

    def packed(self, name: str) -> PackedTensor:
        """Read one packed tensor. Raises UnreadableError where its bytes are damaged."""
        entry = self.entries[name]
        parts = {part: self._tensors[f"{name}.{part}"].read_all() for part in part_names(entry.spec)}
        try:
            check_contents(entry.spec, entry.shape, parts)
        except ValueError as error:
            raise UnreadableError(f"{self._where(name)}: {error}") from None
        return PackedTensor(
            packed=parts["packed"],
            block_scale=parts["block_scale"],
            tensor_scale=parts["tensor_scale"],
            shape=entry.shape,
            axis=entry.axis,
            spec=entry.spec,
            dtype=entry.dtype,
            seed=entry.seed,
            signs=parts.get(SIGNS),
            extra=extras_of(parts, entry.shape),
            nonfinite=entry.nonfinite,
        )

    def _where(self, name: str) -> str:
        return f"{self.label}: packed tensor '{shown(name, 80)}'"


def _natural(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < 1 << 63  # bool is a subclass of int


def _quoted(value: object) -> str:
    """A JSON value of any kind and size, on one short line."""
    return shown(repr(value) if not isinstance(value, (list, dict)) else repr(value)[:200], 60)


__all__ = ["METADATA_KEY", "SCHEMA", "PackedFile", "load_packed", "save_packed"]
