"""Gradient bias as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.bias_cells import cosine_text
from fp4sim.report.html.bias import bias_cells, bias_columns, bias_detail
from fp4sim.report.html.document import Cell, Column, Document, Row, Table
from fp4sim.report.html.pictures import pictures_of
from fp4sim.report.layer_terminal import CAPTION
from fp4sim.report.summary import sentences_of
from fp4sim.report.summary.sentence import row_name

if TYPE_CHECKING:
    from fp4sim.report.layer_model import LayerResult, OperandInfo


def layer_document(result: LayerResult) -> Document:
    """Outputs and gradients of every recipe, and what each recipe quantizes."""
    heads = (Column("Recipe", False, choice=True), Column("Output", False, choice=True), Column("Reference", False))
    rows, details = [], []
    for i, row in enumerate(result.rows):
        head = (Cell(row.recipe), Cell(row.output), Cell(row.reference))
        rows.append(Row(row_name(i), (*head, *bias_cells(row.bias), Cell(cosine_text(row.bias.cosine))), f"d{i}"))
        details.append(bias_detail(f"d{i}", f"{row.recipe} {row.output} ({row.reference})", (), row.bias))
    columns = (*heads, *bias_columns(), Column("cosine"))
    return Document(
        title=f"Bias of a linear layer under {', '.join(recipe.name for recipe in result.recipes)}",
        kind="Bias of a layer's outputs and gradients",
        result=result,
        sentences=sentences_of(result),
        tiles=(
            (f"{result.tokens:,}", "tokens"),
            (f"{result.inputs:,} → {result.outputs:,}", "inputs → outputs"),
            (f"{result.settings.get('draws', 0):,}", "draws"),
        ),
        tables=(Table("rows", "Outputs", columns, tuple(rows), CAPTION), *_operands(result)),
        details=tuple(details),
        pictures=pictures_of(result) if result.rows else (),
        legend=tuple(
            (recipe.name, "; ".join((recipe.title, recipe.source, f"backward {recipe.backward}", *recipe.notes)))
            for recipe in result.recipes
        ),
        sources=result.sources,
        settings=result.settings,
    )


def _operands(result: LayerResult) -> tuple[Table, ...]:
    columns = tuple(Column(head, False) for head in ("Recipe", "GEMM", "Operand", "Spec", "Of the", "Along"))
    rows = tuple(
        Row(f"operand-{i}-{k}", _operand(recipe.name, operand))
        for i, recipe in enumerate(result.recipes)
        for k, operand in enumerate(recipe.operands)
    )
    return (Table("operands", "What the recipes quantize", columns, rows),) if rows else ()


def _operand(recipe: str, operand: OperandInfo) -> tuple[Cell, ...]:
    texts = (recipe, operand.gemm, operand.tensor, operand.spec or "as it is", operand.source, operand.axis)
    return tuple(Cell(text) for text in texts)
