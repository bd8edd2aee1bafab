"""Reader of .npy files: header by pattern, data by positioned reads, no pickles.

Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fp4sim.errors import UnreadableError
from fp4sim.io.dtypes import decode, is_readable, numpy_dtype
from fp4sim.io.files import PositionedFile, shown
from fp4sim.io.source import Source, Tensor, TensorInfo

_MAGIC = b"\x93NUMPY"
_MAX_HEADER = 1 << 16  # a header of one plain array takes about 120 bytes
_MAX_RANK = 64  # numpy's own limit
_MAX_BYTES = (1 << 63) - 1

# The header is a Python dict literal; matched, not evaluated, since evaluating hostile text can recurse and warn.
_ITEM = re.compile(
    r"""\s*(?:'(\w+)'|"(\w+)")\s*:\s*('[^']*'|"[^"]*"|True|False|\([0-9,\sL]*\)|\[.*\])\s*(?:,|(?=\}))""", re.DOTALL
)
_DESCR = re.compile(r"([<>|])([a-zA-Z])(\d{1,3})")
_DIMENSION = re.compile(r"(\d{1,19})L?")

# What numpy's one-letter kinds mean here, by itemsize. ml_dtypes arrays are saved as bare bytes (V) except
# float8_e5m2, which numpy writes as <f1; two-byte ones are bfloat16, the only such type.
_KINDS: dict[str, dict[int, str]] = {
    "f": {8: "float64", 4: "float32", 2: "float16", 1: "float8_e5m2"},
    "i": {8: "int64", 4: "int32", 2: "int16", 1: "int8"},
    "u": {8: "uint64", 4: "uint32", 2: "uint16", 1: "uint8"},
    "b": {1: "bool"},
    "V": {2: "bfloat16", 1: "uint8"},
    "c": {8: "complex64", 16: "complex128"},
}


