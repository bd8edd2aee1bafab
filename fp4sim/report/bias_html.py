"""A bias report as a small HTML table for notebooks."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from fp4sim.report.bias_cells import CAPTION, NUMBERS, numbers_of, statement
from fp4sim.report.cells import count_of, safe_name

if TYPE_CHECKING:
    from fp4sim.report.bias_model import BiasResult

_NAME_LIMIT = 80
_TENSORS_SHOWN = 50


def bias_table(result: BiasResult) -> str:
    """Figures and verdicts of the first tensors, and what they say; everything from outside escaped."""
    heads = "".join(f"<th>{escape(name)}</th>" for name in ("tensor", "estimator", "verdict", *NUMBERS))
    rows = []
    for tensor in result.tensors[:_TENSORS_SHOWN]:
        name = f"<bdi>{escape(safe_name(result.label(tensor), _NAME_LIMIT))}</bdi>"
        for info, bias in zip(result.estimators, tensor.results, strict=True):
            cells = (name, escape(info.short), bias.verdict, *map(escape, numbers_of(bias)))
            rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    hidden = len(result.tensors) - _TENSORS_SHOWN
    more = f"<p>{count_of(hidden, 'more tensor')} in <code>.tensors</code></p>" if hidden > 0 else ""
    says = "".join(
        f"<li>{escape(info.short)}: {escape(statement(result, i))}</li>" for i, info in enumerate(result.estimators)
    )
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f"{table}{more}<p>{escape(CAPTION)}</p><ul>{says}</ul>"
