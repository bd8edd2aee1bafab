"""Products and what a GPU really did, as JUnit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.junit_document import Check, Failure, Suite

if TYPE_CHECKING:
    from fp4sim.report.evidence_model import CheckResult, Evidence
    from fp4sim.report.gemm_fit_model import FitResult
    from fp4sim.report.gemm_model import GemmErrors


def gemm_suites(result: GemmErrors) -> list[Suite]:
    """A check a pair of formats, its SNRs as properties; an error of a product is no failure."""
    checks = []
    for row in result.formats:
        parts = {name: getattr(row, name) for name in ("total", "operands", "accumulation", "cast")}
        values = {name: part.snr_db for name, part in parts.items() if part is not None}
        numbers = {f"fp4sim.{name}_snr_db": "" if value is None else repr(value) for name, value in values.items()}
        checks.append(Check(row.short, "product", {**numbers, "fp4sim.reason": row.reason} if row.reason else numbers))
    return [Suite(tuple(checks), _facts(result.version, result.bits_version))]


def fit_suites(result: FitResult) -> list[Suite]:
    """One check: whether any model gives every recorded word."""
    failure = None
    if not result.ok:
        lines = tuple(f"{' = '.join(one.names)}: {one.differing:,} of {one.compared:,} differ" for one in result.models)
        failure = Failure("no model", "no model gives every recorded word", lines)
    numbers = {f"fp4sim.differing.{one.names[0]}": str(one.differing) for one in result.models}
    check = Check(result.source, "fit", numbers, failure)
    return [Suite((check,), _facts(result.version, result.bits_version))]


def evidence_suites(result: Evidence) -> list[Suite]:
    """A check a check of the device."""
    facts = {f"fp4sim.device.{key}": value for key, value in result.device.items()}
    checks = tuple(_device_check(check) for check in result.checks)
    return [Suite(checks, {**_facts(result.version, result.bits_version), **facts, "fp4sim.date": result.date})]


def _device_check(check: CheckResult) -> Check:
    counts = check.totals
    numbers = {"fp4sim.compared": str(counts.total), "fp4sim.mismatched": str(counts.wrong)}
    failure = None
    if check.status in ("fail", "error"):
        message = check.reason or f"{counts.wrong:,} of {counts.total:,} differ"
        failure = Failure(check.status, message, check.diagnosis)
    skipped = (check.reason or "skipped") if check.status == "skip" else ""
    answer = {"fp4sim.answer": check.answer} if check.answer else {}
    return Check(check.name, check.title, {**numbers, **answer}, failure, skipped)


def _facts(version: str, bits_version: int) -> dict[str, str]:
    return {"fp4sim.version": version, "fp4sim.bits_version": str(bits_version)}