@dataclass(frozen=True)
class NpyHeader:
    """A parsed header. ``data_offset`` and ``data_size`` are in bytes; ``dtype`` may be one that is not read."""

    shape: tuple[int, ...]
    dtype: str
    byteorder: str
    fortran_order: bool
    data_offset: int
    data_size: int

    @property
    def readable(self) -> bool:
        """Whether the elements are of a type that is read."""
        return is_readable(self.dtype)

    @property
    def transposed(self) -> bool:
        """Whether the stored order differs from row-major."""
        return self.fortran_order and sum(dim != 1 for dim in self.shape) > 1

    def reordered(self, stored: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The whole array's 1-D elements in row-major order, from the stored order."""
        return stored.reshape(self.shape, order="F").reshape(-1) if self.transposed else stored

    def unsupported(self, where: str) -> UnreadableError:
        """The error for elements that are not read."""
        kind = shown(self.dtype, 60)
        return UnreadableError(f"{where}: elements of type {kind} are not read; save plain numbers or bool")


def read_header(read_exact: Callable[[int], bytes], where: str) -> NpyHeader:
    """Parse a header from its first byte on; ``read_exact(n)`` gives the next n bytes or raises UnreadableError."""
    start = read_exact(8)
    if start[:6] != _MAGIC:
        raise UnreadableError(f"{where}: not in .npy format (wrong first bytes)")
    major, minor = start[6], start[7]
    if major not in (1, 2, 3) or minor != 0:
        raise UnreadableError(f"{where}: .npy format version {major}.{minor} is not known; versions 1.0 to 3.0 are")
    width = 2 if major == 1 else 4
    length = int.from_bytes(read_exact(width), "little")
    if length > _MAX_HEADER:
        raise UnreadableError(f"{where}: .npy header of {length} bytes; the limit is {_MAX_HEADER}")
    raw = read_exact(length)
    try:
        text = raw.decode("utf-8" if major == 3 else "latin-1").strip()
    except UnicodeDecodeError:
        raise UnreadableError(f"{where}: .npy header is not UTF-8") from None
    return _parse(text, 8 + width + length, where)


def _parse(text: str, data_offset: int, where: str) -> NpyHeader:
    items: dict[str, str] = {}
    position = 1
    if text[:1] == "{" and text[-1:] == "}":
        while match := _ITEM.match(text, position):
            key = match[1] or match[2]
            if key in items:
                raise UnreadableError(f"{where}: .npy header says '{shown(key, 40)}' twice")
            items[key] = match[3]
            position = match.end()
    if set(items) != {"descr", "fortran_order", "shape"} or text[position:].strip() != "}":
        raise UnreadableError(f"{where}: .npy header is malformed: {shown(text, 80)}")
    if items["fortran_order"] not in ("True", "False") or items["shape"][0] != "(":
        raise UnreadableError(f"{where}: .npy header is malformed: {shown(text, 80)}")
    shape = _shape(items["shape"], where)
    dtype, byteorder = _element_type(items["descr"])
    size = 0
    if is_readable(dtype):
        itemsize = numpy_dtype(dtype).itemsize
        size = math.prod(shape) * itemsize
        if math.prod(max(dim, 1) for dim in shape) * itemsize > _MAX_BYTES:
            raise UnreadableError(f"{where}: shape {shape} is too large to exist")
    return NpyHeader(shape, dtype, byteorder, items["fortran_order"] == "True", data_offset, size)


def _shape(text: str, where: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text[1:-1].split(",")]
    if parts[-1] == "":
        parts.pop()
    matches = [_DIMENSION.fullmatch(part) for part in parts]
    if len(parts) > _MAX_RANK or not all(matches) or (len(parts) == 1 and "," not in text):
        raise UnreadableError(f"{where}: .npy header has no valid shape: {shown(text, 80)}")
    return tuple(int(match[1]) for match in matches if match)


def _element_type(descr: str) -> tuple[str, str]:
    if descr[0] == "[":
        return "structured", "little"
    match = _DESCR.fullmatch(descr[1:-1])
    if descr[1:-1].endswith("O"):
        return "object", "little"
    name = _KINDS.get(match[2], {}).get(int(match[3])) if match else None
    if match is None or name is None:
        return descr[1:-1] or "unknown", "little"
    return name, "big" if match[1] == ">" else "little"


class NpyTensor(Tensor):
    """The array of a .npy file; one stored column by column is loaded and reordered as a whole, once."""

    def __init__(self, file: PositionedFile, header: NpyHeader) -> None:
        super().__init__(TensorInfo(file.path.stem, header.shape, header.dtype))
        self._file = file
        self._header = header
        self._lock = threading.Lock()
        self._row_major: np.ndarray[Any, Any] | None = None

    def _read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        if not self._header.transposed:
            return self._read_stored(start, stop)
        with self._lock:
            if self._row_major is None:
                self._row_major = self._header.reordered(self._read_stored(0, self.info.size))
            return self._row_major[start:stop]

    def _read_stored(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        itemsize = numpy_dtype(self.info.dtype).itemsize
        raw = self._file.read(self._header.data_offset + start * itemsize, (stop - start) * itemsize)
        return decode(raw, self.info.dtype, self._header.byteorder)


class NpySource(Source):
    """A .npy file: one tensor, named after the file."""

    def __init__(self, path: Path) -> None:
        """Open ``path`` and check its header; raises UnreadableError unless the file holds exactly one plain array."""
        self._file = PositionedFile(path)
        super().__init__(self._file.label)
        try:
            self._tensor = NpyTensor(self._file, self._checked_header())
        except BaseException:
            self._file.close()
            raise

    def _checked_header(self) -> NpyHeader:
        position = 0

        def read_exact(count: int) -> bytes:
            nonlocal position
            data = self._file.read(position, count).tobytes()
            position += count
            return data

        header = read_header(read_exact, self.label)
        if not header.readable:
            raise header.unsupported(self.label)
        expected = header.data_offset + header.data_size
        if self._file.size < expected:
            raise UnreadableError(
                f"{self.label}: truncated: shape {header.shape} of {header.dtype} needs {expected} bytes, "
                f"the file has {self._file.size}; get a complete copy"
            )
        if self._file.size > expected:
            raise UnreadableError(
                f"{self.label}: {self._file.size - expected} bytes follow the array; save one array per file"
            )
        return header

    def tensors(self) -> list[Tensor]:
        """The one tensor."""
        return [self._tensor]

    def close(self) -> None:
        """Close the file."""
        self._file.close()
