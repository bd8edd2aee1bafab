"""The error of a product, and the models that a recorded product obeys, as pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.cells import safe_name, shape_text
from fp4sim.report.gemm_cells import CAPTION, HEADS, numbers_of, operand_lines, split_text, statement, title, worst_text
from fp4sim.report.gemm_fit_text import verdict_lines
from fp4sim.report.html.document import Cell, Column, Detail, Document, Row, Table
from fp4sim.report.html.parts import NAME_LIMIT, format_legend
from fp4sim.report.html.pictures import pictures_of
from fp4sim.report.summary import sentences_of
from fp4sim.report.summary.sentence import row_name

if TYPE_CHECKING:
    from fp4sim.report.gemm_fit_model import FitDifference, FitResult
    from fp4sim.report.gemm_model import GemmErrors


def gemm_document(result: GemmErrors) -> Document:
    """The parts of the error by format; how they add up on demand."""
    rows, details = [], []
    for i, row in enumerate(result.formats):
        reason = row.reason or next(iter(row.undefined.values()), "")
        numbers = (Cell(text, title=reason if text == "–" else "") for text in numbers_of(row))
        rows.append(Row(row_name(i), (Cell(row.short), *numbers), f"d{i}"))
        lines = tuple(text for text in (statement(row), split_text(row), worst_text(row)) if text)
        details.append(Detail(f"d{i}", row.short, (("domain", row.domain),), lines=lines))
    columns = (Column("Formats", False), *(Column(head.replace("\n", " ")) for head in HEADS))
    infos = {info.spec: info for row in result.formats for info in (row.a, row.b)}
    m, n, k = result.shape
    return Document(
        title=f"Error of a product under {', '.join(row.short for row in result.formats) or 'no format'}",
        kind="Error of a GEMM",
        result=result,
        sentences=sentences_of(result),
        tiles=((f"{m:,} × {n:,}", "outputs"), (f"{k:,}", "products summed")),
        tables=(Table("formats", "Where the error comes from", columns, tuple(rows), CAPTION),),
        lead=1,
        details=tuple(details),
        pictures=pictures_of(result) if result.formats else (),
        legend=format_legend(tuple(infos.values())),
        notes=(title(result), *operand_lines(result), *result.notes),
        sources=tuple(safe_name(one.label, NAME_LIMIT) for one in (result.a, result.b)),
        settings=result.settings,
    )


def fit_document(result: FitResult) -> Document:
    """Every model with the first word that separates it from what was recorded."""
    heads = (
        Column("Model", False),
        Column("Verdict", False, choice=True),
        Column("words differing"),
        Column("compared"),
    )
    more = tuple(Column(head, False) for head in ("first separated by", "recorded", "predicted"))
    rows = tuple(
        Row(
            row_name(i),
            (
                Cell(" = ".join(model.names)),
                Cell("ruled out", "dim") if model.differing else Cell("obeyed", "good"),
                Cell(f"{model.differing:,}"),
                Cell(f"{model.compared:,}"),
                *_first(model.first),
            ),
        )
        for i, model in enumerate(result.models)
    )
    columns = tuple(Column(head, head in ("K", "compared")) for head in ("Case", "Operands", "Shape", "K", "compared"))
    cases = tuple(
        Row(
            f"case-{i}",
            tuple(
                Cell(text)
                for text in (
                    safe_name(case.name, NAME_LIMIT) or "(unnamed)",
                    *(case.operands, shape_text(case.shape), f"{case.depth:,}", f"{case.compared:,}"),
                )
            ),
        )
        for i, case in enumerate(result.cases)
    )
    return Document(
        title="Models of matrix units that a recorded product obeys",
        kind="Fit of recorded outputs",
        result=result,
        sentences=sentences_of(result),
        verdict="",
        tiles=((f"{len(result.obeyed):,} of {len(result.models):,}", "models obeyed"),),
        tables=(Table("models", "Models", (*heads, *more), rows), Table("cases", "What was recorded", columns, cases)),
        notes=tuple(verdict_lines(result)),
        sources=(safe_name(result.source, NAME_LIMIT),),
    )


def _first(first: FitDifference | None) -> tuple[Cell, Cell, Cell]:
    if first is None:
        return Cell(""), Cell(""), Cell("")
    where = f"{safe_name(first.case, 40)}{list(first.index)}"
    probe = f": {first.probe}" if first.probe else ""
    return Cell(f"{where}{probe}"), Cell(first.found), Cell(first.predicted)
