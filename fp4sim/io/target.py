"""Where an output goes: what cannot be written is refused before the work, not after it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from fp4sim.errors import UsageError
from fp4sim.io.files import shown


def check_writable(path: Path, *, folder: bool = False) -> None:
    """Refuse a file (or ``folder``) that could not be put at ``path``. Raises UsageError.

    It is written beside ``path`` first, so its folder must be writable; what is no regular file is written directly.
    """
    where = f"cannot write {shown(str(path))}"
    try:
        mode = _mode(path)
        parent = Path(os.path.realpath(path)).parent
        there = parent.is_dir()
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from None
    if not there:
        raise UsageError(f"{where}: the folder{' around it' if folder else ''} does not exist; create it first")
    special = mode is not None and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
    if not special and not os.access(parent, os.W_OK | os.X_OK):
        raise UsageError(f"{where}: no permission to write to its folder; choose another")
    if mode is not None and stat.S_ISDIR(mode) and not folder:
        raise UsageError(f"{where}: it is a folder")


def unwritable(path: Path, error: OSError | ValueError) -> UsageError:
    """The one-line error for what the operating system says of writing ``path``."""
    reason = error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)
    return UsageError(f"cannot write {shown(str(path))}: {shown(reason)}")


def _mode(path: Path) -> int | None:
    """What is there, links followed; None: nothing yet."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
