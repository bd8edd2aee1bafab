"""A result as the text of a file, by the file's suffix."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, cast

from fp4sim.errors import UsageError
from fp4sim.report.json_text import strict_json
from fp4sim.report.kinds import found, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from fp4sim.report.result import Made

SUFFIXES = (".html", ".md", ".json", ".csv", ".xml", ".txt")
WIDTH = 100  # of tables in .txt


def render(result: Made, suffix: str, failed: Sequence[str] = ()) -> str:
    """A result as HTML, Markdown, JSON, CSV, JUnit (.xml) or plain text.

    ``failed``: what made the command fail beyond the result itself (thresholds), which JUnit counts as failures.
    Raises UsageError for another suffix.
    """
    kind = kind_of(result)
    if suffix == ".json":
        return strict_json(result.to_dict())
    if suffix == ".html":
        from fp4sim.report.html.page import html_page

        return html_page(found(kind.html)(result))
    if suffix == ".xml":
        from fp4sim.report.junit_document import junit_document

        return junit_document(found(kind.junit)(result), f"fp4sim.{kind.name}", failed)
    homes = {".md": kind.markdown, ".csv": kind.csv, ".txt": kind.text}
    if suffix not in homes:
        raise UsageError(f"the suffix is one of {' '.join(SUFFIXES)}")
    return _printable(cast("str", found(homes[suffix])(result)))


def _printable(text: str) -> str:
    """The text with what no line of it may hold spelled: a saved result may say anything anywhere."""
    if text.replace("\n", "").isprintable():
        return text
    from fp4sim.io.files import shown

    return "\n".join(shown(line, len(line)) for line in text.split("\n"))


def drawn(draw: Callable[[Console], None], width: int = WIDTH) -> str:
    """What ``draw`` puts on a console, as plain text without trailing blanks."""
    from rich.console import Console

    target = io.StringIO()
    draw(Console(file=target, width=width, markup=False, emoji=False, highlight=False, color_system=None))
    return "".join(f"{line.rstrip()}\n" for line in target.getvalue().splitlines())
