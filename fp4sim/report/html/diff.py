"""Where two specs differ, as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.cells import percent, shape_text, tensor_name
from fp4sim.report.html.document import Cell, Column, Detail, Document, Grid, Row, Table
from fp4sim.report.html.parts import FULL_NAME_LIMIT, name_cell, skipped_table
from fp4sim.report.html.pictures import pictures_of
from fp4sim.report.summary import sentences_of
from fp4sim.report.summary.sentence import row_name

if TYPE_CHECKING:
    from fp4sim.report.diff_model import Count, DiffResult, TensorDiff

_PARTS = ("scales", "codes", "values")


def diff_document(result: DiffResult) -> Document:
    """Rates by tensor, first differences on demand, and what each operation explains."""
    rows = tuple(
        Row(row_name(i), (name_cell(row.name or "x"), Cell(shape_text(row.shape)), *_counts(row)), f"d{i}")
        for i, row in enumerate(result.tensors)
    )
    numbers = [Column(f"{part} {unit}".strip()) for part in _PARTS for unit in ("differ", "%")]
    columns = (Column("Tensor", False), Column("Shape", False), *numbers)
    tried = tuple(
        Row(f"operation-{i}", (Cell(one.name), Cell(one.a), Cell(one.b), *_count(one.left)))
        for i, one in enumerate(result.tried)
    )
    heads = (*(Column(head, False) for head in ("Operation", "a", "b")), Column("left"), Column("left %"))
    note = f"Each exchanged alone, on {result.tried_on:,} elements; what differs then."
    operations = (Table("operations", "Operations in which they differ", heads, tried, note),) if tried else ()
    return Document(
        title=f"{result.a} against {result.b}",
        kind="Difference of two specs",
        result=result,
        sentences=sentences_of(result),
        tiles=(
            (f"{result.touched.differing:,} of {result.touched.total:,}", "tensors differ"),
            (f"{percent(result.codes.rate)} %", "of the codes differ"),
        ),
        tables=(Table("tensors", "Tensors", columns, rows), *operations, *skipped_table(result.skipped)),
        details=tuple(_detail(row, i) for i, row in enumerate(result.tensors)),
        pictures=pictures_of(result) if result.tensors else (),
        legend=(("a", result.a), ("b", result.b)),
        sources=result.sources,
    )


def _counts(row: TensorDiff) -> list[Cell]:
    return [cell for part in _PARTS for cell in _count(getattr(row, part))]


def _count(count: Count) -> tuple[Cell, Cell]:
    return Cell(f"{count.differing:,}", title=f"of {count.total:,}"), Cell(percent(count.rate))


def _detail(row: TensorDiff, index: int) -> Detail:
    examples = tuple(
        (
            ", ".join(map(str, one.index)),
            f"{one.x:.9g}",
            *("–" if scale is None else f"0x{scale:02X}" for scale in (one.scale_a, one.scale_b)),
            *(f"{code:#x}" for code in (one.code_a, one.code_b)),
            *("–" if value is None else f"{value:.6g}" for value in (one.value_a, one.value_b)),
        )
        for one in row.examples
    )
    heads = ("index", "x", "scale a", "scale b", "code a", "code b", "value a", "value b")
    facts = (("name", tensor_name(row.name or "x", FULL_NAME_LIMIT)), ("dtype", row.dtype))
    grids = (Grid(heads, examples, "The first differences."),) if examples else ()
    lines = () if examples else ("No difference.",)
    return Detail(f"d{index}", tensor_name(row.name or "x", 200), facts, grids, lines)
