"""Verdicts as JUnit XML: one test case a case, the numbers as properties, whatever the cases are called."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from fp4sim.report.cells import safe_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fp4sim.report.verify_model import CaseResult, VerifyResult

_NAME_LIMIT = 200
_TEXT_LIMIT = 2000


def junit_xml(results: Sequence[VerifyResult], *, name: str = "fp4sim.verify") -> str:
    """A document of one suite a result."""
    cases = [case for result in results for case in result.cases]
    failed = sum(not case.ok for case in cases)
    head = f'<testsuites name={_attribute(name)} tests="{len(cases)}" failures="{failed}" errors="0">'
    suites = "\n".join(_suite(result, name) for result in results)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{head}\n{suites}\n</testsuites>\n'


def _suite(result: VerifyResult, name: str) -> str:
    failed = sum(not case.ok for case in result.cases)
    facts = {
        "fp4sim.version": result.version,
        "fp4sim.bits_version": str(result.bits_version),
        "fp4sim.spec": result.spec,
        "fp4sim.source": result.source,
        "fp4sim.repro": result.repro,
    }
    suite = (
        f'<testsuite name={_attribute(name)} tests="{len(result.cases)}" failures="{failed}" errors="0" skipped="0">'
    )
    lines = [f"  {suite}", *_properties(facts, 4)]
    for case in result.cases:
        lines += _case(case, result)
    return "\n".join([*lines, "  </testsuite>"])


def _case(case: CaseResult, result: VerifyResult) -> Iterator[str]:
    who = f"name={_attribute(case.name or result.short)}"
    yield f"    <testcase classname={_attribute(result.short)} {who}>"
    numbers = {}
    for part, count in case.counts.items():
        numbers[f"fp4sim.{part}_mismatched"] = str(count.wrong)
        numbers[f"fp4sim.{part}_compared"] = str(count.total)
    if case.gemm is not None:
        numbers["fp4sim.gemm_outside"] = str(case.gemm.outside)
        numbers["fp4sim.gemm_compared"] = str(case.gemm.total)
    yield from _properties(numbers, 6)
    if not case.ok:
        lines = [finding.sentence for finding in case.findings]
        lines += [alarm.sentence for alarm in (case.stochastic.alarms if case.stochastic else ())]
        body = _text("\n".join([summary(case), *lines, f"repro: {result.repro}"]))
        yield f"      <failure type={_attribute(cause_of(case))} message={_attribute(summary(case))}>{body}</failure>"
    yield "    </testcase>"


def _properties(facts: dict[str, str], indent: int) -> list[str]:
    if not facts:
        return []
    pad = " " * indent
    rows = [f"{pad}  <property name={_attribute(key)} value={_attribute(value)}/>" for key, value in facts.items()]
    return [f"{pad}<properties>", *rows, f"{pad}</properties>"]


def summary(case: CaseResult) -> str:
    """What is wrong with a case on one line: counts, then the first explanation."""
    wrong = [f"{part} {count.wrong:,}/{count.total:,}" for part, count in case.counts.items() if count.wrong]
    if case.gemm is not None and case.gemm.outside:
        wrong.append(f"GEMM outputs that are not possible {case.gemm.outside:,}/{case.gemm.total:,}")
    alarms = [alarm.name for alarm in (case.stochastic.alarms if case.stochastic else ()) if alarm.failed]
    text = ", ".join([*wrong, *alarms]) or "right"
    known = [finding.sentence for finding in case.findings if finding.cause != "unknown"]
    return f"{text}; {known[0]}" if known else text


def cause_of(case: CaseResult) -> str:
    """The stable name of why a case fails."""
    return next((finding.cause for finding in case.findings), "mismatch")


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
