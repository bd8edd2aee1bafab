"""Gradient bias as Markdown and as CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.bias_cells import cosine_text, estimate_text, interval_text, margin_text, row_statement
from fp4sim.report.bias_csv import FIGURES, figures
from fp4sim.report.cells import settings_text
from fp4sim.report.csv_table import csv_text
from fp4sim.report.markdown import code, escaped, table

if TYPE_CHECKING:
    from fp4sim.report.layer_model import LayerResult

_HEAD = ["Recipe", "Output", "Reference", "Verdict", "error ↓", "bias ↓", "95 % interval", "variance ↓", "cosine ↑"]


def layer_markdown(result: LayerResult) -> str:
    """The table of all outputs, what it says, and what was run."""
    rows, lines = [], []
    for row in result.rows:
        bias = row.bias
        found = [estimate_text(bias.relative_bias), interval_text(bias.relative_bias)]
        cells = [margin_text(bias.mse), *found, margin_text(bias.variance), cosine_text(bias.cosine)]
        rows.append([code(row.recipe), row.output, row.reference, bias.verdict, *cells])
        lines.append(
            f"- {code(row.recipe)} {row.output} ({row.reference}): {escaped(row_statement(bias, 'reference'))}"
        )
    recipes = [f"- {code(recipe.name)}: {escaped(recipe.title)}; {escaped(recipe.source)}" for recipe in result.recipes]
    size = f"{result.tokens:,} tokens, {result.inputs:,} inputs, {result.outputs:,} outputs"
    made = f"fp4sim {result.version}, bits version {result.bits_version}, {settings_text(result.settings)}"
    sources = ", ".join(code(source) for source in result.sources)
    parts = [
        f"### Bias of a linear layer's outputs: {size}",
        table(_HEAD, 4, rows),
        "All but cosine ×1e−3, relative to the reference; error is the relative MSE of one draw. ±: half of the 95 % interval.",
        "\n".join(lines),
        "\n".join(recipes),
        f"{sources}; {made}",
    ]
    return "\n\n".join(parts) + "\n"


def layer_csv(result: LayerResult) -> str:
    """One row an output and reference of each recipe; plain numbers, undefined ones empty."""
    head = ("recipe", "output", "reference", "exact", *FIGURES, "sentence")
    rows = []
    for row in result.rows:
        facts = {"recipe": row.recipe, "output": row.output, "reference": row.reference, "exact": row.exact}
        cells = {**facts, **figures(row.bias), "sentence": row.bias.sentence}
        rows.append([cells.get(name) for name in head])
    return csv_text(head, rows)
