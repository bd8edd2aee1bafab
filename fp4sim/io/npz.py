"""Reader of .npz archives: members streamed, their declared sizes checked before anything is allocated."""

from __future__ import annotations

import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from fp4sim.errors import UnreadableError, UsageError
from fp4sim.io.dtypes import decode, numpy_dtype
from fp4sim.io.files import regular_file_size, shown
from fp4sim.io.npy import NpyHeader, read_header
from fp4sim.io.source import Source, Tensor, TensorInfo

_CHUNK = 1 << 20
# RFC 1951 codes at most 258 bytes in 2 bits: no deflate stream expands further than this.
_MAX_DEFLATE_RATIO = 1032

# What zipfile and zlib raise on damaged archives.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    KeyError,
    IndexError,
    MemoryError,
)


@contextmanager
def _zip_errors(where: str) -> Iterator[None]:
    try:
        yield
    except UnreadableError:
        raise
    except _ZIP_ERRORS as error:
        detail = shown(str(error) or type(error).__name__, 120)
        raise UnreadableError(f"{where}: damaged zip archive: {detail}; get a complete copy") from None


class _Member:
    """The bytes of one archive member, read forward in a stream that later reads resume."""

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str) -> None:
        self._archive = archive
        self._info = info
        self._where = where
        self._lock = threading.Lock()
        self._stream: IO[bytes] | None = None
        self._position = 0

    def read(self, offset: int, length: int) -> np.ndarray[Any, Any]:
        """Bytes [offset, offset + length) as uint8; the checksum is verified when the last byte is reached."""
        if self._archive.fp is None:
            raise UsageError(f"{self._where}: read after the source was closed")
        buffer = np.empty(length, np.uint8)
        with self._lock, _zip_errors(self._where):
            try:
                if self._stream is None or offset < self._position:
                    self.close()
                    self._stream = self._archive.open(self._info)
                while self._position < offset:
                    self._advance(self._stream.read(min(_CHUNK, offset - self._position)))
                view = buffer.data
                done = 0
                while done < length:
                    data = self._stream.read(min(_CHUNK, length - done))
                    self._advance(data)
                    view[done : done + len(data)] = data
                    done += len(data)
            except BaseException:
                self.close()
                raise
        return buffer

    def _advance(self, data: bytes) -> None:
        if not data:
            raise UnreadableError(f"{self._where}: truncated; get a complete copy")
        self._position += len(data)

    def close(self) -> None:
        """Drop the stream; the next read starts from the beginning."""
        if self._stream is not None:
            self._stream.close()
        self._stream = None
        self._position = 0


class NpzTensor(Tensor):
    """One array of an archive. Forward reads are cheap; a step back decompresses again from the start."""

    load_whole = True

    def __init__(self, name: str, member: _Member, header: NpyHeader, where: str) -> None:
        super().__init__(TensorInfo(name, header.shape, header.dtype))
        self._member = member
        self._header = header
        self._where = where
        self._lock = threading.Lock()
        self._row_major: np.ndarray[Any, Any] | None = None

    def _read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        if not self._header.readable:
            raise self._header.unsupported(self._where)
        if not self._header.transposed:
            return self._read_stored(start, stop)
        with self._lock:
            if self._row_major is None:
                self._row_major = self._header.reordered(self._read_stored(0, self.info.size))
            return self._row_major[start:stop]

    def _read_stored(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        itemsize = numpy_dtype(self.info.dtype).itemsize
        raw = self._member.read(self._header.data_offset + start * itemsize, (stop - start) * itemsize)
        return decode(raw, self.info.dtype, self._header.byteorder)


class NpzSource(Source):
    """A .npz archive: its .npy members in archive order, named without the suffix.

    Members of a type that is not read (object, text, structured) are listed and refused when read.
    """

    def __init__(self, path: Path) -> None:
        """Open ``path`` and check every member's header; raises UnreadableError naming what is wrong."""
        regular_file_size(path)
        super().__init__(shown(str(path)))
        with _zip_errors(self.label):
            self._archive = zipfile.ZipFile(path)
        try:
            self._tensors = self._listed()
        except BaseException:
            self._archive.close()
            raise

    def _listed(self) -> list[Tensor]:
        tensors: list[Tensor] = []
        seen: set[str] = set()
        for info in self._archive.infolist():
            if not info.filename.endswith(".npy"):
                continue
            if info.filename in seen:
                raise UnreadableError(f"{self.label}: member '{shown(info.filename, 80)}' occurs twice")
            seen.add(info.filename)
            tensors.append(self._tensor(info))
        if not tensors:
            raise UnreadableError(f"{self.label}: holds no .npy member; write it with numpy.savez")
        return tensors

    def _tensor(self, info: zipfile.ZipInfo) -> NpzTensor:
        where = f"{self.label}: member '{shown(info.filename, 80)}'"
        if info.flag_bits & 0x1:
            raise UnreadableError(f"{where}: encrypted; save it without a password")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UnreadableError(f"{where}: compressed by a method that numpy does not write; save it again")
        ratio = _MAX_DEFLATE_RATIO if info.compress_type == zipfile.ZIP_DEFLATED else 1
        if info.file_size > info.compress_size * ratio:
            raise UnreadableError(f"{where}: declares {info.file_size} bytes out of {info.compress_size}: impossible")
        member = _Member(self._archive, info, where)
        position = 0

        def read_exact(count: int) -> bytes:
            nonlocal position
            if position + count > info.file_size:
                raise UnreadableError(f"{where}: truncated .npy header")
            data = member.read(position, count).tobytes()
            position += count
            return data

        header = read_header(read_exact, where)
        member.close()
        expected = header.data_offset + header.data_size
        if header.readable and expected != info.file_size:
            raise UnreadableError(
                f"{where}: shape {header.shape} of {header.dtype} needs {expected} bytes, "
                f"the archive declares {info.file_size}"
            )
        return NpzTensor(info.filename.removesuffix(".npy"), member, header, where)

    def tensors(self) -> list[Tensor]:
        """The tensors in archive order."""
        return list(self._tensors)

    def close(self) -> None:
        """Close the archive."""
        self._archive.close()
