"""A mutation test as a table of plain text, at most 100 columns wide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.cells import middle_cut, safe_name

if TYPE_CHECKING:
    from fp4sim.report.mutation_model import MutationResult

_WIDTH = 100


def mutation_text(result: MutationResult) -> str:
    """The score, then a line a mutant, the missed ones first."""
    told = len(result.caught) + len(result.missed)
    head = f"{result.short}, {safe_name(result.check, 60)}: {len(result.caught)} of {told} faulty kernels caught"
    lines = [f"{head}, score {100 * result.score:.0f} %"]
    if not result.accepts_correct:
        lines.append("The check refuses the right output, so that its score is 0.")
    order = {"missed": 0, "caught": 1, "no effect": 2, "not possible": 3}
    width = max((len(row.name) for row in result.rows), default=0)
    for row in sorted(result.rows, key=lambda row: order[row.status]):
        text = f"{row.status.upper() if row.status == 'missed' else row.status:12}  {row.name:{width}}  {row.about}"
        lines.append("  " + middle_cut(text, _WIDTH - 2))
    return "\n".join(lines) + "\n"
