"""Differences of specs and mutation tests as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.cells import percent, shape_text, tensor_name
from fp4sim.report.markdown import code, escaped, skipped_list, table

if TYPE_CHECKING:
    from fp4sim.report.diff_model import Count, DiffResult
    from fp4sim.report.mutation_model import MutationResult

_PARTS = ("scales", "codes", "values")


def diff_markdown(result: DiffResult) -> str:
    """The cause, a table of tensors, and what each operation explains alone."""
    rows = [
        [code(tensor_name(row.name)), shape_text(row.shape), *(_count(getattr(row, part)) for part in _PARTS)]
        for row in result.tensors
    ]
    rows.append(["all", "", *(_count(getattr(result, part)) for part in _PARTS)])
    parts = [
        f"### {code(result.a)} against {code(result.b)}",
        escaped(result.sentence),
        table(["Tensor", "Shape", *(f"{part} that differ" for part in _PARTS)], 2, rows),
        _tried(result),
        skipped_list(result.skipped),
        f"{', '.join(code(source) for source in result.sources)}; fp4sim {result.version}, bits version"
        f" {result.bits_version}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _tried(result: DiffResult) -> str:
    if not result.tried:
        return ""
    rows = [[escaped(one.name), code(one.a), code(one.b), _count(one.left)] for one in result.tried]
    head = table(["Operation", "a", "b", "differences left"], 3, rows)
    return f"Each exchanged alone, on {result.tried_on:,} elements; codes and scales that differ then:\n\n{head}"


def _count(count: Count) -> str:
    return f"{count.differing:,} of {count.total:,} ({percent(count.rate)} %)" if count.total else "–"


def mutation_markdown(result: MutationResult) -> str:
    """The score and a table of faulty kernels."""
    told = len(result.caught) + len(result.missed)
    said = f"{code(result.check)} on {result.part} catches {len(result.caught)} of {told} faulty kernels of"
    accepts = "" if result.accepts_correct else "It refuses the right output too, so it tells nothing apart."
    rows = [
        [code(row.name), f"**{row.status}**" if row.status == "missed" else row.status, escaped(row.about)]
        for row in result.rows
    ]
    parts = [
        f"### Mutation score {result.score:.2f}",
        f"{said} {code(result.short)}.",
        accepts,
        table(["Faulty kernel", "Status", "What it does"], 3, rows),
        f"{code(result.spec)}; fp4sim {result.version}, bits version {result.bits_version}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
