"""What a verification means: what is right, what is not, and which cause reproduces the difference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fp4sim.report.cells import safe_name
from fp4sim.report.gemm_text import gemm_verdict
from fp4sim.report.summary.sentence import Link, Sentence, named, of_all, row_name
from fp4sim.report.verify_text import compared_text

if TYPE_CHECKING:
    from fp4sim.report.golden_model import GoldenResult
    from fp4sim.report.verify_model import CaseResult, VerifyResult

_NAME_LIMIT = 60


def verify_sentences(result: VerifyResult) -> tuple[Sentence, ...]:
    """The sentences of one verification."""
    return tuple(_sentences(result, 0))


def golden_sentences(result: GoldenResult) -> tuple[Sentence, ...]:
    """Those of every spec."""
    return tuple(one for i, verdict in enumerate(result.results) for one in _sentences(verdict, i))


def _sentences(result: VerifyResult, variant: int) -> Iterator[Sentence]:
    cases = list(enumerate(result.cases))
    wrong = [(i, case) for i, case in cases if not case.ok]
    if result.totals and not wrong:
        rows = tuple(row_name(i, variant) for i, _ in cases)
        yield Sentence((f"Every bit is {result.short}'s: {compared_text(result.totals)} compared.",), rows)
    if result.gemm is not None and not result.gemm.wrong:
        text = f"{gemm_verdict([case.gemm for _, case in cases if case.gemm])}."
        yield Sentence((text,), tuple(row_name(i, variant) for i, case in cases if case.gemm))
    if wrong:
        who = of_all(len(wrong), len(cases), "case")
        verb = "differs" if len(wrong) == 1 else "differ"
        text = f"{who[:1].upper()}{who[1:]} {verb} from {result.short}: "
        yield _sentence(text, wrong, variant, warning=True)
    yield from _causes(wrong, variant)
    for i, case in cases:
        for alarm in case.stochastic.alarms if case.stochastic else ():
            link = Link(_name(i, case), row_name(i, variant))
            yield Sentence((link, f": {safe_name(alarm.sentence)}."), (link.row,), warning=alarm.failed)


def _causes(wrong: Sequence[tuple[int, CaseResult]], variant: int) -> Iterator[Sentence]:
    """A cause is called one only where it reproduces every difference of its part exactly."""
    whole: dict[tuple[str, str], list[tuple[int, CaseResult]]] = {}
    unknown = []
    for i, case in wrong:
        for finding in case.findings:
            if finding.cause == "unknown":
                unknown.append((i, case))
            elif finding.mismatches and finding.explained == finding.mismatches:
                whole.setdefault((finding.cause, finding.sentence), []).append((i, case))
    for (cause, sentence), found in whole.items():
        text = f"{cause} reproduces every difference ({safe_name(sentence).rstrip('.')}) in "
        yield _sentence(text, found, variant, thresholds=("explained",))
    if unknown:
        unique = list(dict(unknown).items())
        yield _sentence("Nothing that was tried reproduces the differences of ", unique, variant, warning=True)


def _sentence(
    text: str,
    cases: Sequence[tuple[int, CaseResult]],
    variant: int,
    *,
    warning: bool = False,
    thresholds: tuple[str, ...] = (),
) -> Sentence:
    links = [Link(_name(i, case), row_name(i, variant)) for i, case in cases]
    return Sentence((text, *named(links), "."), tuple(link.row for link in links), thresholds, warning)


def _name(index: int, case: CaseResult) -> str:
    return safe_name(case.name, _NAME_LIMIT) if case.name else f"case {index + 1}"
