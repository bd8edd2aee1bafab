"""Verifications as pages: of a dump or checkpoint, and of a golden pack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.cells import safe_name, shape_text
from fp4sim.report.gemm_text import gemm_lines
from fp4sim.report.html.document import Cell, Column, Detail, Document, Grid, Row, Table
from fp4sim.report.html.parts import FULL_NAME_LIMIT, NAME_LIMIT, counted
from fp4sim.report.html.pictures import pictures_of
from fp4sim.report.summary import sentences_of
from fp4sim.report.summary.sentence import row_name
from fp4sim.report.verify_text import close_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fp4sim.report.golden_model import GoldenResult
    from fp4sim.report.verify_model import CaseResult, VerifyResult

_PARTS = ("codes", "scales", "tensor_scale", "dequantized", "padding")


def verify_document(result: VerifyResult) -> Document:
    """The verdict and every case; positions, causes and candidates on demand."""
    tiles = _tiles([result])
    return Document(
        title=f"Bit for bit against {result.short}",
        kind="Verification of a kernel",
        result=result,
        sentences=sentences_of(result),
        verdict="ok" if result.ok else "failed",
        tiles=tiles,
        tables=(_cases(result, 0, "cases", "Cases"),),
        details=tuple(_detail(case, f"d{i}-0", i) for i, case in enumerate(result.cases)),
        pictures=() if result.ok else pictures_of(result),
        legend=((result.short, result.spec), ("repeat with", safe_name(result.repro, FULL_NAME_LIMIT))),
        notes=(*counted([n for case in result.cases for n in case.notes], "case"), *_left_out(result)),
        sources=(result.source,),
        settings=result.settings,
    )


def golden_document(result: GoldenResult) -> Document:
    """A table of cases for every spec of a pack."""
    verdicts = list(enumerate(result.results))
    return Document(
        title=f"Golden pack: {', '.join(one.short for one in result.results) or 'no case'}",
        kind="Verification of a kernel on a golden pack",
        result=result,
        sentences=sentences_of(result),
        verdict="ok" if result.ok else "failed",
        tiles=_tiles(result.results),
        tables=tuple(_cases(one, k, f"cases-{k}", one.short) for k, one in verdicts),
        details=tuple(_detail(case, f"d{i}-{k}", i) for k, one in verdicts for i, case in enumerate(one.cases)),
        legend=tuple((one.short, one.spec) for one in result.results),
        sources=(result.source,),
        settings=result.results[0].settings if result.results else {},
    )


def _tiles(results: Sequence[VerifyResult]) -> tuple[tuple[str, str], ...]:
    cases = [case for result in results for case in result.cases]
    wrong = sum(not case.ok for case in cases)
    counts = [count for case in cases for count in case.counts.values()]
    differ, total = sum(count.wrong for count in counts), sum(count.total for count in counts)
    return (f"{wrong:,} of {len(cases):,}", "cases wrong"), (
        f"{differ:,} of {total:,}",
        "codes, scales and values differ",
    )


def _cases(result: VerifyResult, variant: int, name: str, title: str) -> Table:
    parts = [part for part in _PARTS if part in result.totals]
    gemm = [Column("GEMM not possible")] if any(case.gemm for case in result.cases) else []
    columns = (
        *(Column("Case", False), Column("Shape", False), Column("dtype", False), Column("Verdict", False, choice=True)),
        *(Column(f"{part.replace('_', ' ')} wrong") for part in parts),
        *gemm,
        Column("Cause", False, choice=True),
    )
    rows = []
    for i, case in enumerate(result.cases):
        counts = [case.counts.get(part) for part in parts]
        numbers = [Cell(f"{c.wrong:,} / {c.total:,}" if c else "", "bad" if c and c.wrong else "") for c in counts]
        if gemm:
            text = f"{case.gemm.outside:,} / {case.gemm.total:,}" if case.gemm else ""
            numbers.append(Cell(text, "bad" if case.gemm and case.gemm.outside else ""))
        causes = ", ".join(dict.fromkeys(finding.cause for finding in case.findings))
        verdict = Cell("ok", "good") if case.ok else Cell("differs", "bad")
        head = (Cell(_name(case, i)), Cell(shape_text(case.shape)), Cell(case.dtype), verdict)
        rows.append(Row(row_name(i, variant), (*head, *numbers, Cell(causes)), f"d{i}-{variant}"))
    return Table(name, title, columns, tuple(rows), "Counts are differing / compared.")


def _name(case: CaseResult, index: int, limit: int = NAME_LIMIT) -> str:
    return safe_name(case.name, limit) if case.name else f"case {index + 1}"


def _left_out(result: VerifyResult) -> list[str]:
    lines = [f"not read, its name is unknown: {safe_name(name, NAME_LIMIT)}" for name in result.ignored[:20]]
    return lines + [f"not compared, no floats for it: {safe_name(name, NAME_LIMIT)}" for name in result.unmatched[:20]]


def _detail(case: CaseResult, name: str, index: int) -> Detail:
    lines = list(close_lines(case.close)) if not case.ok and case.stochastic is None and case.counts else []
    lines += [line.strip() for line in (gemm_lines(case.gemm) if case.gemm else ())]
    lines += [f"{finding.cause}: {finding.sentence}" for finding in case.findings]
    if case.stochastic:
        lines += [f"{alarm.name}: {alarm.sentence}" for alarm in case.stochastic.alarms]
    lines += case.notes
    grids = [
        Grid(("scale bytes off by", "blocks"), tuple((step, f"{n:,}") for step, n in case.scale_deltas.items())),
        Grid(("codes differ by", "codes"), tuple((cause, f"{n:,}") for cause, n in case.code_causes.items())),
        Grid(("worst block at", "codes wrong", "amax", "scale expected", "scale found"), _worst(case)),
        Grid(("dialect tried", "what would differ"), _candidates(case), text=2),
    ]
    facts = (("name", _name(case, index, FULL_NAME_LIMIT)),)
    return Detail(name, _name(case, index, 200), facts, tuple(grid for grid in grids if grid.rows), tuple(lines))


def _worst(case: CaseResult) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (
            ", ".join(map(str, block.index)),
            f"{block.codes_wrong:,}",
            "not finite" if block.amax is None else f"{block.amax:.6g}",
            "" if block.scale_expected is None else f"0x{block.scale_expected:02X}",
            "" if block.scale_found is None else f"0x{block.scale_found:02X}",
        )
        for block in case.worst
    )


def _candidates(case: CaseResult) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (
            one.spec,
            "nothing" if one.exact else ", ".join(f"{p} {c.wrong:,} / {c.total:,}" for p, c in one.counts.items()),
        )
        for one in case.candidates[:20]
    )
