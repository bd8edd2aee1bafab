"""JUnit XML from plain records: suites of checks, well-formed whatever they are called."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from fp4sim.report.cells import safe_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_TEXT_LIMIT = 2000


@dataclass(frozen=True)
class Failure:
    """What is wrong with a check: a stable name, a line, and the lines of its text."""

    cause: str
    message: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Check:
    """One test case: a failure, a reason why it was skipped, or neither."""

    name: str
    classname: str
    properties: dict[str, str] = field(default_factory=dict)
    failure: Failure | None = None
    skipped: str = ""


@dataclass(frozen=True)
class Suite:
    """Checks with facts that they share. ``name``: empty for the document's."""

    checks: tuple[Check, ...]
    facts: dict[str, str]
    name: str = ""


def junit_document(suites: Sequence[Suite], name: str, failed: Sequence[str] = ()) -> str:
    """The document. ``failed``: thresholds that were crossed, as checks of their own."""
    if failed:
        checks = tuple(Check(line, "thresholds", failure=Failure("threshold", line)) for line in failed)
        suites = [*suites, Suite(checks, {}, f"{name}.thresholds")]
    counts = _counts([check for suite in suites for check in suite.checks], skipped=False)
    lines = [f"<testsuites name={_attribute(name)} {counts}>"]
    for suite in suites:
        lines += _suite(suite, name)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + "\n".join([*lines, "</testsuites>"]) + "\n"


def _counts(checks: Sequence[Check], *, skipped: bool) -> str:
    failures = sum(check.failure is not None for check in checks)
    tail = f' skipped="{sum(bool(check.skipped) for check in checks)}"' if skipped else ""
    return f'tests="{len(checks)}" failures="{failures}" errors="0"{tail}'


def _suite(suite: Suite, name: str) -> Iterator[str]:
    yield f"  <testsuite name={_attribute(suite.name or name)} {_counts(suite.checks, skipped=True)}>"
    yield from _properties(suite.facts, 4)
    for check in suite.checks:
        yield from _check(check)
    yield "  </testsuite>"


def _check(check: Check) -> Iterator[str]:
    yield f"    <testcase classname={_attribute(check.classname)} name={_attribute(check.name)}>"
    yield from _properties(check.properties, 6)
    if check.skipped:
        yield f"      <skipped message={_attribute(check.skipped)}/>"
    found = check.failure
    if found is not None:
        body = _text("\n".join([found.message, *found.lines]))
        yield f"      <failure type={_attribute(found.cause)} message={_attribute(found.message)}>{body}</failure>"
    yield "    </testcase>"


def _properties(facts: dict[str, str], indent: int) -> list[str]:
    if not facts:
        return []
    pad = " " * indent
    rows = [f"{pad}  <property name={_attribute(key)} value={_attribute(value)}/>" for key, value in facts.items()]
    return [f"{pad}<properties>", *rows, f"{pad}</properties>"]


def _attribute(text: str) -> str:
    """A quoted attribute on one line; XML has no way to write most control characters, so they are spelled."""
    return quoteattr(_valid(safe_name(text, _TEXT_LIMIT)))


def _text(text: str) -> str:
    """Text between tags, line by line."""
    return escape("\n".join(_valid(safe_name(line, _TEXT_LIMIT)) for line in text.split("\n")))


def _valid(text: str) -> str:
    """Text that XML 1.0 can hold and UTF-8 can encode."""
    return "".join(
        char if (char >= " " and not "\ud800" <= char <= "\udfff" and char < "\ufffe") or char > "\uffff" else "?"
        for char in text
    )
