"""Verdicts over many cases: a line a wrong case in the terminal, a table in Markdown."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from fp4sim.report.cells import count_of, middle_cut, safe_name
from fp4sim.report.junit import summary
from fp4sim.report.markdown import code, escaped, table
from fp4sim.report.verify_text import counts_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fp4sim.report.golden_model import GoldenResult
    from fp4sim.report.verify_model import CaseResult, VerifyResult

_WIDTH = 100
_SHOWN = 20
_NAME = 60


def golden_text(result: GoldenResult) -> str:
    """A line a spec, the first wrong cases with their causes, how to run it again."""
    lines = []
    for verdict in result.results:
        wrong = [case for case in verdict.cases if not case.ok]
        state = f"{count_of(len(wrong), 'wrong case')} of {len(verdict.cases):,}" if wrong else "every bit right"
        lines.append(f"{verdict.short}: {count_of(len(verdict.cases), 'case')}, {state}")
        lines += textwrap.wrap(counts_text(verdict.totals), _WIDTH, initial_indent="  ", subsequent_indent="  ")
        for case in wrong[:_SHOWN]:
            lines += _case_lines(case)
        if len(wrong) > _SHOWN:
            lines.append(f"  and {count_of(len(wrong) - _SHOWN, 'more wrong case')}")
    if not result.results:
        lines.append("no case")
    if not result.ok:
        lines.append(f"repro: {safe_name(result.results[0].repro)}")
    return "\n".join(lines) + "\n"


def _case_lines(case: CaseResult) -> list[str]:
    name = middle_cut(safe_name(case.name), _NAME)
    return textwrap.wrap(f"{name}: {safe_name(summary(case))}", _WIDTH, initial_indent="  ", subsequent_indent="    ")


def results_markdown(results: Sequence[VerifyResult]) -> str:
    """A heading, a table of totals a spec, and a list of wrong cases."""
    wrong = [(result, case) for result in results for case in result.cases if not case.ok]
    cases = sum(len(result.cases) for result in results)
    state = f"{count_of(len(wrong), 'wrong case')} of {cases:,}" if wrong else f"every bit of {cases:,} cases right"
    rows = [[code(result.short), f"{len(result.cases):,}", counts_text(result.totals)] for result in results]
    parts = [f"### fp4sim: {state}", table(["Format", "cases", "differing / compared"], 1, rows)]
    if wrong:
        lines = [f"- {code(case.name or result.short)}: {escaped(safe_name(summary(case)))}" for result, case in wrong]
        if len(lines) > _SHOWN:
            lines = [*lines[:_SHOWN], f"- and {len(lines) - _SHOWN:,} more"]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def golden_markdown(result: GoldenResult) -> str:
    """The verdict over a pack with its command."""
    repro = f"\n{code(result.results[0].repro)}\n" if result.results else ""
    return results_markdown(result.results) + repro
