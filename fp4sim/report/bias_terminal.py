"""A bias report in the terminal: figures and verdicts, what they say, zones, and the details under ``--verbose``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from fp4sim.report.bias_cells import (
    CAPTION,
    NUMBERS,
    VERDICTS,
    estimate_text,
    has_zones,
    interval_text,
    levels_of,
    numbers_of,
    rounding_text,
    statement,
)
from fp4sim.report.cells import UNDEFINED, count_of, percent, safe_name, settings_text
from fp4sim.report.fit import Column, fitted_table
from fp4sim.report.terminal import print_skipped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from fp4sim.report.bias_model import Bias, BiasResult

_NAME_LIMIT = 400
_HEADS = ("mse", "variance", "relative\nbias", "95 % interval\nof the bias", "1−align", "mis-\nalign")
_DROPS = (2, 3, 0, 0, 4, 5)


@dataclass(frozen=True)
class BiasView:
    """What to show: how many tensors (0: all), and the details."""

    top: int = 0
    verbose: bool = False


@dataclass(frozen=True)
class _Row:
    tensor: str
    estimator: str
    bias: Bias


def print_bias(console: Console, result: BiasResult, view: BiasView | None = None) -> None:
    """Print a bias report, tensors in the order of ``result``."""
    view = view or BiasView()
    rows = list(_rows(result, view.top))
    draws = result.settings["draws"]
    console.print(Text(f"{count_of(len(result.tensors), 'tensor')}, {count_of(draws, 'draw')} each", style="bold"))
    console.print()
    columns = [*_names(rows, console.width), *number_columns([row.bias for row in rows])]
    _print(console, columns, rows)
    console.print(Text(CAPTION, style="dim"))
    hidden = len(result.tensors) - len(result.tensors[: view.top or None])
    if hidden:
        console.print(Text(f"{count_of(hidden, 'more tensor')} not shown: --top 0 shows all", style="dim"))
    _print_statements(console, result)
    _print_zones(console, rows)
    if view.verbose:
        _print_concentration(console, result, rows)
        _print_rounding(console, rows)
    print_skipped(console, result.skipped)
    _print_legend(console, result)


def verdict_text(verdict: str) -> Text:
    """A verdict in its colour."""
    return Text(verdict, style=VERDICTS[verdict])


def number_columns(rows: Sequence[Bias]) -> list[Column]:
    """The columns of figures, the verdict last."""
    texts = [numbers_of(bias) for bias in rows]
    columns = [
        Column(head, [Text(text[i]) for text in texts], drop=_DROPS[i])
        for i, head in enumerate(_HEADS)
        if any(text[i] != UNDEFINED for text in texts) or i < len(NUMBERS) - 1
    ]
    return [*columns, Column("verdict", [verdict_text(bias.verdict) for bias in rows], numeric=False)]


def _rows(result: BiasResult, top: int) -> Iterator[_Row]:
    for tensor in result.tensors[: top or None]:
        for info, bias in zip(result.estimators, tensor.results, strict=True):
            yield _Row(result.label(tensor), info.short, bias)


def _names(rows: Sequence[_Row], width: int) -> list[Column]:
    """The columns that say whose figures a row holds, a tensor's name once."""
    firsts = {0, *_ends(rows, 1)}
    names = [Text(safe_name(row.tensor, _NAME_LIMIT) if i in firsts else "") for i, row in enumerate(rows)]
    return [
        Column("tensor", names, numeric=False, least=max(8, width // 6), cut=True),
        Column("estimator", [Text(row.estimator) for row in rows], numeric=False, least=14),
    ]


def _ends(rows: Sequence[_Row], offset: int = 0) -> list[int]:
    """Indexes of the last rows of the tensors, or ``offset`` beyond them."""
    changes = [i for i in range(len(rows) - 1) if rows[i].tensor != rows[i + 1].tensor]
    return [i + offset for i in changes]


def _print(console: Console, columns: Sequence[Column], rows: Sequence[_Row], title: str = "") -> None:
    table, dropped = fitted_table(columns, console.width, _ends(rows))
    if title:
        console.print()
        console.print(Text(title, style="bold"))
    console.print(table)
    if dropped:
        console.print(Text(f"No room for: {', '.join(dropped)} (a wider terminal or -o shows all)", style="dim"))


def _print_statements(console: Console, result: BiasResult) -> None:
    console.print()
    for i, info in enumerate(result.estimators):
        verdicts = {tensor.results[i].verdict for tensor in result.tensors}
        style = VERDICTS[verdicts.pop()] if len(verdicts) == 1 else "bold"
        console.print(Text.assemble((info.short, style), f": {statement(result, i)}"))


def _print_zones(console: Console, rows: Sequence[_Row]) -> None:
    parts = [(row, zone) for row in rows if has_zones(row.bias) for zone in row.bias.zones]
    if not parts:
        return
    owners, zones = [owner for owner, _ in parts], [zone for _, zone in parts]
    columns = [
        *_names(owners, console.width),
        Column("block\nscale", [Text(zone.zone) for zone in zones], numeric=False),
        Column("elements\n%", [Text(percent(zone.element_share)) for zone in zones], drop=1),
        Column("energy\n%", [Text(percent(zone.energy_share)) for zone in zones], drop=2),
        Column("bias", [Text(estimate_text(z.relative_bias)) for z in zones]),
        Column("95 % interval", [Text(interval_text(zone.relative_bias)) for zone in zones], drop=3),
        Column("verdict", [verdict_text(zone.verdict) for zone in zones], numeric=False),
    ]
    _print(console, columns, owners, "By the block's scale; biases ×1e−3, relative to the zone's own norm")


def _print_concentration(console: Console, result: BiasResult, rows: Sequence[_Row]) -> None:
    columns = _names(rows, console.width)
    for draws in levels_of(result.tensors):
        points = [{point.draws: point.error for point in row.bias.curve} for row in rows]
        errors = [Text(f"{found[draws]:.2e}" if draws in found else UNDEFINED) for found in points]
        columns.append(Column(f"N =\n{draws:,}", errors, drop=_level_drop(draws)))
    floors = [Text(UNDEFINED if row.bias.floor is None else f"{row.bias.floor:.1e}") for row in rows]
    columns.append(Column("floor", floors))
    _print(console, columns, rows, "Error of the mean of N draws, of |x|²; unbiased: a quarter from column to column")


def _level_drop(draws: int) -> int:
    """Which numbers of draws give way first: 4, 16, 64, ...; 1 stays."""
    return 0 if draws == 1 else max(1, 40 - draws.bit_length())


def _print_rounding(console: Console, rows: Sequence[_Row]) -> None:
    checked = [(row, row.bias.rounding) for row in rows if row.bias.rounding is not None]
    if checked:
        console.print()
        console.print(
            Text("Does stochastic rounding go up as often as the exact position says? Chi-square", style="bold")
        )
    for row, check in checked:
        name = safe_name(row.tensor, 40)
        console.print(Text(f"{name}, {row.estimator}: {rounding_text(check)}"))


def _print_legend(console: Console, result: BiasResult) -> None:
    width = max((len(info.short) for info in result.estimators), default=0)
    console.print()
    for info in result.estimators:
        notes = "".join(f"; {note}" for note in info.notes)
        line = f"{info.short:<{width}} = {info.spec}, {info.bits_per_element:g} bits per element{notes}"
        console.print(Text(line, style="dim"))
    done = dict.fromkeys(note for tensor in result.tensors for note in tensor.notes)
    for line in done:
        console.print(Text(line, style="dim"))
    reasons = {why for tensor in result.tensors for bias in tensor.results for why in bias.undefined.values()}
    if reasons:
        console.print(Text(f"{UNDEFINED} undefined: {'; '.join(sorted(reasons))}", style="dim"))
    made = f"fp4sim {result.version}, bits version {result.bits_version}, {settings_text(result.settings)}"
    console.print(Text(made, style="dim"))
