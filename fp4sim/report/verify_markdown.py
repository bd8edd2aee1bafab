"""A verification as Markdown: the verdict, a table of cases, and what is behind the differences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.cells import count_of, shape_text
from fp4sim.report.gemm_text import gemm_lines, gemm_verdict
from fp4sim.report.markdown import code, escaped
from fp4sim.report.verify_text import close_lines, compared_text

if TYPE_CHECKING:
    from fp4sim.report.verify_model import CaseResult, VerifyResult

_PARTS = ("codes", "scales", "tensor_scale", "dequantized", "padding")
_DETAILS = 20


def verify_markdown(result: VerifyResult) -> str:
    """GitHub Markdown."""
    verdict = "OK" if result.ok else "FAILED"
    parts = [
        f"### {verdict}: {count_of(len(result.cases), 'case')} against {code(result.short)}",
        f"Compared {compared_text(result.totals)}, bit for bit." if result.totals else "",
        _gemm(result),
        _table(result),
        *(_details(case) for case in [case for case in result.cases if not case.ok][:_DETAILS]),
        "" if result.ok else f"Repeat with {code(result.repro)}",
        f"{code(result.spec)}; fp4sim {result.version}, bits version {result.bits_version}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(result: VerifyResult) -> str:
    parts = [part for part in _PARTS if part in result.totals]
    head = ["Case", "Shape", "", *(part.replace("_", " ") for part in parts), "Cause"]
    rule = [":---", ":---", ":---", *("---:" for _ in parts), ":---"]
    rows = []
    for case in result.cases:
        counts = [
            f"{case.counts[part].wrong:,} / {case.counts[part].total:,}" if part in case.counts else ""
            for part in parts
        ]
        causes = ", ".join(code(finding.cause) for finding in case.findings)
        name = code(case.name) if case.name else "–"
        rows.append([name, shape_text(case.shape), "ok" if case.ok else "**failed**", *counts, causes])
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))


def _gemm(result: VerifyResult) -> str:
    found = [case.gemm for case in result.cases if case.gemm]
    outside = sum(one.outside for one in found)
    if outside:
        return f"Of {sum(one.total for one in found):,} GEMM outputs {outside:,} are not possible."
    return f"{gemm_verdict(found)}." if found else ""


def _details(case: CaseResult) -> str:
    lines = [f"#### {code(case.name)}" if case.name else "#### The differences", ""]
    if case.stochastic is None and case.counts:
        lines += ["```", *close_lines(case.close), "```", ""]
    lines += [f"- {line.strip()}" for line in (gemm_lines(case.gemm) if case.gemm else ())]
    lines += [f"- {code(finding.cause)}: {escaped(finding.sentence)}" for finding in case.findings]
    if case.scale_deltas:
        steps = ", ".join(f"{step}: {count:,}" for step, count in case.scale_deltas.items())
        lines.append(f"- scale bytes off by {steps}")
    if case.code_causes:
        causes = ", ".join(f"{cause}: {count:,}" for cause, count in case.code_causes.items())
        lines.append(f"- codes differ by {causes}")
    if case.stochastic:
        lines += [f"- {escaped(alarm.name)}: {escaped(alarm.sentence)}" for alarm in case.stochastic.alarms]
    if case.candidates:
        exact = [code(candidate.spec) for candidate in case.candidates if candidate.exact]
        lines.append(f"- reproduced exactly by {', '.join(exact)}" if exact else "- no dialect reproduces it exactly")
    return "\n".join(lines)
