"""Gradient bias in the terminal: a row for each output of each recipe, and what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from fp4sim.report.bias_cells import cosine_text, estimate_text, interval_text, row_statement
from fp4sim.report.bias_terminal import verdict_text
from fp4sim.report.cells import settings_text
from fp4sim.report.fit import Column, fitted_table
from fp4sim.report.layer_model import EXACT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from fp4sim.report.layer_model import LayerResult, LayerRow

CAPTION = (
    "All but cosine ×1e−3. error: rel. MSE of one draw; bias: |mean − reference| of |reference|."
    " The reference is the exact product, or the gradient through the quantized forward pass."
)


def print_layer(console: Console, result: LayerResult, *, verbose: bool = False) -> None:
    """Print what a layer's outputs do under recipes; ``verbose`` adds what each recipe quantizes."""
    size = f"{result.tokens:,} tokens, {result.inputs:,} inputs, {result.outputs:,} outputs"
    console.print(Text(f"A linear layer of {size}; {result.settings['draws']:,} draws", style="bold"))
    console.print()
    rows = result.rows
    ends = [i for i in range(len(rows) - 1) if rows[i].recipe != rows[i + 1].recipe]
    table, dropped = fitted_table(_columns(rows), console.width, ends)
    console.print(table)
    console.print(Text(CAPTION, style="dim"))
    if dropped:
        console.print(Text(f"No room for: {', '.join(dropped)} (a wider terminal or -o shows all)", style="dim"))
    console.print()
    for row in rows:
        says = row_statement(row.bias, "reference")
        console.print(Text.assemble((f"{row.recipe} {row.output}", "bold"), f" ({row.reference}): {says}"))
    _print_recipes(console, result, verbose=verbose)


def _columns(rows: Sequence[LayerRow]) -> list[Column]:
    firsts = [i == 0 or rows[i - 1].recipe != row.recipe for i, row in enumerate(rows)]
    biases = [row.bias for row in rows]
    return [
        Column("recipe", [Text(r.recipe if f else "") for r, f in zip(rows, firsts, strict=True)], False, least=10),
        Column("output", [Text(row.output) for row in rows], numeric=False),
        Column("reference", [Text("exact" if row.reference == EXACT else "q. forward") for row in rows], numeric=False),
        Column("error", [Text(estimate_text(b.mse)) for b in biases]),
        Column("bias", [Text(estimate_text(b.relative_bias)) for b in biases]),
        Column("95 % interval\nof the bias", [Text(interval_text(b.relative_bias)) for b in biases]),
        Column("variance", [Text(estimate_text(b.variance)) for b in biases], drop=1),
        Column("cosine", [Text(cosine_text(b.cosine)) for b in biases], drop=2),
        Column("verdict", [verdict_text(b.verdict) for b in biases], numeric=False),
    ]


def _print_recipes(console: Console, result: LayerResult, *, verbose: bool) -> None:
    console.print()
    for recipe in result.recipes:
        console.print(Text(f"{recipe.name}: {recipe.title}; {recipe.source}; backward {recipe.backward}", style="dim"))
        for operand in recipe.operands if verbose else ():
            what = operand.spec or "as it is"
            line = f"  {operand.gemm} {operand.tensor}: {what} of the {operand.source} along {operand.axis}"
            console.print(Text(line, style="dim"))
        for note in recipe.notes if verbose else ():
            console.print(Text(f"  {note}", style="dim"))
    made = f"fp4sim {result.version}, bits version {result.bits_version}, {settings_text(result.settings)}"
    console.print(Text(made, style="dim"))
