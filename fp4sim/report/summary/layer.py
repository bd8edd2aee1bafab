"""What a layer's gradients under recipes mean: which outputs are biased."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.summary.sentence import Link, Sentence, named, row_name

if TYPE_CHECKING:
    from fp4sim.report.layer_model import LayerResult

_SAYS = {
    "biased": "is biased in ",
    "unbiased": "is unbiased in ",
    "undecided": "is undecided in ",
}


def layer_sentences(result: LayerResult) -> tuple[Sentence, ...]:
    """A sentence a recipe and verdict, with the outputs and what they were compared with."""
    found = []
    for recipe in dict.fromkeys(row.recipe for row in result.rows):
        for verdict, says in _SAYS.items():
            links = [
                Link(f"{row.output} ({row.reference})", row_name(i))
                for i, row in enumerate(result.rows)
                if row.recipe == recipe and row.bias.verdict == verdict and row.bias.relative_bias is not None
            ]
            if links:
                parts = (f"{recipe} {says}", *named(links, 8), ".")
                rows = tuple(link.row for link in links)
                found.append(Sentence(parts, rows, warning=verdict == "biased"))
    return tuple(found)
