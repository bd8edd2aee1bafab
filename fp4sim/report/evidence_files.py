"""Evidence of a GPU as Markdown and as CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.cells import count_of
from fp4sim.report.csv_table import csv_text
from fp4sim.report.markdown import code, escaped, table

if TYPE_CHECKING:
    from fp4sim.report.evidence_model import CheckResult, Evidence

_STATUS = {"pass": "ok", "fail": "**failed**", "skip": "skipped", "error": "**error**"}


def evidence_markdown(result: Evidence) -> str:
    """The device, a table of checks, and what differs."""
    compared = sum(check.totals.total for check in result.checks)
    rows = [
        [
            code(check.name),
            escaped(check.title),
            _STATUS[check.status],
            *_counts(check),
            escaped(check.reason or check.answer),
        ]
        for check in result.checks
    ]
    details = [
        "\n".join([f"#### {code(check.name)}", "", *(f"- {escaped(line)}" for line in check.diagnosis)])
        for check in result.checks
        if check.diagnosis
    ]
    device = ", ".join(f"{escaped(key)} {escaped(value)}" for key, value in result.device.items())
    software = ", ".join(f"{escaped(key)} {escaped(value)}" for key, value in result.software.items())
    made = f"fp4sim {escaped(result.version)}, bits version {result.bits_version}, {escaped(result.date)}"
    parts = [
        f"### {result.verdict}: {count_of(len(result.checks), 'check')}, {compared:,} results compared",
        device,
        table(["Check", "What it holds", "Outcome", "Reason or answer", "differ", "compared"], 4, _moved(rows)),
        *details,
        "; ".join(part for part in (software, made) if part),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _moved(rows: list[list[str]]) -> list[list[str]]:
    """Texts first, numbers last."""
    return [[*row[:3], row[5], *row[3:5]] for row in rows]


def _counts(check: CheckResult) -> tuple[str, str]:
    counts = check.totals
    return (f"{counts.wrong:,}", f"{counts.total:,}") if counts.total else ("", "")


def evidence_csv(result: Evidence) -> str:
    """A row a check and part."""
    head = ("check", "title", "status", "part", "wrong", "total", "seconds", "reason", "answer", "diagnosis")
    rows = []
    for check in result.checks:
        last = (check.seconds, check.reason, check.answer, " | ".join(check.diagnosis))
        parts = [(part, count.wrong, count.total) for part, count in check.counts.items()] or [("", 0, 0)]
        rows += [[check.name, check.title, check.status, *part, *last] for part in parts]
    return csv_text(head, rows)
