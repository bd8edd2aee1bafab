"""The differences of two specs in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from fp4sim.report.cells import tensor_name
from fp4sim.report.fit import Column, fitted_table

if TYPE_CHECKING:
    from rich.console import Console

    from fp4sim.report.diff_model import Count, DiffResult, TensorDiff

_TENSORS = 20
_NAME_LIMIT = 40


def print_diff(console: Console, result: DiffResult) -> None:
    """Print rates, examples and the cause."""
    console.print(Text.assemble("a ", (result.a, "bold"), "   b ", (result.b, "bold")))
    rows = sorted(result.tensors, key=lambda row: -row.codes.rate)[:_TENSORS]
    names = [tensor_name(row.name or "x", _NAME_LIMIT) for row in rows]
    columns = [Column("tensor", [Text(name) for name in (*names, "all")], numeric=False)]
    for key in ("scales", "codes", "values"):
        counts = [*(getattr(row, key) for row in rows), getattr(result, key)]
        columns.append(Column(key, [Text(_rate(count)) for count in counts]))
    console.print(fitted_table(columns, console.width, [len(rows) - 1])[0])
    touched = f"{result.touched.differing} of {result.touched.total} tensors differ in a scale or code"
    hidden = len(result.tensors) - len(rows)
    console.print(Text(touched + (f"; {hidden} more tensors are not shown" if hidden else "")))
    first = next((row for row in rows if row.examples), None)
    if first is not None:
        console.print()
        _print_examples(console, first)
    console.print()
    console.print(Text(result.sentence, style="bold"))
    if len(result.tried) > 1:
        _print_tried(console, result)


def _rate(count: Count) -> str:
    if not count.differing:
        return "0"
    share = f"{count.rate * 1e6:.0f} ppm" if count.rate < 1e-3 else f"{count.rate:.2%}"
    return f"{count.differing} ({share})"


def _print_examples(console: Console, row: TensorDiff) -> None:
    console.print(Text(f"First differences of {tensor_name(row.name or 'x', _NAME_LIMIT)}", style="dim"))
    columns = [
        Column("index", [Text(", ".join(map(str, one.index))) for one in row.examples], numeric=False),
        Column("x", [Text(f"{one.x:.9g}") for one in row.examples]),
        Column("scale a", [Text(_byte(one.scale_a)) for one in row.examples]),
        Column("scale b", [Text(_byte(one.scale_b)) for one in row.examples]),
        Column("code a", [Text(f"{one.code_a:#x}") for one in row.examples]),
        Column("code b", [Text(f"{one.code_b:#x}") for one in row.examples]),
        Column("value a", [Text(_value(one.value_a)) for one in row.examples], drop=1),
        Column("value b", [Text(_value(one.value_b)) for one in row.examples], drop=1),
    ]
    console.print(fitted_table(columns, console.width)[0])


def _print_tried(console: Console, result: DiffResult) -> None:
    console.print(
        Text(f"Each exchanged alone, on {result.tried_on:,} elements; codes and scales that differ then:", style="dim")
    )
    columns = [
        Column("operation", [Text(one.name) for one in result.tried], numeric=False),
        Column("a", [Text(one.a) for one in result.tried], numeric=False, least=16),
        Column("b", [Text(one.b) for one in result.tried], numeric=False, least=16),
        Column("still differing", [Text(str(one.left.differing)) for one in result.tried]),
    ]
    console.print(fitted_table(columns, console.width)[0])


def _byte(code: int | None) -> str:
    return "–" if code is None else f"{code:#04x}"


def _value(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.6g}"
