"""A comparison as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.cells import (
    UNDEFINED,
    best_rows,
    metric_text,
    middle_cut,
    number_text,
    percent,
    shape_text,
    tensor_name,
)
from fp4sim.report.html.document import Cell, Column, Detail, Document, Grid, Row, Table
from fp4sim.report.html.parts import FULL_NAME_LIMIT, counted, format_legend, name_cell, skipped_table, tile
from fp4sim.report.html.pictures import block_pictures, pictures_of
from fp4sim.report.model import METRICS
from fp4sim.report.summary import sentences_of
from fp4sim.report.summary.sentence import row_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fp4sim.report.model import CompareResult, Metrics, TensorResult

_METRICS = ("snr_db", "rel_mse", "cosine", "alignment", "max_error", "flushed", "scale_lost")
_HELP = {
    "snr_db": "10 log10 of Σx² / Σ(x̂−x)²",
    "rel_mse": "Σ(x̂−x)² / Σx², times a thousand",
    "cosine": "<x, x̂> / (|x| |x̂|)",
    "alignment": "<x, x̂> / <x, x>: below 1 the tensor shrinks",
    "max_error": "the largest |x̂−x| over the amax of its block",
    "flushed": "share of elements that became zero",
    "scale_lost": "share of blocks whose scale became zero although they hold something",
}
_BARS = " ▁▂▃▄▅▆▇█"
_CAUSES = ("rounding", "over_maximum", "flushed", "scale_zero")
_CAUSE_HEADS = ("rounding", "beyond largest code", "flushed", "scale zero")


def compare_document(result: CompareResult) -> Document:
    """Totals, every tensor under every format, and the causes of a tensor's error on demand."""
    elements = sum(tensor.elements for tensor in result.tensors)
    return Document(
        title=f"Error of {', '.join(info.short for info in result.formats)}",
        kind="Comparison of formats",
        result=result,
        sentences=sentences_of(result),
        tiles=(
            tile(len(result.tensors), "tensor"),
            tile(elements, "element"),
            tile(len(result.formats), "format"),
            *_best(result),
        ),
        tables=(_totals(result), _tensors(result), *skipped_table(result.skipped)),
        lead=1,
        details=tuple(_detail(result, i) for i in range(len(result.tensors))),
        pictures=(*pictures_of(result), *block_pictures(result)) if result.tensors else (),
        legend=format_legend(result.formats),
        notes=counted([note for tensor in result.tensors for note in tensor.notes]),
        sources=result.sources,
        settings=result.settings,
    )


def _best(result: CompareResult) -> list[tuple[str, str]]:
    values = [(total.metrics.value("snr_db"), i) for i, total in enumerate(result.totals)]
    known = [(value, -i) for value, i in values if value is not None]
    if len(known) < 2:
        return []
    value, index = max(known)
    return [(f"{number_text('snr_db', value)} dB", f"SNR of {result.formats[-index].short}, the best over all")]


def _columns(first: str) -> tuple[Column, ...]:
    metrics = (Column(f"{METRICS[n].head} {METRICS[n].arrow}".strip(), help=_HELP[n]) for n in _METRICS)
    heads = (Column("Shape", False), Column("dtype", False, choice=True), Column("Format", False, choice=True))
    return (Column(first, False), *heads, *metrics)


def _numbers(rows: Sequence[Metrics]) -> list[tuple[Cell, ...]]:
    """The metrics of rows that compete, those that are best marked."""
    best = {name: best_rows(name, rows) for name in _METRICS}
    return [
        tuple(
            Cell(metric_text(name, row), "best" if i in best[name] else "", row.undefined.get(name, ""))
            for name in _METRICS
        )
        for i, row in enumerate(rows)
    ]


def _totals(result: CompareResult) -> Table:
    bits = Column("bits / element", help="storage, block scales included")
    columns = (Column("Format", False), bits, *_columns("")[4:])
    rows = []
    numbers = _numbers([total.metrics for total in result.totals])
    for i, (info, cells) in enumerate(zip(result.formats, numbers, strict=True)):
        rows.append(Row(f"total-{i}", (Cell(info.short), Cell(f"{info.bits_per_element:g}"), *cells)))
        if len(result.tensors) > 1:
            medians = (Cell(number_text(name, result.median(i, name)), "dim") for name in _METRICS)
            rows.append(Row(f"median-{i}", (Cell(f"median, {info.short}"), Cell("", "dim"), *medians)))
    note = "Totals are ratios of sums over all elements, medians are over tensors. Best in bold; ↑ higher, ↓ lower is better."
    return Table("totals", "Formats", columns, tuple(rows), note)


def _tensors(result: CompareResult) -> Table:
    rows = []
    for i, tensor in enumerate(result.tensors):
        head = (name_cell(result.label(tensor)), Cell(shape_text(tensor.shape)), Cell(tensor.dtype))
        for k, (info, cells) in enumerate(zip(result.formats, _numbers(tensor.results), strict=True)):
            rows.append(Row(row_name(i, k), (*head, Cell(info.short), *cells), f"d{i}"))
    note = (
        "Best format of each tensor in bold. A tensor's name shows where its error comes from: shares in % of the squared"
        " error by cause, then of its blocks by their scale; bars are the codes' counts, each format by its own largest."
    )
    return Table("tensors", "Tensors", _columns("Tensor"), tuple(rows), note)


def _detail(result: CompareResult, index: int) -> Detail:
    tensor = result.tensors[index]
    facts = [
        ("name", tensor_name(tensor.name, FULL_NAME_LIMIT)),
        ("source", middle_cut(tensor.source, FULL_NAME_LIMIT)),
        ("elements", f"{tensor.elements:,}"),
        ("amax", UNDEFINED if tensor.amax is None else f"{tensor.amax:.6g}"),
        ("NaN or Inf", f"{tensor.nonfinite:,}" if tensor.nonfinite else ""),
        ("note", "; ".join(tensor.notes)),
    ]
    heads = (*_CAUSE_HEADS, "zero", "subnormal", "largest", "worst element", "codes 0 … 15")
    rows = tuple(_causes(tensor, i, info.short) for i, info in enumerate(result.formats))
    kept = tuple((key, text) for key, text in facts if text)
    return Detail(f"d{index}", tensor_name(result.label(tensor), 200), kept, (Grid(("format", *heads), rows),))


def _causes(tensor: TensorResult, index: int, name: str) -> tuple[str, ...]:
    metrics = tensor.results[index]
    shares = [metrics.error_share.get(cause) for cause in _CAUSES]
    scales = (metrics.scale_zero, metrics.scale_subnormal, metrics.scale_saturated)
    worst = "" if metrics.max_error_at is None else ", ".join(map(str, metrics.max_error_at))
    return (
        name,
        *(_share(share) for share in (*shares, *scales)),
        worst,
        _bars(metrics.occupancy),
    )


def _share(share: float | None) -> str:
    return UNDEFINED if share is None else percent(share) if share else "0"


def _bars(counts: Sequence[int]) -> str:
    """Counts as bars of text: the smallest bar for a code that occurs at all."""
    most = max(counts, default=0)
    return "".join(_BARS[-(-8 * count // most)] if most else _BARS[0] for count in counts).replace(" ", "·")
