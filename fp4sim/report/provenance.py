"""Where a result comes from: files with sizes and hashes, the command, the machine's kind. No folder of an absolute path, no
host and no user gets into a report.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from dataclasses import fields, is_dataclass, replace
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, TypeVar

from fp4sim.io.files import shown, unreadable
from fp4sim.report.result import InputFile, Run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fp4sim.report.result import Result

    R = TypeVar("R", bound=Result)

_SUFFIXES = (".safetensors", ".json", ".gguf", ".npy", ".npz", ".bin", ".pt", ".pth")
_MOST_JSON = 64 << 20  # larger ones name no further files


def short_path(text: str) -> str:
    """A path as reports show it: an absolute one without its folder, a relative one as it was given."""
    path = PurePath(text)
    return path.name if path.is_absolute() and path.name else text


def short_word(word: str) -> str:
    """An argument of a command line, the absolute path in it without its folder: /a/b, --file=/a/b and -o/a/b."""
    head, sign, tail = word.partition("=")
    if word.startswith("-") and sign and PurePath(tail).is_absolute():
        return f"{head}={short_path(tail)}"
    if word[:1] == "-" and word[2:3] == "/" and word[1:2].isalpha():
        return word[:2] + short_path(word[2:])
    return short_path(word)


def with_short_sources(result: R) -> R:
    """The result with the absolute paths among its sources, and those of its tensors, shortened."""
    changed: dict[str, Any] = {}
    for one in fields(result):
        value = getattr(result, one.name)
        if one.name == "source" and isinstance(value, str):
            changed[one.name] = short_path(value)
        elif one.name == "sources":
            changed[one.name] = tuple(short_path(text) for text in value)
        elif is_dataclass(value) and hasattr(value, "label"):  # an operand of a product: FILE::TENSOR
            path, sign, tensor = value.label.partition("::")
            changed[one.name] = replace(value, label=f"{short_path(path)}{sign}{tensor}")  # type: ignore[type-var]
        elif isinstance(value, tuple) and value and is_dataclass(value[0]) and hasattr(value[0], "source"):
            changed[one.name] = tuple(replace(row, source=short_path(row.source)) for row in value)
    return replace(result, **changed)


def input_files(sources: Sequence[str], *, hashed: bool = True) -> tuple[InputFile, ...]:
    """The files behind names of sources, each once, in order; none for synthetic tensors.

    A folder stands for the tensor files and JSON files right in it, a JSON file also for the files beside it that it names
    (shards, arrays). ``hashed``: read them to take their SHA-256. Raises UnreadableError.
    """
    found: dict[Path, str] = {}
    for source in sources:
        for path, name in _behind(Path(source), short_path(source)):
            found.setdefault(path, name)
    return tuple(_input(path, name, hashed=hashed) for path, name in found.items())


def _behind(path: Path, name: str) -> Iterator[tuple[Path, str]]:
    if path.is_dir():
        for one in sorted(path.iterdir()):
            if one.suffix.lower() in _SUFFIXES and one.is_file():
                yield one, f"{name.rstrip('/')}/{one.name}"
    elif path.is_file():
        yield path, name
        if path.suffix.lower() == ".json" and path.stat().st_size <= _MOST_JSON:
            folder = str(PurePath(name).parent)
            for other in _named_in(path):
                yield path.parent / other, other if folder == "." else f"{folder}/{other}"


def _named_in(path: Path) -> list[str]:
    """Files beside a JSON file that its texts name, in order of their names."""
    try:
        texts = set(_texts(json.loads(path.read_bytes())))
    except (OSError, ValueError, RecursionError):  # its reader says what is wrong with it
        return []
    named = {PurePath(text).as_posix() for text in texts if PurePath(text).suffix.lower() in _SUFFIXES}
    safe = (text for text in named if not PurePath(text).is_absolute() and ".." not in PurePath(text).parts)
    return sorted(text for text in safe if (path.parent / text).is_file())


def _texts(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for value in data.values():
            yield from _texts(value)
    elif isinstance(data, list):
        for value in data:
            yield from _texts(value)


def _input(path: Path, name: str, *, hashed: bool) -> InputFile:
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest() if hashed else None
            return InputFile(shown(name, 1000), os.fstat(file.fileno()).st_size, digest)
    except OSError as error:
        raise unreadable(path, error) from None


def run_of(words: Sequence[str], started: datetime, seconds: float) -> Run:
    """The run block: command, time and duration, machine and versions."""
    return Run(
        command=("fp4sim", *(short_word(word) for word in words)),
        started=started.isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        machine=machine(),
        python=platform.python_version(),
        numpy=_version("numpy") or "",
        numba=_version("numba"),
    )


def machine() -> str:
    """The kind of machine: architecture, operating system and processors, nothing that names it."""
    cores = os.cpu_count() or 1
    return f"{platform.machine()}, {platform.system()}, {cores} {'core' if cores == 1 else 'cores'}, {sys.byteorder} endian"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
