"""Dumps of raw little-endian .bin files with a JSON manifest: what a C++ program writes without a library.

    {"schema": "fp4sim.dump/1",
     "arrays": {"x": {"file": "x.bin", "dtype": "bfloat16", "shape": [128, 256]},
                "codes": {"file": "codes.bin", "dtype": "uint8", "shape": [128, 128]}}}

Files lie beside the manifest or below it; ``offset`` (bytes, default 0) lets several arrays share one.
"""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from fp4sim.errors import UnreadableError, UsageError
from fp4sim.io.dtypes import BY_NAME, PACKED_FP4, canonical_name, decode, unpack_fp4
from fp4sim.io.files import PositionedFile, shown
from fp4sim.io.strict_json import is_text, parse_object

if TYPE_CHECKING:
    from numpy.typing import NDArray

MANIFEST = "manifest.json"
SCHEMA = "fp4sim.dump/1"
_MOST_BYTES = 1 << 24
_MOST_AXES = 32


def read_manifest(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a manifest. Raises UnreadableError naming the array and the fault."""
    file = PositionedFile(path)
    try:
        if file.size > _MOST_BYTES:
            raise UnreadableError(f"{file.label}: {file.size} bytes are too many for a manifest")
        document = parse_object(file.read(0, file.size).tobytes(), file.label)
    finally:
        file.close()
    if document.get("schema") != SCHEMA:
        raise UnreadableError(f"{file.label}: schema is not '{SCHEMA}'")
    arrays = document.get("arrays")
    if not isinstance(arrays, dict) or not arrays:
        raise UnreadableError(f"{file.label}: 'arrays' is not an object that names files")
    return {name: _array(path, name, entry, file.label) for name, entry in arrays.items()}


def _array(manifest: Path, name: str, entry: object, label: str) -> NDArray[Any]:
    where = f"{label}: array '{shown(name, 80)}'"
    if not isinstance(entry, dict):
        raise UnreadableError(f"{where}: its entry is not an object of file, dtype and shape")
    relative, dtype = entry.get("file"), entry.get("dtype")
    if not (isinstance(relative, str) and is_text(relative) and _is_inside(relative)):
        raise UnreadableError(f"{where}: 'file' is not a path below the manifest")
    try:
        element = canonical_name(dtype) if isinstance(dtype, str) else ""
    except UsageError as error:
        raise UnreadableError(f"{where}: {error}") from None
    if not element:
        raise UnreadableError(f"{where}: no dtype")
    shape, offset = entry.get("shape"), entry.get("offset", 0)
    if not isinstance(shape, list) or len(shape) > _MOST_AXES or not all(_is_natural(n) for n in (*shape, offset)):
        raise UnreadableError(f"{where}: shape and offset are not non-negative integers")
    return _read(manifest.parent / relative, element, tuple(shape), offset, where)


def _read(path: Path, element: str, shape: tuple[int, ...], offset: int, where: str) -> NDArray[Any]:
    itemsize = 1 if element == PACKED_FP4 else -(-BY_NAME[element].bits // 8)
    length = math.prod(shape) * itemsize
    file = PositionedFile(path)
    try:
        if offset + length > file.size:
            raise UnreadableError(
                f"{where}: shape {shown(str(list(shape)), 80)} of {element} takes {length} bytes at {offset},"
                f" {file.label} has {file.size}"
            )
        raw = file.read(offset, length)
    finally:
        file.close()
    if element == PACKED_FP4:
        return unpack_fp4(raw).reshape(*shape[:-1], -1)
    return decode(raw, element).reshape(shape)


def _is_inside(relative: str) -> bool:
    path = PurePosixPath(relative)
    return bool(relative) and not path.is_absolute() and ".." not in path.parts and "\\" not in relative


def _is_natural(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 48
