"""The two streams of every command: results on stdout, one line of trouble on stderr."""

from __future__ import annotations

import io
import os
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from fp4sim.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

_PIPE_WIDTH = 100  # of tables where nobody says how wide the reader is
_LEAST_WIDTH = 40
_LINE_LIMIT = 2000


@contextmanager
def open_streams() -> Iterator[None]:
    """Let stdout and stderr go nowhere where they were closed before the start (``>&-``), as if their reader had left.

    Opening them also keeps their descriptors from going to a file that is written later.
    """
    with ExitStack() as stack:
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:
                setattr(sys, name, stack.enter_context(open(os.devnull, "w", encoding="utf-8")))
                stack.callback(setattr, sys, name, None)
        yield


def emit(text: str) -> None:
    """Write to stdout. A reader that has gone away (``| head``) is no error and does not change the exit code.

    Raises UsageError where stdout cannot be written for another reason, such as a full disk.
    """
    stream = sys.stdout
    try:
        try:
            stream.write(text)
        except UnicodeEncodeError:
            encoding = stream.encoding or "ascii"
            stream.write(_spelled(text).encode(encoding, "replace").decode(encoding))
        stream.flush()
    except BrokenPipeError:
        _discard_stdout()
    except OSError as error:
        _discard_stdout()
        raise UsageError(f"cannot write to standard output: {(error.strerror or str(error)).lower()}") from None


def _spelled(text: str) -> str:
    """Infinity as a word, in the room that it has in a table: as a question mark it would look undefined."""
    return text.replace("  ∞", "inf").replace("∞", "inf")


def _discard_stdout() -> None:
    """Let what is still buffered go nowhere: the interpreter flushes once more when it exits."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def complain(message: str) -> None:
    """One line on stderr, whatever the message holds."""
    line = " ".join(message.splitlines())
    # the import needs numpy, whose own import may be what was interrupted and cannot be repeated
    if not line.isprintable() or len(line) > _LINE_LIMIT:
        from fp4sim.io.files import shown

        line = shown(line, _LINE_LIMIT)
    try:
        sys.stderr.write(f"fp4sim: {line}\n")
        sys.stderr.flush()
    except (OSError, UnicodeEncodeError):
        return


def emit_rich(draw: Callable[[Console], None]) -> None:
    """Draw on a console as wide as the terminal (COLUMNS, else 100 in a pipe) and write what comes out."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    width = _asked_width() or (None if terminal else _PIPE_WIDTH)
    # drawn in memory, since rich has its own ideas of what to do when stdout fails
    drawn = io.StringIO()
    console = Console(
        file=drawn, force_terminal=terminal or None, width=width, markup=False, emoji=False, highlight=False
    )
    console.width = max(console.width, _LEAST_WIDTH)
    draw(console)
    # tables pad every line to their width; in a file that is dirt
    emit("".join(f"{line.rstrip()}\n" for line in drawn.getvalue().splitlines()))


def _asked_width() -> int | None:
    columns = os.environ.get("COLUMNS", "")
    return int(columns) if columns.isdecimal() and 0 < len(columns) < 6 and int(columns) else None
