"""A bias report as a page: of tensors under estimators, and of a layer's outputs under recipes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.bias_cells import CAPTION, NUMBERS, estimate_text, interval_text, numbers_of, rounding_text
from fp4sim.report.cells import middle_cut, percent, shape_text, tensor_name
from fp4sim.report.html.document import Cell, Column, Detail, Document, Grid, Row, Table
from fp4sim.report.html.parts import FULL_NAME_LIMIT, VERDICTS, counted, format_legend, name_cell, skipped_table, tile
from fp4sim.report.html.pictures import pictures_of
from fp4sim.report.summary import sentences_of
from fp4sim.report.summary.sentence import row_name

if TYPE_CHECKING:
    from fp4sim.report.bias_model import Bias, BiasResult


def bias_document(result: BiasResult) -> Document:
    """Figures and verdicts of every tensor; curve, zones and rounding test on demand."""
    return Document(
        title=f"Bias of {', '.join(info.short for info in result.estimators)}",
        kind="Bias of estimators",
        result=result,
        sentences=sentences_of(result),
        tiles=(
            tile(len(result.tensors), "tensor"),
            (f"{result.settings.get('draws', 0):,}", "draws of each"),
            (f"{result.settings.get('margin', 0):g}", "margin of the verdict, of |x|"),
        ),
        tables=(_tensors(result), *skipped_table(result.skipped)),
        details=tuple(_detail(result, i, k) for i in range(len(result.tensors)) for k in range(len(result.estimators))),
        pictures=pictures_of(result) if result.tensors else (),
        legend=format_legend(result.estimators),
        notes=counted([note for tensor in result.tensors for note in tensor.notes]),
        sources=result.sources,
        settings=result.settings,
    )


def bias_columns() -> tuple[Column, ...]:
    """The verdict and the numbers of a :class:`Bias`."""
    return (Column("Verdict", False, choice=True), *(Column(name) for name in NUMBERS))


def bias_cells(bias: Bias) -> tuple[Cell, ...]:
    """The cells of :func:`bias_columns`."""
    verdict = Cell(bias.verdict, VERDICTS.get(bias.verdict, ""), bias.sentence)
    reason = bias.undefined.get("relative_bias", "")
    return (verdict, *(Cell(text, title=reason if text == "–" else "") for text in numbers_of(bias)))


def bias_detail(name: str, title: str, facts: tuple[tuple[str, str], ...], bias: Bias) -> Detail:
    """The concentration curve, the zones and the test of the random bits."""
    curve = tuple(
        (
            f"{point.draws:,}",
            f"{point.error:.4g}",
            "–" if point.standard_error is None else f"{point.standard_error:.2g}",
        )
        for point in bias.curve
    )
    zones = tuple(
        (
            zone.zone,
            percent(zone.element_share),
            percent(zone.energy_share),
            estimate_text(zone.relative_bias),
            interval_text(zone.relative_bias),
            zone.verdict,
        )
        for zone in bias.zones
    )
    grids = [Grid(("draws averaged", "error of the mean", "std err"), curve, "‖mean − x‖² / ‖x‖²")] if curve else []
    if zones:
        heads = ("block scale", "elements %", "energy %", "bias ×1e−3", "95 % interval", "verdict")
        grids.append(Grid(heads, zones, "By the block's scale, relative to the zone's own norm."))
    lines = [bias.sentence]
    lines += [f"Stochastic rounding, chi-square: {rounding_text(bias.rounding)}"] if bias.rounding else []
    return Detail(name, title, facts, tuple(grids), tuple(lines))


def _tensors(result: BiasResult) -> Table:
    heads = (Column("Tensor", False), Column("Shape", False), Column("Estimator", False, choice=True))
    rows = []
    for i, tensor in enumerate(result.tensors):
        for k, (info, bias) in enumerate(zip(result.estimators, tensor.results, strict=True)):
            head = (name_cell(result.label(tensor)), Cell(shape_text(tensor.shape)), Cell(info.short))
            rows.append(Row(row_name(i, k), (*head, *bias_cells(bias)), f"d{i}-{k}"))
    return Table("tensors", "Tensors", (*heads, *bias_columns()), tuple(rows), CAPTION)


def _detail(result: BiasResult, index: int, estimator: int) -> Detail:
    tensor = result.tensors[index]
    facts = (
        ("name", tensor_name(tensor.name, FULL_NAME_LIMIT)),
        ("source", middle_cut(tensor.source, FULL_NAME_LIMIT)),
        ("elements", f"{tensor.elements:,}, {tensor.measured_elements:,} measured"),
        ("note", "; ".join(tensor.notes)),
    )
    title = f"{tensor_name(result.label(tensor), 200)}, {result.estimators[estimator].short}"
    kept = tuple((key, text) for key, text in facts if text)
    return bias_detail(f"d{index}-{estimator}", title, kept, tensor.results[estimator])
