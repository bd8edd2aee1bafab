"""Reader of .safetensors files: every number in the header is checked before it is used.

Format: https://huggingface.co/docs/safetensors/index (8-byte length, JSON header, data without holes).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fp4sim.errors import UnreadableError
from fp4sim.io.dtypes import BY_CODE, ElementType, decode, unpack_fp4
from fp4sim.io.files import PositionedFile, shown
from fp4sim.io.source import Source, Tensor, TensorInfo
from fp4sim.io.strict_json import is_text, parse_object

MAX_HEADER = 100_000_000  # the limit of the safetensors library
_MAX_RANK = 64  # numpy's limit
_MAX_BITS = (1 << 63) - 1


@dataclass(frozen=True)
class Entry:
    """One tensor of a header; ``begin`` and ``end`` are byte offsets into the data."""

    name: str
    element: ElementType
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Header:
    """A checked header: entries in data order, user metadata, and where the data starts."""

    entries: tuple[Entry, ...]
    metadata: dict[str, str]
    data_offset: int


def read_header(file: PositionedFile) -> Header:
    """Read and check the header of an open file; raises UnreadableError naming the tensor and the fault."""
    if file.size < 8:
        raise UnreadableError(f"{file.label}: {file.size} bytes are too few for a safetensors file")
    length = int.from_bytes(file.read(0, 8).tobytes(), "little")
    if length > MAX_HEADER:
        raise UnreadableError(
            f"{file.label}: header of {length} bytes, the limit is {MAX_HEADER}; not a safetensors file or damaged"
        )
    if 8 + length > file.size:
        raise UnreadableError(
            f"{file.label}: truncated: header of {length} bytes in a file of {file.size}; get a complete copy"
        )
    raw = file.read(8, length).tobytes()
    if raw[:1] != b"{":
        raise UnreadableError(f"{file.label}: header does not start with '{{'; not a safetensors file or damaged")
    document = parse_object(raw, f"{file.label}: header")
    metadata = _metadata(document.pop("__metadata__", {}), file.label)
    entries = [_entry(name, fields, file.label) for name, fields in document.items()]
    entries.sort(key=lambda entry: (entry.begin, entry.end))
    _check_cover(entries, file.size - 8 - length, file.label)
    return Header(tuple(entries), metadata, 8 + length)


def _metadata(value: object, label: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(is_text(key) and is_text(item) for key, item in value.items()):
        raise UnreadableError(f"{label}: __metadata__ is not a map of strings to strings")
    return value


def _naturals(value: object) -> tuple[int, ...] | None:
    # bool is a subclass of int, but JSON's true is no number
    if isinstance(value, list) and all(type(item) is int and 0 <= item < 1 << 63 for item in value):
        return tuple(value)
    return None


def _entry(name: str, fields: object, label: str) -> Entry:
    where = f"{label}: tensor '{shown(name, 80)}'"
    if not is_text(name):
        raise UnreadableError(f"{where}: the name is not valid Unicode")
    if not isinstance(fields, dict):
        raise UnreadableError(f"{where}: its entry is not a JSON object")
    code = fields.get("dtype")
    if not isinstance(code, str):
        raise UnreadableError(f"{where}: no dtype")
    element = BY_CODE.get(code)
    if element is None:
        raise UnreadableError(f"{where}: unknown dtype '{shown(code, 40)}'; known: {', '.join(BY_CODE)}")
    shape = _naturals(fields.get("shape"))
    if shape is None or len(shape) > _MAX_RANK:
        raise UnreadableError(f"{where}: shape is not a list of at most {_MAX_RANK} non-negative integers")
    offsets = _naturals(fields.get("data_offsets"))
    if offsets is None or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise UnreadableError(f"{where}: data_offsets is not a pair of integers in order")
    if math.prod(max(dim, 1) for dim in shape) * max(element.bits, 8) > _MAX_BITS:
        raise UnreadableError(f"{where}: shape {shown(str(list(shape)), 80)} is too large to exist")
    bits = math.prod(shape) * element.bits
    if bits != 8 * (offsets[1] - offsets[0]):
        raise UnreadableError(
            f"{where}: shape {shown(str(list(shape)), 80)} of {code} takes {bits} bits, "
            f"its data_offsets span {offsets[1] - offsets[0]} bytes"
        )
    return Entry(name, element, shape, offsets[0], offsets[1])


def _check_cover(entries: list[Entry], data_size: int, label: str) -> None:
    """Check that entries, sorted by offset, cover the data without overlap or hole, as the format demands."""
    position = 0
    for entry in entries:
        where = f"{label}: tensor '{shown(entry.name, 80)}'"
        if entry.end > data_size:
            raise UnreadableError(
                f"{where}: truncated: ends at byte {entry.end} of the data, which has {data_size}; get a complete copy"
            )
        if entry.begin < position:
            raise UnreadableError(f"{where}: its bytes overlap those of another tensor")
        if entry.begin > position:
            raise UnreadableError(f"{where}: {entry.begin - position} bytes before it belong to no tensor")
        position = entry.end
    if position != data_size:
        raise UnreadableError(f"{label}: {data_size - position} bytes at the end belong to no tensor")


class SafetensorsTensor(Tensor):
    """One tensor of a safetensors file; 6-bit and complex ones are listed and refused when read."""

    def __init__(self, file: PositionedFile, entry: Entry, data_offset: int) -> None:
        super().__init__(TensorInfo(entry.name, entry.shape, entry.element.name))
        self._file = file
        self._element = entry.element
        self._offset = data_offset + entry.begin

    def _read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        bits = self._element.bits
        if not self._element.readable:
            raise UnreadableError(
                f"{self._file.label}: tensor '{shown(self.info.name, 80)}': elements of type {self._element.code} "
                "are not read; exclude it or convert it"
            )
        if bits == 4:
            first = start // 2
            packed = self._file.read(self._offset + first, (stop + 1) // 2 - first)
            return unpack_fp4(packed)[start - 2 * first : stop - 2 * first]
        itemsize = bits // 8
        return decode(self._file.read(self._offset + start * itemsize, (stop - start) * itemsize), self.info.dtype)


class SafetensorsSource(Source):
    """A .safetensors file: its tensors in data order, and its ``metadata``."""

    def __init__(self, path: Path) -> None:
        """Open ``path`` and check its header; raises UnreadableError naming what is wrong."""
        self._file = PositionedFile(path)
        super().__init__(self._file.label)
        try:
            header = read_header(self._file)
        except BaseException:
            self._file.close()
            raise
        self.metadata = header.metadata
        self._tensors = [SafetensorsTensor(self._file, entry, header.data_offset) for entry in header.entries]

    def tensors(self) -> list[Tensor]:
        """The tensors in data order."""
        return list(self._tensors)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
