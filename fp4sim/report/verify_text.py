"""A verification as text: torch.testing's three lines first, then what FP4 adds, then the cause and how to repeat it."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from fp4sim.report.cells import count_of, safe_name, shape_text
from fp4sim.report.gemm_text import gemm_lines, gemm_verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fp4sim.report.verify_model import (
        CaseResult,
        Closeness,
        Count,
        StochasticResult,
        VerifyResult,
    )

NOUNS = {
    "codes": "code",
    "scales": "scale",
    "tensor_scale": "tensor scale",
    "dequantized": "value",
    "padding": "padding byte",
}
_INDENT = "  "
_NAME_LIMIT = 60
_CASES_SHOWN = 20
_CANDIDATES_SHOWN = 8
_NOTES_SHOWN = 8


def verify_text(result: VerifyResult, width: int = 100) -> str:
    """The report, its lines at most ``width`` wide but for the command to repeat it."""
    lines: list[str] = []
    failed = [case for case in result.cases if not case.ok]
    shown = failed[:_CASES_SHOWN] if len(result.cases) > 1 else list(result.cases)
    for case in shown:
        if not case.ok or case.candidates or case.stochastic or case.notes or case.gemm:
            lines += [*_case(case, result), ""]
    if len(failed) > len(shown):
        lines += [f"{len(failed) - len(shown):,} more cases differ: --json and -o FILE hold all", ""]
    if len(result.cases) > 1:
        lines += _over_all(result)
    lines += _verdict(result, len(failed))
    if result.ignored:
        lines.append(f"Not read, names unknown: {_some(result.ignored)}")
    if result.unmatched:
        weights = count_of(len(result.unmatched), "quantized weight")
        lines.append(
            f"Not compared, their floats are not there or their format is another: {weights}, {_some(result.unmatched)}"
        )
    wrapped = [part for line in lines for part in _wrapped(line, width)]
    if failed:
        wrapped.append(f"REPRO: {safe_name(result.repro)}")
    return "\n".join(wrapped) + "\n"


def _over_all(result: VerifyResult) -> Iterator[str]:
    """Of several cases: who reproduces all of them, and the notes of those that are right and so not shown."""
    exact = [{one.spec for one in case.candidates if one.exact} for case in result.cases if case.candidates]
    if exact:
        order = dict.fromkeys(one.spec for case in result.cases for one in case.candidates)
        named = [spec for spec in order if all(spec in found for found in exact)]
        who = (
            f"all are reproduced exactly by {', '.join(named)}"
            if named
            else "no dialect reproduces all of them exactly"
        )
        yield f"Identified over {count_of(len(exact), 'case')}: {who}"
    notes = [note for case in result.cases if case.ok for note in case.notes]
    for note in list(dict.fromkeys(notes))[:_NOTES_SHOWN]:
        yield f"Note on {count_of(notes.count(note), 'case')}: {note}"


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(safe_name(name, _NAME_LIMIT) for name in names[:5]) + (", …" if len(names) > 5 else "")


def compared_text(totals: dict[str, Count]) -> str:
    """What was compared: 65,536 codes, 4,096 scales and 1 tensor scale."""
    parts = [count_of(count.total, NOUNS[part]) for part, count in totals.items()]
    return "".join(parts) if len(parts) < 2 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def counts_text(counts: dict[str, Count]) -> str:
    """What differs, part by part: codes 12/65,536, scales 3/4,096."""
    return ", ".join(f"{part.replace('_', ' ')} {count.wrong:,}/{count.total:,}" for part, count in counts.items())


def close_lines(close: Closeness) -> list[str]:
    """torch.testing's three lines."""
    share = close.mismatched / close.elements if close.elements else 0.0
    lines = [f"Mismatched elements: {close.mismatched} / {close.elements} ({share:.1%})"]
    rows = (("absolute", close.absolute, close.absolute_at), ("relative", close.relative, close.relative_at))
    for kind, value, place in rows:
        number = value if value is not None else "inf" if place is not None else 0.0
        lines.append(f"Greatest {kind} difference: {number}" + (f" at index {place}" if place is not None else ""))
    return lines


