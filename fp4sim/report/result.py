"""What every result has in common: its schema, the version that made it, the files it is about, and the run. It stands on
nothing.

A result is a frozen record. Its JSON is its fields by name; what differs between two runs on the same input is under
``run`` and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    import os


@dataclass(frozen=True)
class InputFile:
    """A file that was read: its name (never the folder of an absolute path), size in bytes, and hash if it was taken."""

    name: str
    bytes: int
    sha256: str | None


@dataclass(frozen=True)
class Run:
    """What differs from run to run. ``command``: the words, ``started``: UTC, ISO 8601. ``machine``: no host's name."""

    command: tuple[str, ...]
    started: str
    seconds: float
    machine: str
    python: str
    numpy: str
    numba: str | None


@dataclass(frozen=True, kw_only=True)
class Result:
    """A result of a command. ``files`` and ``run`` are known where a command line made it; ``run`` takes no part in ==."""

    schema: ClassVar[str]

    version: str
    bits_version: int
    files: tuple[InputFile, ...] = ()
    run: Run | None = field(default=None, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Strict-JSON data: no NaN or Infinity, tuples as lists; ``files`` and ``run`` only where they are known."""
        body = {key: value for key, value in plain(self).items() if key not in _HEAD and key not in _TAIL}
        head = {"schema": self.schema, "BITS_VERSION": self.bits_version, "version": self.version}
        tail = {key: plain(getattr(self, key)) for key in _TAIL if getattr(self, key)}
        return {**head, **body, **tail}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the result as JSON, whole or not at all; :func:`fp4sim.load_result` reads it back. Raises UsageError."""
        from fp4sim.report.store import save_result

        save_result(path, self)


class Made(Protocol):
    """What every kind of result says of itself, evidence files included, which have a shape of their own."""

    @property
    def schema(self) -> str:
        """Its name and version, such as ``fp4sim.compare/1``."""

    @property
    def version(self) -> str:
        """Of the fp4sim that made it."""

    @property
    def bits_version(self) -> int:
        """Of the bits."""

    def to_dict(self) -> dict[str, Any]:
        """Strict-JSON data."""


_HEAD = ("version", "bits_version")
_TAIL = ("files", "run")


def plain(value: Any) -> Any:
    """Records as dicts by field, tuples as lists, keys as text."""
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value
