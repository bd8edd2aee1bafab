"""Verdicts of ``verify`` as JUnit: one check a case, the numbers as properties."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.junit_document import Check, Failure, Suite, junit_document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fp4sim.report.golden_model import GoldenResult
    from fp4sim.report.verify_model import CaseResult, VerifyResult


def junit_xml(results: Sequence[VerifyResult], *, name: str = "fp4sim.verify") -> str:
    """A document of one suite a result."""
    return junit_document([_suite(result) for result in results], name)


def verify_suites(result: VerifyResult) -> list[Suite]:
    """The suite of one verification."""
    return [_suite(result)]


def golden_suites(result: GoldenResult) -> list[Suite]:
    """A suite a spec."""
    return [_suite(one) for one in result.results]


def _suite(result: VerifyResult) -> Suite:
    facts = {
        "fp4sim.version": result.version,
        "fp4sim.bits_version": str(result.bits_version),
        "fp4sim.spec": result.spec,
        "fp4sim.source": result.source,
        "fp4sim.repro": result.repro,
    }
    return Suite(tuple(_check(case, result) for case in result.cases), facts)


def _check(case: CaseResult, result: VerifyResult) -> Check:
    numbers = {}
    for part, count in case.counts.items():
        numbers[f"fp4sim.{part}_mismatched"] = str(count.wrong)
        numbers[f"fp4sim.{part}_compared"] = str(count.total)
    if case.gemm is not None:
        numbers["fp4sim.gemm_outside"] = str(case.gemm.outside)
        numbers["fp4sim.gemm_compared"] = str(case.gemm.total)
    failure = None
    if not case.ok:
        lines = [finding.sentence for finding in case.findings]
        lines += [alarm.sentence for alarm in (case.stochastic.alarms if case.stochastic else ())]
        failure = Failure(cause_of(case), summary(case), (*lines, f"repro: {result.repro}"))
    return Check(case.name or result.short, result.short, numbers, failure)


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