def _case(case: CaseResult, result: VerifyResult) -> Iterator[str]:
    name = f"case {safe_name(case.name, _NAME_LIMIT)}: " if case.name else ""
    yield f"{'ok' if case.ok else 'FAILED'} {name}{shape_text(case.shape)} {case.dtype} against {result.short}"
    if not case.ok:
        if case.stochastic is None and case.counts:  # draws differ from fp4sim's own, and may
            yield from close_lines(case.close)
        if case.counts:
            yield f"Differing: {counts_text(case.counts)}"
    if case.scale_deltas:
        yield "Scale bytes off by: " + ", ".join(f"{step} {count:,}×" for step, count in case.scale_deltas.items())
    if case.code_causes:
        yield "Codes differ by: " + ", ".join(f"{cause} {count:,}" for cause, count in case.code_causes.items())
    for block in case.worst:
        scales = ""
        if block.scale_expected is not None:
            scales = f", scale 0x{block.scale_expected:02X}"
            if block.scale_found is not None and block.scale_found != block.scale_expected:
                scales += f" but found 0x{block.scale_found:02X}"
        amax = "not finite" if block.amax is None else f"{block.amax:.6g}"
        yield f"{_INDENT}block at {block.index}: {count_of(block.codes_wrong, 'code')} wrong, amax {amax}{scales}"
    if case.gemm:
        yield from gemm_lines(case.gemm)
    for finding in case.findings:
        yield f"CAUSE {finding.cause}: {finding.sentence}"
    if case.stochastic:
        yield from _stochastic(case.stochastic)
    yield from _candidates(case)
    for note in case.notes:
        yield f"Note: {note}"


def _stochastic(found: StochasticResult) -> Iterator[str]:
    p_value = "not tested" if found.p_value is None else f"p = {found.p_value:.3g}"
    bits = f", {', '.join(map(str, found.bits))} random bits fit" if found.bits else ""
    matched = {None: "", True: ", nothing clips", False: ", some elements clip"}[found.range_matched]
    yield (
        f"Stochastic: {count_of(found.draws, 'draw')}, {found.tested:,} positions between codes, {p_value}{bits}{matched}"
    )
    for alarm in found.alarms:
        yield f"{'ALARM' if alarm.failed else 'Note'} {alarm.name}: {alarm.sentence}"


def _candidates(case: CaseResult) -> Iterator[str]:
    if not case.candidates:
        return
    exact = [candidate for candidate in case.candidates if candidate.exact]
    if exact:
        yield f"Identified: reproduced exactly by {', '.join(candidate.spec for candidate in exact)}"
    else:
        yield "Identified: no dialect reproduces it exactly; the nearest:"
    for candidate in [one for one in case.candidates if not one.exact][:_CANDIDATES_SHOWN]:
        yield f"{_INDENT}{candidate.spec}: {counts_text(candidate.counts)}"


def _verdict(result: VerifyResult, failed: int) -> list[str]:
    cases = count_of(len(result.cases), "case")
    gemm = result.gemm
    if failed:
        parts = [f"differing {counts_text(result.totals)}"] if result.totals else []
        parts += [f"GEMM outputs that are not possible {gemm.wrong:,}/{gemm.total:,}"] if gemm else []
        return [f"FAILED: {failed:,} of {cases} not {result.short}; {'; '.join(parts)}"]
    within = gemm_verdict([case.gemm for case in result.cases if case.gemm])
    if not result.totals:
        return [f"OK: {cases} of {result.short}: {within}; no codes or scales were compared"]
    compared = f"{compared_text(result.totals)} compared, none differs"
    return [f"OK: {cases} bit for bit {result.short}: {compared}" + (f"; {within}" if within else "")]


def _wrapped(line: str, width: int) -> list[str]:
    indent = len(line) - len(line.lstrip())
    options = {"subsequent_indent": " " * (indent + 4), "break_on_hyphens": False}
    return textwrap.wrap(line, max(width, 20), **options) or [""]  # type: ignore[arg-type]
