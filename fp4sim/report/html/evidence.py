"""Evidence of a GPU as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.cells import safe_name
from fp4sim.report.html.document import Cell, Column, Detail, Document, Grid, Row, Table
from fp4sim.report.html.parts import FULL_NAME_LIMIT, NAME_LIMIT
from fp4sim.report.summary import sentences_of
from fp4sim.report.summary.sentence import row_name

if TYPE_CHECKING:
    from fp4sim.report.evidence_model import CheckResult, Evidence

_WORDS = {"pass": ("ok", "good"), "fail": ("failed", "bad"), "skip": ("skipped", "dim"), "error": ("error", "bad")}

_VERDICTS = {"OK": "ok", "FAILED": "failed", "INCOMPLETE": ""}


def evidence_document(result: Evidence) -> Document:
    """Every check; counts by part, what differs and the device's own words on demand."""
    columns = (
        *(Column("Check", False), Column("What it holds", False), Column("Outcome", False, choice=True)),
        *(Column("differ"), Column("compared"), Column("seconds"), Column("Reason or answer", False)),
    )
    rows = tuple(Row(row_name(i), _cells(check), f"d{i}") for i, check in enumerate(result.checks))
    device, software = result.device, {**result.software, "date": result.date}
    return Document(
        title=f"Evidence from {safe_name(device.get('name', 'a GPU'), 100)}",
        kind="Crosscheck of a device",
        result=result,
        sentences=sentences_of(result),
        verdict=_VERDICTS[result.verdict],
        tiles=(
            (f"{result.counted('pass'):,}", "passed"),
            (f"{result.counted('fail') + result.counted('error'):,}", "failed or broke off"),
            (f"{result.counted('skip'):,}", "skipped"),
            (f"{sum(check.totals.total for check in result.checks):,}", "results compared"),
        ),
        tables=(Table("checks", "Checks", columns, rows),),
        details=tuple(_detail(check, i) for i, check in enumerate(result.checks)),
        legend=tuple((key, text) for facts in (device, software, result.sources) for key, text in facts.items()),
        settings=result.settings,
    )


def _cells(check: CheckResult) -> tuple[Cell, ...]:
    counts = check.totals
    numbers = (Cell(f"{counts.wrong:,}", "bad" if counts.wrong else ""), Cell(f"{counts.total:,}"))
    shown = numbers if counts.total else (Cell(""), Cell(""))
    says = Cell(safe_name(check.reason or check.answer, 300))
    head = (Cell(safe_name(check.name, NAME_LIMIT)), Cell(safe_name(check.title, 200)), Cell(*_WORDS[check.status]))
    return (*head, *shown, Cell(f"{check.seconds:.1f}" if check.seconds else ""), says)


def _detail(check: CheckResult, index: int) -> Detail:
    parts = tuple((part, f"{count.wrong:,}", f"{count.total:,}") for part, count in check.counts.items())
    raw = tuple((key, safe_name(text, FULL_NAME_LIMIT)) for key, text in check.raw.items())
    grids = (Grid(("part", "differ", "compared"), parts), Grid(("recorded", "words"), raw, text=2))
    lines = tuple(text for text in (check.reason, check.answer, *check.diagnosis) if text)
    title = f"{check.name}: {check.title}"
    return Detail(f"d{index}", safe_name(title, 200), (), tuple(grid for grid in grids if grid.rows), lines)
