"""The files of ``fp4sim verify``: each whole or not at all, never over the dump."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fp4sim.errors import UsageError
from fp4sim.io.files import shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fp4sim.report.verify_model import VerifyResult

SUFFIXES = (".json", ".md")


def check_files(paths: Sequence[Path], markdown: Path | None, dump: str) -> None:
    """Refuse what could not be written in the end, before the work starts. Raises UsageError."""
    for path in paths:
        if path.suffix.lower() not in SUFFIXES:
            raise UsageError(f"cannot write {shown(str(path))}: the suffix is one of {' '.join(SUFFIXES)}")
    for path in (*paths, *([markdown] if markdown else [])):
        if not path.parent.is_dir():
            raise UsageError(f"cannot write {shown(str(path))}: the folder does not exist; create it first")
        if os.path.exists(dump) and path.exists() and os.path.samefile(dump, path):
            raise UsageError(f"cannot write {shown(str(path))}: it is the dump")


def write_files(result: VerifyResult, paths: Sequence[Path], markdown: Path | None) -> None:
    """Write the report to each path by its suffix, and as Markdown where asked for."""
    from fp4sim.io.writer import write_atomically
    from fp4sim.report.json_text import strict_json
    from fp4sim.report.verify_markdown import verify_markdown

    for path in (*paths, *([markdown] if markdown else [])):
        is_json = path.suffix.lower() == ".json" and path != markdown
        with write_atomically(path, "w") as file:
            file.write(strict_json(result.to_dict()) if is_json else verify_markdown(result))


def check_junit(path: Path | None, dump: str) -> None:
    """As :func:`check_files`, for a JUnit file."""
    if path is not None:
        if path.suffix.lower() != ".xml":
            raise UsageError(f"cannot write {shown(str(path))}: the suffix of JUnit is .xml")
        check_files((), path, dump)


def write_junit(result: VerifyResult, path: Path | None) -> None:
    """Write the result as JUnit where asked for."""
    from fp4sim.io.writer import write_atomically
    from fp4sim.report.junit import junit_xml

    if path is not None:
        with write_atomically(path, "w") as file:
            file.write(junit_xml([result]))
