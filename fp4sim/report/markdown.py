"""A comparison as Markdown: GitHub tables that hold whatever the tensors are called."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fp4sim.report.cells import (
    TENSOR_METRICS,
    TOTAL_METRICS,
    best_rows,
    count_of,
    metric_text,
    note_lines,
    number_text,
    safe_name,
    settings_text,
    shape_text,
)
from fp4sim.report.model import METRICS, UNNAMED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fp4sim.report.model import CompareResult, Metrics, Skipped

_NAME_LIMIT = 120
_SKIPPED_SHOWN = 20
_PLAIN = re.compile(r"[\w ./:,;=@+()\[\]#~%^$!?*-]+", re.ASCII)


def compare_markdown(result: CompareResult, metrics: Sequence[str] | None = None) -> str:
    """What it means, totals, tensors and what was skipped. ``metrics`` chooses the columns of both tables."""
    from fp4sim.report.summary import sentences_of

    parts = [
        f"### Error of {', '.join(code(info.short) for info in result.formats)}",
        "\n".join(f"- {escaped(sentence.text)}" for sentence in sentences_of(result)),
        _totals(result, metrics or TOTAL_METRICS),
        "relMSE = Σ(x̂−x)²/Σx². Totals are ratios of sums over all elements; medians are over tensors. Best in bold.",
        _tensors(result, metrics or TENSOR_METRICS),
        skipped_list(result.skipped),
        _legend(result),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def code(text: str) -> str:
    """Text from outside as inline code: a code span, or escaped HTML where a code span could break."""
    safe = safe_name(text, _NAME_LIMIT)
    if _PLAIN.fullmatch(safe) and safe == safe.strip():
        return f"`{safe}`"
    return "<code>" + "".join(c if c.isalnum() or c in " ._/-" else f"&#{ord(c)};" for c in safe) + "</code>"


def escaped(text: str) -> str:
    """Prose that may hold text from outside: what Markdown could take for markup as HTML entities."""
    return "".join(f"&#{ord(c)};" if c in "<>&`*_[]@#~!|\\" else c for c in safe_name(text))


def table(head: Sequence[str], left: int, rows: Sequence[Sequence[str]]) -> str:
    """A GitHub table whose first ``left`` columns are text and the others numbers."""
    rule = [":---"] * left + ["---:"] * (len(head) - left)
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))


def _heads(metrics: Sequence[str]) -> list[str]:
    return [f"{METRICS[name].head} {METRICS[name].arrow}".strip() for name in metrics]


def _numbers(rows: Sequence[Metrics], metrics: Sequence[str]) -> list[list[str]]:
    """The numbers of each row, those that are best among the rows in bold."""
    best = {name: best_rows(name, rows) for name in metrics}
    texts = ([(metric_text(name, row), i in best[name]) for name in metrics] for i, row in enumerate(rows))
    return [[f"**{text}**" if bold else text for text, bold in row] for row in texts]


def _totals(result: CompareResult, metrics: Sequence[str]) -> str:
    numbers = _numbers([total.metrics for total in result.totals], metrics)
    rows = []
    for i, (info, texts) in enumerate(zip(result.formats, numbers, strict=True)):
        rows.append([code(info.short), f"{info.bits_per_element:g}", *texts])
        if len(result.tensors) > 1:
            rows.append(["median", "", *(number_text(name, result.median(i, name)) for name in metrics)])
    return table(["Format", "bits/elem", *_heads(metrics)], 1, rows)


def _tensors(result: CompareResult, metrics: Sequence[str]) -> str:
    rows = []
    for tensor in result.tensors:
        facts = [code(result.label(tensor)), shape_text(tensor.shape), tensor.dtype]
        for info, texts in zip(result.formats, _numbers(tensor.results, metrics), strict=True):
            rows.append([*facts, code(info.short), *texts])
    return table(["Tensor", "Shape", "dtype", "Format", *_heads(metrics)], 4, rows)


def skipped_list(skipped: Sequence[Skipped]) -> str:
    """What was left out, the first of it one by one."""
    if not skipped:
        return ""
    lines = [f"- {code(one.name or UNNAMED)}: {escaped(one.reason)}" for one in skipped[:_SKIPPED_SHOWN]]
    more = len(skipped) - len(lines)
    if more:
        lines.append(f"- and {more:,} more")
    return f"Skipped {count_of(len(skipped), 'tensor')}:\n\n" + "\n".join(lines)


def _legend(result: CompareResult) -> str:
    lines = []
    for info in result.formats:
        notes = "".join(f"; {escaped(note)}" for note in info.notes)
        lines.append(f"- {code(info.short)} is {code(info.spec)}, {info.bits_per_element:g} bits per element{notes}")
    lines += [f"- {escaped(line)}" for line in note_lines(result)]
    sources = ", ".join(code(source) for source in result.sources)
    made = f"fp4sim {result.version}, bits version {result.bits_version}, {settings_text(result.settings)}"
    return "\n".join(lines) + f"\n\n{sources}; {made}"
