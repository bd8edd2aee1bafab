"""Evidence as text: the GPU, a line for each check, what differs, what the hardware answered."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from fp4sim.report.cells import count_of, safe_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fp4sim.report.evidence_model import CheckResult, Evidence

_WORDS = {"pass": "ok", "fail": "FAILED", "skip": "skipped", "error": "ERROR"}
_LINES_SHOWN = 12


def evidence_text(evidence: Evidence, width: int = 100) -> str:
    """The report, its lines at most ``width`` wide."""
    lines = [*_head(evidence), ""]
    for check in evidence.checks:
        lines += _check(check)
    lines += ["", _verdict(evidence)]
    return "\n".join(part for line in lines for part in _wrapped(line, width)) + "\n"


def _head(evidence: Evidence) -> Iterator[str]:
    device = evidence.device
    yield (
        f"{safe_name(device.get('name', 'unknown GPU'))}, compute capability"
        f" {safe_name(device.get('compute_capability', '?'))}, driver {safe_name(device.get('driver', '?'))}"
    )
    software = ", ".join(f"{safe_name(name)} {safe_name(version)}" for name, version in evidence.software.items())
    yield f"{safe_name(evidence.date)}, fp4sim {safe_name(evidence.version)} (bits version {evidence.bits_version}), {software}"
    yield f"Effort: {safe_name(str(evidence.settings.get('effort', 'unknown')))}"


def _check(check: CheckResult) -> Iterator[str]:
    word = _WORDS[check.status]
    counts = check.totals
    line = f"{word:<8}{safe_name(check.name):<22}{safe_name(check.title)}"
    if check.status == "skip":
        yield f"{line}: {safe_name(check.reason)}"
        return
    if counts.total:
        differing = "none differs" if not counts.wrong else f"{counts.wrong:,} differ"
        line += f": {counts.total:,} compared, {differing}"
    yield line
    if check.reason:
        yield f"        {safe_name(check.reason)}"
    if counts.wrong and len(check.counts) > 1:
        parts = ", ".join(f"{safe_name(part)} {c.wrong:,}/{c.total:,}" for part, c in check.counts.items() if c.wrong)
        yield f"        differing: {parts}"
    for text in check.diagnosis[:_LINES_SHOWN]:
        yield f"        {safe_name(text)}"
    if len(check.diagnosis) > _LINES_SHOWN:
        yield f"        and {count_of(len(check.diagnosis) - _LINES_SHOWN, 'line')} more, in the JSON"
    if check.answer:
        yield f"        answer: {safe_name(check.answer)}"


def _verdict(evidence: Evidence) -> str:
    compared = sum(check.totals.total for check in evidence.checks)
    passed, skipped = evidence.counted("pass"), evidence.counted("skip")
    failed, broken = evidence.counted("fail"), evidence.counted("error")
    rest = f", {skipped} skipped" if skipped else ""
    if evidence.ok:
        return f"OK: {count_of(passed, 'check')} passed{rest}; {compared:,} results compared, none differs"
    if evidence.verdict == "INCOMPLETE":
        return f"INCOMPLETE: interrupted, {passed} passed{rest}; {compared:,} results compared, none differs"
    wrong = [f"{failed} failed"] * bool(failed) + [f"{broken} broke off"] * bool(broken)
    early = ", interrupted" if evidence.interrupted else ""
    return f"FAILED: {' and '.join(wrong)}, {passed} passed{rest}{early}"


def _wrapped(line: str, width: int) -> list[str]:
    indent = len(line) - len(line.lstrip())
    options = {"subsequent_indent": " " * (indent or 8), "break_on_hyphens": False}
    return textwrap.wrap(line, max(width, 20), **options) or [""]  # type: ignore[arg-type]
