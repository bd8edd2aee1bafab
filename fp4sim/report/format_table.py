"""Formats in the terminal: a summary of all, or the codes of one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.text import Text

from fp4sim.report.fit import Column, fitted_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from fp4sim.commands.describe_format import CodeRow, FormatRow

_LIST_WHOLE = 5  # bits up to which a listing repeats the negative half


def print_formats(console: Console, rows: Sequence[FormatRow]) -> None:
    """Print every format on a line."""
    columns = [
        Column("format", [Text(row.name, style="bold") for row in rows], numeric=False),
        Column("role", [Text(row.role) for row in rows], numeric=False),
        Column("bits", [Text(str(row.bits)) for row in rows]),
        Column("e/m/bias", [Text(f"{row.exponent_bits}/{row.mantissa_bits}/{row.bias}") for row in rows]),
        Column("max", [Text(_value(row.max)) for row in rows]),
        Column("min normal", [Text("–" if row.min_normal is None else _value(row.min_normal)) for row in rows], drop=2),
        Column("smallest", [Text(_value(row.smallest)) for row in rows]),
        Column("specials", [Text(row.specials) for row in rows], numeric=False, drop=1),
        Column("note", [Text(row.note, style="dim") for row in rows], numeric=False, least=20),
    ]
    ends = [i - 1 for i in range(1, len(rows)) if rows[i].role != rows[i - 1].role]
    table, _ = fitted_table(columns, console.width, ends)
    console.print(table)
    console.print()
    note = "Elements and operands have a sign bit, scale encodings none. fp4sim formats NAME lists the codes."
    console.print(Text(note, style="dim"))


def print_format(console: Console, row: FormatRow, *, negative: bool = False) -> None:
    """Print one format: its numbers, then its codes. ``negative``: also the codes with the sign bit set."""
    sign = "1 sign, " if row.signed else ""
    console.print(Text(f"{row.name}: {row.note}" if row.note else row.name, style="bold"))
    console.print(
        Text(f"{row.bits} bits: {sign}{row.exponent_bits} exponent, {row.mantissa_bits} mantissa; bias {row.bias}")
    )
    normal = "" if row.min_normal is None else f"smallest normal {_value(row.min_normal)}, "
    console.print(Text(f"max {_value(row.max)}, {normal}smallest {_value(row.smallest)}; specials: {row.specials}"))
    if row.codes is None:
        console.print(Text(f"2^{row.bits} codes are too many to list", style="dim"))
        return
    half = len(row.codes) // 2
    hide = row.signed and row.bits > _LIST_WHOLE and not negative
    console.print()
    console.print(_code_table(row.codes[:half] if hide else row.codes, console.width))
    if hide:
        console.print(Text(f"The {half} codes with the sign bit set are the negatives: --all lists them", style="dim"))


def _code_table(codes: Sequence[CodeRow], width: int) -> object:
    columns = [
        Column("code", [Text(str(code.code)) for code in codes]),
        Column("hex", [Text(f"0x{code.code:x}") for code in codes]),
        Column("bits", [Text(code.fields) for code in codes], numeric=False),
        Column("value", [Text(code.special or _number(code.value), style="bold") for code in codes]),
        Column("midpoint to next", [Text(_number(code.midpoint)) for code in codes]),
        Column("tie to code", [Text("" if code.tie_to is None else str(code.tie_to)) for code in codes]),
    ]
    return fitted_table(columns, width)[0]


def _number(value: float | None) -> str:
    return "" if value is None else _value(value)


def _value(value: float) -> str:
    """A value of a format: exact in few characters, as a power of two where decimals would be long."""
    text = repr(value).removesuffix(".0")
    if len(text) <= 9:
        return text
    fraction, exponent = math.frexp(abs(value))
    significand = f"{2 * fraction:g}×" if fraction != 0.5 else ""
    sign = "-" if value < 0 else ""
    exact = float(f"{2 * fraction:g}") == 2 * fraction
    return f"{sign}{significand}2^{exponent - 1}" if exact else f"{value:.6g}"
