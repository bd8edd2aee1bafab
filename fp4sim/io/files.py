"""Files read at positions: thread-safe, never mapped into memory, every failure one line."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path
from typing import Any

import numpy as np

from fp4sim.errors import UnreadableError, UsageError

# One read call moves at most this much: some systems refuse or cut short reads of 2 GiB and more.
_MAX_READ = 1 << 28


def shown(text: str, limit: int = 200) -> str:
    """Text from outside made fit for one line of output: control characters escaped, cut to ``limit``."""
    cut = text if len(text) <= limit else text[: limit - 3] + "..."
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in cut)


def regular_file_size(path: Path) -> int:
    """Size in bytes of a readable, non-empty regular file.

    Raises UnreadableError for a missing, empty or special file (opening a pipe could wait for ever).
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None
    if stat.S_ISDIR(status.st_mode):
        raise UnreadableError(f"{shown(str(path))}: is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableError(f"{shown(str(path))}: not a regular file; write it to disk first")
    if status.st_size == 0:
        raise UnreadableError(f"{shown(str(path))}: the file is empty")
    return status.st_size


def unreadable(path: Path, error: Exception) -> UnreadableError:
    """The one-line error for an operating-system error at ``path``."""
    if isinstance(error, FileNotFoundError):
        reason = "no such file or folder"
    elif isinstance(error, OSError) and error.strerror:
        reason = error.strerror.lower()
    else:
        reason = str(error)
    return UnreadableError(f"{shown(str(path))}: {shown(reason)}")


class PositionedFile:
    """A regular file opened for reads at any offset from any thread."""

    def __init__(self, path: Path) -> None:
        """Open ``path``; raises UnreadableError when it is missing, empty, special or not permitted."""
        regular_file_size(path)
        self.path = path
        self.label = shown(str(path))
        self._lock = threading.Lock()
        try:
            self._fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
        except OSError as error:
            raise unreadable(path, error) from None
        self.size = os.fstat(self._fd).st_size

    def read(self, offset: int, length: int) -> np.ndarray[Any, Any]:
        """Read exactly ``length`` bytes at ``offset`` as a new 1-D uint8 array.

        Raises UnreadableError when the file ends before, UsageError after ``close``.
        """
        if offset + length > self.size:
            raise self._short(offset + length)
        buffer = np.empty(length, np.uint8)
        view = buffer.data
        done = 0
        while done < length:
            try:
                count = self._read_into(view[done : min(done + _MAX_READ, length)], offset + done)
            except OSError as error:
                raise unreadable(self.path, error) from None
            if count == 0:
                raise self._short(offset + length)
            done += count
        return buffer

    def _read_into(self, view: memoryview, offset: int) -> int:
        if self._fd < 0:
            raise UsageError(f"{self.label}: read after the source was closed")
        if hasattr(os, "preadv"):
            return os.preadv(self._fd, [view], offset)
        if hasattr(os, "pread"):
            data = os.pread(self._fd, len(view), offset)
        else:
            with self._lock:
                os.lseek(self._fd, offset, os.SEEK_SET)
                data = os.read(self._fd, len(view))
        view[: len(data)] = data
        return len(data)

    def _short(self, wanted: int) -> UnreadableError:
        return UnreadableError(
            f"{self.label}: truncated: {wanted} bytes needed, the file ends before; get a complete copy"
        )

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
