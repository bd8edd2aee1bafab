"""Results in files: strict JSON with a schema, written whole or not at all, read back to equal records."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from fp4sim.errors import UnreadableError
from fp4sim.io.files import regular_file_size, shown, unreadable
from fp4sim.io.strict_json import parse_object
from fp4sim.io.writer import write_atomically
from fp4sim.report.consistent import check_consistent
from fp4sim.report.decode import decode
from fp4sim.report.json_text import strict_json
from fp4sim.report.kinds import KINDS, kind_of

if TYPE_CHECKING:
    from fp4sim.report.result import Made

_SCHEMA = re.compile(r"(fp4sim\.[a-z0-9-]+)/([1-9][0-9]{0,8})")


def save_result(path: str | os.PathLike[str], result: Made) -> None:
    """Write a result as JSON, whole or not at all. Raises UsageError where the file cannot be written or it is no result."""
    kind_of(result)
    with write_atomically(path, "w") as file:
        file.write(strict_json(result.to_dict()))


def load_result(path: str | os.PathLike[str]) -> Made:
    """Read what ``save``, ``-o FILE.json`` or ``--json`` wrote: ``load_result(p)`` equals the result that was saved.

    Fields that this version does not know are left out. Raises UnreadableError for what is no result of fp4sim, is
    damaged, or has a schema that only a later version reads.
    """
    where = Path(path)
    regular_file_size(where)
    try:
        raw = where.read_bytes()
    except OSError as error:
        raise unreadable(where, error) from None
    label = shown(str(where))
    return result_of(parse_object(raw, label), label)


def result_of(data: dict[str, Any], where: str = "the result") -> Made:
    """A result from the data of its JSON. Raises UnreadableError, each message starting with ``where``."""
    from fp4sim import __version__

    schema = data.get("schema")
    match = _SCHEMA.fullmatch(schema) if isinstance(schema, str) else None
    known = {kind.schema: kind for kind in KINDS}
    if match is None or match[1] not in known:
        found = f"the schema {shown(str(schema), 60)!r} is none of them" if schema is not None else "it has no schema"
        raise UnreadableError(f"{where}: no result that can be read ({', '.join(known)}): {found}")
    kind, version = known[match[1]], int(match[2])
    if version > kind.version:
        raise UnreadableError(
            f"{where}: schema {match[0]} is newer than fp4sim {__version__} reads ({kind.schema}/{kind.version}):"
            f" upgrade to a version of fp4sim that reads {match[0]}"
        )
    try:
        result = decode(kind.load_record(), data)
        check_consistent(result)
    except UnreadableError as error:
        raise UnreadableError(f"{where}: {error}") from None
    return cast("Made", result)
