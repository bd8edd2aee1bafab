"""A comparison in the terminal: totals, tensors, what was skipped, what the names mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from fp4sim.report.cells import (
    INFINITE,
    TENSOR_METRICS,
    TOTAL_METRICS,
    UNDEFINED,
    best_rows,
    count_of,
    metric_text,
    note_lines,
    number_text,
    safe_name,
    settings_text,
    shape_text,
    tensor_name,
)
from fp4sim.report.fit import Column, fitted_table
from fp4sim.report.model import METRICS, NO_ERROR
from fp4sim.report.terminal_details import detail_tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from fp4sim.report.model import CompareResult, Skipped

_CAPTION = "e = x̂−x; relMSE = Σe²/Σx²; max |e|/block amax"
_NAME_LIMIT = 400  # beyond any terminal; keeps a 10 kB name from being measured character by character
_SKIPPED_SHOWN = 5
_SENTENCES_SHOWN = 5
_BEST = "bold green"
# What a narrow terminal leaves out first: the highest number. SNR says what effective bits say, the legend has the bits.
_DROP = {"effective_bits": 9, "bits": 8, "alignment": 7, "scale_lost": 6, "cosine": 5, "max_error": 4, "flushed": 3}
_HEADS = {"max_error": "max /amax"}  # narrower: the caption says of what
_SHORT_DTYPES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16", "float64": "fp64"}


@dataclass(frozen=True)
class View:
    """What to show: the columns (empty: the usual ones), how many tensors (0: all), and the details."""

    metrics: tuple[str, ...] = ()
    top: int = 0
    verbose: bool = False
    sort: str = "snr_db"


def print_compare(console: Console, result: CompareResult, view: View | None = None) -> None:
    """Print a comparison. The tensors come in the order of ``result``; ``view.sort`` marks their best format."""
    view = view or View()
    _print_totals(console, result, view)
    _print_tensors(console, result, view)
    if view.verbose:
        for table in detail_tables(result, console.width, view.top):
            console.print()
            console.print(table)
    print_skipped(console, result.skipped)
    _print_sentences(console, result)
    _print_legend(console, result)


def _best(text: str, is_best: bool) -> Text:
    """A cell with room for the mark, so that numbers stay aligned; the mark is there without colour too."""
    return Text(text + "*", style=_BEST) if is_best else Text(text + " ")


def _head(metric: str) -> str:
    """Two lines: the name, and its unit or second word with the arrow."""
    first, _, second = _HEADS.get(metric, METRICS[metric].head).partition(" ")
    arrow = METRICS[metric].arrow
    return f"{first} \n{second}{arrow and ' ' + arrow} " if second else f"{first} \n{arrow} "


def _print_totals(console: Console, result: CompareResult, view: View) -> None:
    medians = len(result.tensors) > 1
    totals = [total.metrics for total in result.totals]
    names: list[Text] = []
    bits: list[Text] = []
    for info in result.formats:
        names += [Text(info.short, style="bold"), Text("  median", style="dim")][: 1 + medians]
        bits += [Text(f"{info.bits_per_element:g}"), Text("")][: 1 + medians]
    columns = [
        Column("total\nof format", names, numeric=False, least=14),
        Column("bits/\nelem", bits, drop=_DROP["bits"]),
    ]
    for metric in view.metrics or TOTAL_METRICS:
        cells: list[Text] = []
        best = best_rows(metric, totals)
        for i, total in enumerate(result.totals):
            cells.append(_best(metric_text(metric, total.metrics), i in best))
            if medians:
                cells.append(Text(number_text(metric, result.median(i, metric)) + " ", style="dim"))
        columns.append(Column(_head(metric), cells, drop=_DROP.get(metric, 1)))
    table, dropped = fitted_table(columns, console.width)
    elements = sum(tensor.elements for tensor in result.tensors)
    console.print(Text(f"{count_of(len(result.tensors), 'tensor')}, {elements:,} elements", style="bold"))
    console.print()
    console.print(table)
    more = ("; medians are over tensors" if medians else "") + ("; * best" if len(result.formats) > 1 else "")
    console.print(Text(_CAPTION + more, style="dim"))
    _print_dropped(console, dropped)


def _print_tensors(console: Console, result: CompareResult, view: View) -> None:
    shown = result.tensors[: view.top or None]
    count, several = len(result.formats), len(result.formats) > 1
    metrics = view.metrics or TENSOR_METRICS
    names: list[Text] = []
    shapes: list[Text] = []
    dtypes: list[Text] = []
    formats: list[Text] = []
    for tensor in shown:
        blank = [Text("")] * (count - 1)
        names += [Text(safe_name(result.label(tensor), _NAME_LIMIT)), *blank]
        shapes += [Text(shape_text(tensor.shape), style="dim"), *blank]
        dtypes += [Text(_SHORT_DTYPES.get(tensor.dtype, tensor.dtype), style="dim"), *blank]
        best = best_rows(view.sort, tensor.results)
        formats += [_best(info.short, i in best) for i, info in enumerate(result.formats)]
    columns = [
        Column("tensor", names, numeric=False, least=2 * console.width // 5, cut=True),
        Column("shape", shapes, numeric=False, least=9, cut=True, drop=7),
        Column("dtype", dtypes, numeric=False, drop=10),
        Column("format", formats, numeric=False, least=14),
    ]
    for metric in metrics:
        cells = [Text(metric_text(metric, row) + " ") for tensor in shown for row in tensor.results]
        columns.append(Column(_head(metric), cells, drop=_DROP.get(metric, 1)))
    ends = range(count - 1, len(names), count) if several else ()
    table, dropped = fitted_table(columns, console.width, ends)
    console.print()
    console.print(table)
    _print_dropped(console, dropped)
    hidden = len(result.tensors) - len(shown)
    if hidden:
        console.print(Text(f"{hidden:,} more tensors are not shown: --top 0 shows all", style="dim"))


def _print_dropped(console: Console, dropped: Sequence[str]) -> None:
    if dropped:
        console.print(Text(f"No room for: {', '.join(dropped)} (choose with --metrics)", style="dim"))


def print_skipped(console: Console, skipped: Sequence[Skipped]) -> None:
    """What was left out: one line a reason, with the first names."""
    if not skipped:
        return
    names: dict[str, list[str]] = {}
    for one in skipped:
        names.setdefault(safe_name(one.reason, _NAME_LIMIT), []).append(one.name)
    console.print()
    console.print(Text(f"Skipped {count_of(len(skipped), 'tensor')}:"))
    for reason, group in list(names.items())[:_SKIPPED_SHOWN]:
        some = ", ".join(tensor_name(name, 60) for name in group[:_SKIPPED_SHOWN])
        line = Text(f"  {reason} ({len(group):,}): {some}{', …' if len(group) > _SKIPPED_SHOWN else ''}", style="dim")
        line.truncate(console.width, overflow="ellipsis")
        console.print(line)
    more = len(names) - _SKIPPED_SHOWN
    if more > 0:
        console.print(Text(f"  and for {more:,} more reasons", style="dim"))


def _print_sentences(console: Console, result: CompareResult) -> None:
    """What it means, in sentences; nothing where the data says nothing."""
    from fp4sim.report.summary import sentences_of

    sentences = sentences_of(result)
    if sentences:
        console.print()
    for sentence in sentences[:_SENTENCES_SHOWN]:
        console.print(Text(f"• {sentence.text}"))
    if len(sentences) > _SENTENCES_SHOWN:
        console.print(Text(f"  and {len(sentences) - _SENTENCES_SHOWN:,} more sentences (-o report.html)", style="dim"))


def _print_legend(console: Console, result: CompareResult) -> None:
    width = max((len(info.short) for info in result.formats), default=0)
    console.print()
    for info in result.formats:
        notes = "".join(f"; {note}" for note in info.notes)
        line = f"{info.short:<{width}} = {info.spec}, {info.bits_per_element:g} bits per element{notes}"
        console.print(Text(line, style="dim"))
    for line in note_lines(result):
        console.print(Text(line, style="dim"))
    undefined = {reason for tensor in result.tensors for row in tensor.results for reason in row.undefined.values()}
    if NO_ERROR in undefined:
        console.print(Text(f"{INFINITE} {NO_ERROR}", style="dim"))
    undefined.discard(NO_ERROR)
    if undefined:
        console.print(Text(f"{UNDEFINED} undefined: {'; '.join(sorted(undefined))}", style="dim"))
    nonfinite = sum(tensor.nonfinite for tensor in result.tensors)
    if nonfinite:
        console.print(Text(f"{count_of(nonfinite, 'element')} not finite", style="bold yellow"))
    made = f"fp4sim {result.version}, bits version {result.bits_version}, {settings_text(result.settings)}"
    console.print(Text(made, style="dim"))
