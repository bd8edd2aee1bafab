"""Results other than verdicts as JUnit: one check a row, the numbers as properties. Only what is plainly wrong fails: a row
that differs from a publication, a faulty kernel that passes. Thresholds are added by who knows them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.junit_document import Check, Failure, Suite
from fp4sim.report.model import METRICS
from fp4sim.report.reproduction_model import DIFFERS, MISSING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fp4sim.report.bias_model import Bias, BiasResult
    from fp4sim.report.diff_model import DiffResult
    from fp4sim.report.layer_model import LayerResult
    from fp4sim.report.model import CompareResult, FormatInfo, Metrics, Skipped
    from fp4sim.report.mutation_model import MutationResult
    from fp4sim.report.reproduction_model import Reproduction
    from fp4sim.report.result import Result


def compare_suites(result: CompareResult) -> list[Suite]:
    """A check a tensor and format, and one a total."""
    infos = result.formats
    totals = zip(infos, result.totals, strict=True)
    checks = [Check("total", info.short, _metrics(total.metrics)) for info, total in totals]
    for tensor in result.tensors:
        rows = zip(infos, tensor.results, strict=True)
        checks += [Check(result.label(tensor), info.short, _metrics(metrics)) for info, metrics in rows]
    return [Suite((*checks, *_skipped(result.skipped)), _facts(result, infos))]


def bias_suites(result: BiasResult) -> list[Suite]:
    """A check a tensor and estimator."""
    checks = [
        Check(result.label(tensor), info.short, _bias(bias))
        for tensor in result.tensors
        for info, bias in zip(result.estimators, tensor.results, strict=True)
    ]
    return [Suite((*checks, *_skipped(result.skipped)), _facts(result, result.estimators))]


def layer_suites(result: LayerResult) -> list[Suite]:
    """A check an output and reference of each recipe."""
    checks = (Check(f"{row.output} ({row.reference})", row.recipe, _bias(row.bias)) for row in result.rows)
    return [Suite(tuple(checks), _facts(result))]


def diff_suites(result: DiffResult) -> list[Suite]:
    """A check a tensor; that two specs differ is no failure."""
    checks = []
    for row in result.tensors:
        counts = {"codes": row.codes, "scales": row.scales, "values": row.values}
        numbers = {f"fp4sim.{part}_differing": f"{count.differing}/{count.total}" for part, count in counts.items()}
        checks.append(Check(row.name or "x", f"{result.a} {result.b}", numbers))
    return [Suite((*checks, *_skipped(result.skipped)), _facts(result))]


def reproduction_suites(result: Reproduction) -> list[Suite]:
    """A suite a table; a row that differs from what is published fails, one that is not reproduced is skipped."""
    suites = []
    for table in result.tables:
        checks = []
        for row in table.rows:
            facts = {"fp4sim.published": row.published, "fp4sim.measured": row.measured, "fp4sim.outcome": row.outcome}
            line = f"published {row.published}, measured {row.measured}"
            failure = Failure("differs", line, (row.reason,)) if row.outcome == DIFFERS else None
            skipped = (row.reason or row.outcome) if row.outcome == MISSING else ""
            checks.append(Check(row.label, table.name, facts, failure, skipped))
        suites.append(Suite(tuple(checks), _facts(result), f"fp4sim.reproduce.{table.name}"))
    return suites


def mutation_suites(result: MutationResult) -> list[Suite]:
    """A check a faulty kernel; one that passes the tested tolerance fails."""
    checks = []
    for row in result.rows:
        failure = Failure("missed", f"passes: {row.about}", (row.detail,)) if row.status == "missed" else None
        skipped = row.status if row.status in ("no effect", "not possible") else ""
        checks.append(Check(row.name, result.check, {"fp4sim.status": row.status}, failure, skipped))
    return [Suite(tuple(checks), {**_facts(result), "fp4sim.spec": result.spec})]


def _facts(result: Result, infos: Sequence[FormatInfo] = ()) -> dict[str, str]:
    facts = {"fp4sim.version": result.version, "fp4sim.bits_version": str(result.bits_version)}
    return facts | {f"fp4sim.spec.{info.short}": info.spec for info in infos}


def _metrics(metrics: Metrics) -> dict[str, str]:
    values = {name: getattr(metrics, name) for name in METRICS}
    return {f"fp4sim.{name}": "" if value is None else repr(value) for name, value in values.items()}


def _bias(bias: Bias) -> dict[str, str]:
    found = bias.relative_bias
    number = "" if found is None else repr(found.estimate)
    return {"fp4sim.verdict": bias.verdict, "fp4sim.relative_bias": number, "fp4sim.draws": str(bias.draws)}


def _skipped(skipped: Sequence[Skipped]) -> list[Check]:
    return [Check(one.name or "(unnamed)", "skipped", skipped=one.reason) for one in skipped]
