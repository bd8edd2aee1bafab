"""A :class:`Document` as one self-contained HTML file: no request leaves it, and its policy forbids any.

Every text is escaped by jinja2 and, where it is not printable, spelled: no name can become markup, a command or a change of
the reading direction. The Content-Security-Policy allows this style and this script, by their hashes, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from fp4sim.io.files import shown
from fp4sim.report.cells import settings_text
from fp4sim.report.summary.thresholds import THRESHOLDS

if TYPE_CHECKING:
    from jinja2 import Template

    from fp4sim.report.html.document import Document

SENTENCES = 8  # shown at once; the others on demand
PAGE_ROWS = 50  # rows of a long table that are shown at a time where scripts run


def html_page(document: Document) -> str:
    """The page. The same document gives the same bytes."""
    from markupsafe import Markup

    style, script = _asset("style.css"), _asset("script.js")
    used = dict.fromkeys(name for sentence in document.sentences for name in sentence.thresholds)
    pictures = [(one, Markup(one.svg)) for one in document.pictures]
    run = getattr(document.result, "run", None)
    tables = tuple(table.without_empty() for table in document.tables)
    page: str = _template().render(
        document=replace(document, tables=tables),
        pictures=pictures,
        thresholds=[THRESHOLDS[name] for name in used],
        style=Markup(style),
        script=Markup(script),
        settings=settings_text(document.settings),
        files=getattr(document.result, "files", ()),
        run=run,
        command=shlex.join(run.command) if run else "",
        policy=_policy(style, script),
        page_rows=PAGE_ROWS,
        shown_sentences=SENTENCES + 1 if len(document.sentences) == SENTENCES + 1 else SENTENCES,
    )
    return page


def _policy(style: str, script: str) -> str:
    rules = ("default-src 'none'", "img-src data:", f"style-src {_hash(style)}", f"script-src {_hash(script)}")
    return "; ".join((*rules, "base-uri 'none'", "form-action 'none'"))


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def _asset(name: str) -> str:
    """A file of templates/ as it stands in the page."""
    text = files("fp4sim.report.html").joinpath("templates", name).read_text(encoding="utf-8")
    return text.replace("\r\n", "\n").strip()


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("fp4sim.report.html"),
        autoescape=True,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    return environment.get_template("page.html.j2")


def _printable(value: Any) -> Any:
    """Text with what is not printable spelled out; markup of our own, which is Markup, as it is."""
    if isinstance(value, str) and not hasattr(value, "__html__") and not value.isprintable():
        return shown(value, len(value))
    return value
