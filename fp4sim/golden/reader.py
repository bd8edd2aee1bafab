"""Reads packs: every hash is checked before anything is believed."""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim import BITS_VERSION
from fp4sim.errors import NothingComparedError, UnreadableError, UsageError
from fp4sim.golden.writer import MANIFEST, SCHEMA
from fp4sim.grammar import parse
from fp4sim.io.dtypes import decode, is_readable, numpy_dtype
from fp4sim.io.files import PositionedFile, shown
from fp4sim.io.strict_json import is_text, parse_object

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.spec import Spec

_MOST_BYTES = 1 << 26
_MOST_AXES = 32


@dataclass(frozen=True)
class Entry:
    """An array of a pack: where it lies and what it is."""

    path: Path
    dtype: str
    shape: tuple[int, ...]

    def load(self) -> NDArray[Any]:
        """Read it; the hash was checked when the pack was opened, the length is checked again."""
        file = PositionedFile(self.path)
        try:
            length = math.prod(self.shape) * numpy_dtype(self.dtype).itemsize
            if file.size != length:
                raise UnreadableError(f"{file.label}: changed while it was read: {file.size} bytes, not {length}")
            return decode(file.read(0, length), self.dtype).reshape(self.shape)
        finally:
            file.close()


@dataclass(frozen=True, eq=False)
class PackCase:
    """A case of a pack with its arrays unread."""

    name: str
    spec: Spec
    stimulus: str
    arrays: dict[str, Entry]


@dataclass(frozen=True, eq=False)
class Pack:
    """A pack whose files are what its manifest says. ``path`` as it was given."""

    path: str
    seed: int
    version: str
    cases: tuple[PackCase, ...]

    @property
    def specs(self) -> tuple[Spec, ...]:
        """The specs in order."""
        return tuple(dict.fromkeys(case.spec for case in self.cases))


def is_pack(folder: str | os.PathLike[str]) -> bool:
    """Whether a path looks like a golden pack: a folder whose manifest names its schema."""
    manifest = Path(folder) / "manifest.json"
    try:
        if not manifest.is_file():  # opening a pipe could wait for ever
            return False
        with manifest.open("rb") as file:
            return SCHEMA.encode() in file.read(4096)
    except OSError:
        return False


def read_pack(folder: str | os.PathLike[str]) -> Pack:
    """Open a pack and check every hash.

    Raises UnreadableError for what is missing, malformed or changed, NothingComparedError for a pack without cases.
    """
    root = Path(folder)
    file = PositionedFile(root / MANIFEST)
    try:
        if file.size > _MOST_BYTES:
            raise UnreadableError(f"{file.label}: {file.size} bytes are too many for a manifest")
        document = parse_object(file.read(0, file.size).tobytes(), file.label)
    finally:
        file.close()
    return _pack(document, root, file.label, os.fspath(folder))


def _pack(document: dict[str, object], root: Path, label: str, path: str) -> Pack:
    if document.get("schema") != SCHEMA:
        raise UnreadableError(f"{label}: schema is not '{SCHEMA}'")
    bits, seed, version = document.get("BITS_VERSION"), document.get("seed"), document.get("version")
    if bits != BITS_VERSION:
        raise UnreadableError(
            f"{label}: made under bits version {shown(str(bits), 20)}, this is {BITS_VERSION}: make the pack anew"
        )
    if type(seed) is not int or not 0 <= seed < 1 << 64 or not isinstance(version, str):
        raise UnreadableError(f"{label}: no seed or no version")
    entries = document.get("cases")
    if not isinstance(entries, list):
        raise UnreadableError(f"{label}: 'cases' is not a list")
    if not entries:
        raise NothingComparedError(f"{label}: a pack without cases")
    cases = tuple(_case(entry, root, f"{label}: case {number}") for number, entry in enumerate(entries))
    names = [case.name for case in cases]
    if len(set(names)) != len(names):
        raise UnreadableError(f"{label}: two cases have the same name")
    return Pack(path, seed, version, cases)


def _case(entry: object, root: Path, where: str) -> PackCase:
    if not isinstance(entry, dict):
        raise UnreadableError(f"{where} is not an object")
    name, text, stimulus, arrays = (entry.get(key) for key in ("name", "spec", "stimulus", "arrays"))
    if not (isinstance(name, str) and is_text(name) and _is_inside(name) and isinstance(stimulus, str)):
        raise UnreadableError(f"{where}: has no name that is a folder below the pack, or no stimulus")
    where = f"{where} '{shown(name, 80)}'"
    if not isinstance(text, str) or not isinstance(arrays, dict) or entry.get("axis") != -1:
        raise UnreadableError(f"{where}: spec, axis or arrays are missing")
    try:
        spec = parse(text)
    except UsageError as error:
        raise UnreadableError(f"{where}: {error}") from None
    found = {key: _entry(value, root, f"{where}: array '{shown(key, 80)}'") for key, value in arrays.items()}
    if "x" not in found or "codes" not in found:
        raise UnreadableError(f"{where}: x or codes are missing")
    return PackCase(name, spec, stimulus, found)


def _entry(entry: object, root: Path, where: str) -> Entry:
    if not isinstance(entry, dict):
        raise UnreadableError(f"{where} is not an object")
    dtype, shape = entry.get("dtype"), entry.get("shape")
    if not isinstance(dtype, str) or not is_readable(dtype):
        raise UnreadableError(f"{where}: unknown dtype {shown(str(dtype), 40)}")
    if not isinstance(shape, list) or len(shape) > _MOST_AXES or not all(_is_natural(n) for n in shape):
        raise UnreadableError(f"{where}: the shape is not a list of non-negative integers")
    path = _checked(entry, "file", "sha256", root, where)
    _checked(entry, "npy", "npy_sha256", root, where)
    expected = math.prod(shape) * np.dtype(numpy_dtype(dtype)).itemsize
    if path.stat().st_size != expected:
        raise UnreadableError(f"{where}: shape {shown(str(shape), 80)} of {dtype} takes {expected} bytes")
    return Entry(path, dtype, tuple(shape))


def _checked(entry: dict[str, Any], key: str, hash_key: str, root: Path, where: str) -> Path:
    """The path of a file whose SHA-256 is what the manifest says."""
    relative, digest = entry.get(key), entry.get(hash_key)
    if not (isinstance(relative, str) and is_text(relative) and _is_inside(relative) and isinstance(digest, str)):
        raise UnreadableError(f"{where}: '{key}' is not a path below the pack, or has no {hash_key}")
    file = PositionedFile(root / relative)
    try:
        actual = hashlib.sha256(file.read(0, file.size).data).hexdigest()
    finally:
        file.close()
    if actual != digest:
        raise UnreadableError(f"{file.label}: its SHA-256 is not the manifest's: changed or damaged since it was made")
    return file.path


def _is_inside(relative: str) -> bool:
    path = PurePosixPath(relative)
    return bool(relative) and not path.is_absolute() and ".." not in path.parts and "\\" not in relative


def _is_natural(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 48
