"""The header of a GGUF file: metadata and tensor infos, every count and offset checked before it is used.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (magic, version, counts, key-values, tensor infos, data).
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fp4sim.errors import UnreadableError
from fp4sim.io.files import shown

if TYPE_CHECKING:
    from fp4sim.io.files import PositionedFile

MAGIC = b"GGUF"
VERSIONS = (2, 3)  # version 1 had 32-bit counts and was never spread
_ALIGNMENT_KEY = "general.alignment"
_ALIGNMENT = 32
_MOST_AXES = 4  # GGML_MAX_DIMS
_MOST_ELEMENTS = 1 << 48
_LONGEST_KEY = 1 << 16
_LONGEST_KEPT = 4096  # of a metadata string; longer ones (chat templates) are passed over
_WINDOW = 1 << 20

# value types of metadata: struct codes by number; 8 is a string, 9 an array
_SCALARS = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIifBQqd", strict=True))
_STRING, _ARRAY, _BOOL = 8, 9, 7

Value = int | float | str | bool


@dataclass(frozen=True)
class GgufEntry:
    """One tensor: ``shape`` in row-major order (ggml lists the fastest axis first), ``kind`` a ggml_type, ``offset`` into
    the data."""

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int


@dataclass(frozen=True)
class GgufHeader:
    """A parsed header: metadata without arrays, tensors in file order, and where the data starts."""

    version: int
    metadata: dict[str, Value]
    entries: tuple[GgufEntry, ...]
    alignment: int
    data_offset: int


class _Cursor:
    """Reads forward through the header, a window at a time; nothing beyond the file's end is asked for."""

    def __init__(self, file: PositionedFile) -> None:
        self._file = file
        self._start = 0
        self._window = b""
        self.position = 0

    @property
    def left(self) -> int:
        return self._file.size - self.position

    def take(self, length: int, what: str) -> bytes:
        """The next ``length`` bytes. Raises UnreadableError where the file ends before."""
        self._need(length, what)
        begin = self.position - self._start
        if begin + length > len(self._window):
            self._start, begin = self.position, 0
            self._window = self._file.read(self.position, min(self.left, max(length, _WINDOW))).tobytes()
        self.position += length
        return self._window[begin : begin + length]

    def skip(self, length: int, what: str) -> None:
        self._need(length, what)
        self.position += length
        if self.position > self._start + len(self._window):
            self._start, self._window = self.position, b""

    def number(self, code: str, what: str) -> int | float:
        value: int | float = struct.unpack(f"<{code}", self.take(struct.calcsize(code), what))[0]
        return value

    def count(self, code: str, what: str, least: int) -> int:
        """A count of things that take at least ``least`` bytes each, of which the file must have room for all."""
        value = int(self.number(code, what))
        if value * least > self.left:
            raise self.wrong(f"{what} is {value}, for which the file is too short")
        return value

    def string(self, what: str, longest: int) -> str:
        length = int(self.number("Q", what))
        if length > longest:
            raise self.wrong(f"{what} has {length} bytes, the limit is {longest}")
        try:
            return self.take(length, what).decode("utf-8")
        except UnicodeDecodeError:
            raise self.wrong(f"{what} is not UTF-8") from None

    def wrong(self, reason: str) -> UnreadableError:
        return UnreadableError(f"{self._file.label}: {reason}; damaged, or not a GGUF file")

    def _need(self, length: int, what: str) -> None:
        if length > self.left:
            raise UnreadableError(f"{self._file.label}: truncated within {what}; get a complete copy")


def read_header(file: PositionedFile) -> GgufHeader:
    """Read and check the header of an open file; raises UnreadableError naming what is wrong."""
    cursor = _Cursor(file)
    if cursor.take(4, "the magic number") != MAGIC:
        raise cursor.wrong("does not start with 'GGUF'")
    version = int(cursor.number("I", "the version"))
    if version not in VERSIONS:
        kind = "big-endian, which is not read" if version & 0xFFFF == 0 else f"version {version}; read are 2 and 3"
        raise UnreadableError(f"{file.label}: GGUF {kind}")
    tensors = cursor.count("Q", "the number of tensors", 24)
    pairs = cursor.count("Q", "the number of metadata entries", 13)
    metadata = _metadata(cursor, pairs)
    entries = tuple(_entry(cursor) for _ in range(tensors))
    _check_names(cursor, entries)
    alignment = metadata.get(_ALIGNMENT_KEY, _ALIGNMENT)
    if type(alignment) is not int or alignment <= 0 or alignment & (alignment - 1):
        raise cursor.wrong(f"{_ALIGNMENT_KEY} is {shown(str(alignment), 40)}, not a power of two")
    data_offset = -(-cursor.position // alignment) * alignment
    for entry in entries:
        if entry.offset % alignment:
            raise cursor.wrong(f"tensor '{shown(entry.name, 80)}': offset {entry.offset} is not aligned to {alignment}")
    return GgufHeader(version, metadata, entries, alignment, data_offset)


def _metadata(cursor: _Cursor, pairs: int) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for i in range(pairs):
        key = cursor.string(f"the key of metadata entry {i}", _LONGEST_KEY)
        where = f"metadata '{shown(key, 80)}'"
        kind = int(cursor.number("I", where))
        value = _value(cursor, kind, where)
        if key in found:
            raise cursor.wrong(f"{where} occurs twice")
        if value is not None:
            found[key] = value
    return found


def _value(cursor: _Cursor, kind: int, where: str) -> Value | None:
    """A scalar or a short string; None for what is passed over."""
    if kind == _ARRAY:
        _skip_array(cursor, where)
        return None
    if kind == _STRING:
        length = int(cursor.number("Q", where))
        if length > _LONGEST_KEPT:
            cursor.skip(length, where)
            return None
        return cursor.take(length, where).decode("utf-8", "replace")
    if kind not in _SCALARS:
        raise cursor.wrong(f"{where} has value type {kind}, which does not exist")
    value = cursor.number(_SCALARS[kind], where)
    return bool(value) if kind == _BOOL else value


def _skip_array(cursor: _Cursor, where: str) -> None:
    kind = int(cursor.number("I", where))
    if kind == _STRING:
        for _ in range(cursor.count("Q", f"the length of {where}", 8)):
            cursor.skip(int(cursor.number("Q", where)), where)
        return
    if kind not in _SCALARS:
        raise cursor.wrong(f"{where} is an array of value type {kind}, which is not read")
    size = struct.calcsize(_SCALARS[kind])
    cursor.skip(size * cursor.count("Q", f"the length of {where}", size), where)


def _entry(cursor: _Cursor) -> GgufEntry:
    name = cursor.string("the name of a tensor", _LONGEST_KEY)
    where = f"tensor '{shown(name, 80)}'"
    axes = int(cursor.number("I", where))
    if not 0 < axes <= _MOST_AXES:
        raise cursor.wrong(f"{where} has {axes} axes, there may be 1 to {_MOST_AXES}")
    shape = tuple(int(cursor.number("Q", where)) for _ in range(axes))[::-1]
    if 0 in shape or math.prod(shape) > _MOST_ELEMENTS:
        raise cursor.wrong(f"{where}: shape {shown(str(list(shape)), 80)} is empty or too large to exist")
    return GgufEntry(name, shape, int(cursor.number("I", where)), int(cursor.number("Q", where)))


def _check_names(cursor: _Cursor, entries: tuple[GgufEntry, ...]) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.name in seen:
            raise cursor.wrong(f"tensor '{shown(entry.name, 80)}' occurs twice")
        seen.add(entry.name)
