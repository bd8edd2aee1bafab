"""A mutation test as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.html.document import Cell, Column, Document, Row, Table
from fp4sim.report.summary import sentences_of
from fp4sim.report.summary.sentence import row_name

if TYPE_CHECKING:
    from fp4sim.report.mutation_model import MutationResult

_MARKS = {"missed": "bad", "caught": "good"}


def mutation_document(result: MutationResult) -> Document:
    """The score and every faulty kernel."""
    heads = ("Faulty kernel", "Status", "What it does", "Detail")
    columns = tuple(Column(head, False, choice=head == "Status") for head in heads)
    rows = tuple(
        Row(
            row_name(i),
            (Cell(row.name), Cell(row.status, _MARKS.get(row.status, "dim")), Cell(row.about), Cell(row.detail)),
        )
        for i, row in enumerate(result.rows)
    )
    return Document(
        title=f"Would {result.check} catch a faulty {result.short} kernel?",
        kind="Mutation test of a check",
        result=result,
        sentences=sentences_of(result),
        tiles=((f"{result.score:.2f}", "score: caught of those that can be told apart"),),
        tables=(Table("kernels", "Faulty kernels", columns, rows),),
        legend=((result.short, result.spec), ("compared", result.part)),
    )
