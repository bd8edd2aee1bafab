"""Writing files: whole or not at all, and safetensors the same bytes every time."""

from __future__ import annotations

import errno
import json
import os
import secrets
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Literal, TextIO, cast, overload

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.io.files import shown
from fp4sim.io.target import unwritable

if TYPE_CHECKING:  # GPU hosts may lack ml_dtypes, which dtypes.py needs
    from fp4sim.io.dtypes import ElementType

_CHUNK = 1 << 20  # elements written at a time; even, so that packed fp4 never splits a byte
_DISK_FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))


@overload
def write_atomically(path: str | os.PathLike[str], mode: Literal["w"]) -> AbstractContextManager[TextIO]: ...
@overload
def write_atomically(path: str | os.PathLike[str], mode: Literal["wb"] = "wb") -> AbstractContextManager[BinaryIO]: ...
def write_atomically(
    path: str | os.PathLike[str], mode: Literal["w", "wb"] = "wb"
) -> AbstractContextManager[TextIO] | AbstractContextManager[BinaryIO]:
    """Open a temporary file beside ``path`` that takes its place when the block ends well, and goes when it fails.

    Text is UTF-8 with newlines as written. What is no regular file (/dev/stdout, a pipe) is written directly.
    Raises UsageError for a missing folder, a folder as target, no permission and a full disk.
    """
    return cast("AbstractContextManager[TextIO] | AbstractContextManager[BinaryIO]", _atomic(Path(path), mode))


@contextmanager
def _atomic(path: Path, mode: str) -> Iterator[IO[Any]]:
    text: dict[str, str] = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    target, permissions = _target(path)
    if target is None:
        try:
            stream = open(path, mode, **text)  # type: ignore[call-overload]  # noqa: SIM115
        except OSError as error:
            raise unwritable(path, error) from None
        with stream:
            yield stream
        return
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        # 0o666 leaves the permissions of a new file to the umask, as for any other file
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        fd = os.open(temporary, flags, 0o666 if permissions is None else permissions)
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from None
    try:
        with open(fd, mode, **text) as file:  # type: ignore[call-overload]
            yield file
        os.replace(temporary, target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and (error.errno in _DISK_FULL or error.filename == str(temporary)):
            raise unwritable(path, error) from None
        raise


def _target(path: Path) -> tuple[Path | None, int | None]:
    """The file to replace, links resolved, and its permissions if it exists; no file for a special one."""
    try:
        status = path.stat()
    except FileNotFoundError:
        target = Path(os.path.realpath(path))
        if not target.parent.is_dir():
            raise UsageError(f"cannot write {shown(str(path))}: the folder does not exist; create it first") from None
        return target, None
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from None
    if stat.S_ISDIR(status.st_mode):
        raise UsageError(f"cannot write {shown(str(path))}: it is a folder")
    if not stat.S_ISREG(status.st_mode):
        return None, None  # replacing /dev/null by a file would be a disaster
    return Path(os.path.realpath(path)), stat.S_IMODE(status.st_mode)


def write_safetensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, np.ndarray[Any, Any]],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write arrays of numpy and ml_dtypes dtypes as a safetensors file, atomically and without copies of them.

    Wider elements come first, then names in order, so every tensor is aligned to its element and equal input gives
    equal bytes. ``float4_e2m1fn`` is packed two per byte, low nibble first. Raises UsageError for a dtype that
    safetensors has no code for, an odd number of fp4 elements, or a name that is not valid Unicode.
    """
    elements = {name: _element(name, array) for name, array in tensors.items()}
    order = sorted(tensors, key=lambda name: (-elements[name].bits, name))
    header: dict[str, object] = {}
    if metadata:
        header["__metadata__"] = dict(sorted(metadata.items()))
    position = 0
    for name in order:
        end = position + tensors[name].size * elements[name].bits // 8
        header[name] = {
            "dtype": elements[name].code,
            "shape": list(tensors[name].shape),
            "data_offsets": [position, end],
        }
        position = end
    try:
        raw = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError("safetensors names and metadata must be valid Unicode") from None
    raw += b" " * (-len(raw) % 8)
    with write_atomically(path, "wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        for name in order:
            _write_elements(file, tensors[name], elements[name])


def _element(name: str, array: np.ndarray[Any, Any]) -> ElementType:
    from fp4sim.io.dtypes import BY_NAME

    element = BY_NAME.get(array.dtype.name)
    if name == "__metadata__":
        raise UsageError("'__metadata__' cannot be the name of a tensor in safetensors")
    if element is None or not element.readable:
        raise UsageError(f"tensor '{shown(name, 80)}': safetensors has no place for dtype {array.dtype.name}")
    if element.bits == 4 and array.size % 2:
        raise UsageError(f"tensor '{shown(name, 80)}': {array.size} fp4 elements do not fill whole bytes")
    return element


def _write_elements(file: BinaryIO, array: np.ndarray[Any, Any], element: ElementType) -> None:
    # a flat view where memory order allows, else an iterator that copies one chunk at a time
    flat = array.reshape(-1) if array.flags.c_contiguous else array.flat
    for start in range(0, array.size, _CHUNK):
        chunk = flat[start : start + _CHUNK]
        stored_little = chunk.dtype.byteorder == "<" or (chunk.dtype.byteorder != ">" and sys.byteorder == "little")
        if element.bits == 4:
            from fp4sim.io.dtypes import pack_fp4

            chunk = pack_fp4(chunk)
        elif chunk.itemsize > 1 and not stored_little:
            chunk = chunk.byteswap()
        file.write(chunk.view(np.uint8).data)
