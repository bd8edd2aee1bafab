"""A comparison as a small HTML table for notebooks."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from fp4sim.report.cells import TENSOR_METRICS, best_rows, count_of, metric_text, note_lines, safe_name, shape_text
from fp4sim.report.model import METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fp4sim.report.model import CompareResult, Metrics

_NAME_LIMIT = 80
_TENSORS_SHOWN = 50


def compare_table(result: CompareResult) -> str:
    """Totals and the first tensors, everything from outside escaped; best values in bold."""
    heads = "".join(f"<th>{escape(METRICS[n].head)} {METRICS[n].arrow}</th>" for n in TENSOR_METRICS)
    rows = _rows(result, f"total of {count_of(len(result.tensors), 'tensor')}", "", [t.metrics for t in result.totals])
    for tensor in result.tensors[:_TENSORS_SHOWN]:
        rows += _rows(result, safe_name(result.label(tensor), _NAME_LIMIT), shape_text(tensor.shape), tensor.results)
    hidden = len(result.tensors) - _TENSORS_SHOWN
    notes = [f"{hidden:,} more in <code>.tensors</code>"] if hidden > 0 else []
    notes += [escape(line) for line in note_lines(result)]
    if result.skipped:
        notes.append(f"{count_of(len(result.skipped), 'tensor')} skipped, see <code>.skipped</code>")
    specs = "; ".join(f"{escape(info.short)} is {escape(info.spec)}" for info in result.formats)
    return (
        f"<table><thead><tr><th>tensor</th><th>shape</th><th>format</th>{heads}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table><p>{'. '.join([specs, *notes])}.</p>"
    )


def _rows(result: CompareResult, name: str, shape: str, measured: Sequence[Metrics]) -> list[str]:
    best = {metric: best_rows(metric, measured) for metric in TENSOR_METRICS}
    rows = []
    for i, (info, metrics) in enumerate(zip(result.formats, measured, strict=True)):
        cells = "".join(_cell(metrics, metric, i in best[metric]) for metric in TENSOR_METRICS)
        facts = f"<td><bdi>{escape(name)}</bdi></td><td>{shape}</td><td>{escape(info.short)}</td>"
        rows.append(f"<tr>{facts}{cells}</tr>")
    return rows


def _cell(metrics: Metrics, metric: str, best: bool) -> str:
    text, reason = escape(metric_text(metric, metrics)), metrics.undefined.get(metric)
    title = f' title="{escape(reason)}"' if reason else ""
    return f"<td{title}>{f'<b>{text}</b>' if best else text}</td>"
