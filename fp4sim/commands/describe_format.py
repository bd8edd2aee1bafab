"""What ``fp4sim formats`` says: small floats and the meaning of each of their codes."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from fp4sim.errors import UsageError
from fp4sim.floats import CASTS, ELEMENTS, SCALES, FloatFormat, Specials, element_format, scale_format
from fp4sim.io.files import shown
from fp4sim.rounding import Rounding, midpoints, tie_winner

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEMA = "fp4sim.formats/1"
LISTED_BITS = 8  # wider formats have too many codes to read

_NAME = re.compile(r"(\w+?)(?::max=(\d{1,9}))?", re.ASCII)


@dataclass(frozen=True)
class CodeRow:
    """One code: its fields as 0b1_00_1, its value (None with ``special`` for NaN and Inf).

    ``midpoint``: halfway to the next larger magnitude, with the code's own sign; ``tie_to``: the code that it rounds to
    under round-to-nearest-even. Both None at the largest magnitude.
    """

    code: int
    fields: str
    value: float | None
    special: str | None
    midpoint: float | None
    tie_to: int | None


@dataclass(frozen=True)
class FormatRow:
    """A format in numbers. ``codes`` is None where they were not asked for or are too many to list."""

    name: str
    role: str  # element, operand or scale
    signed: bool
    bits: int
    exponent_bits: int
    mantissa_bits: int
    bias: int
    max: float
    min_normal: float | None
    smallest: float
    specials: str
    note: str
    codes: tuple[CodeRow, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Strict-JSON data."""
        return asdict(self)


def list_formats() -> tuple[FormatRow, ...]:
    """Every named format, without codes: elements, operands, scale encodings."""
    groups = (("element", ELEMENTS), ("operand", CASTS), ("scale", SCALES))
    return tuple(_row(fmt, role) for role, group in groups for fmt in group)


def describe_format(name: str) -> FormatRow:
    """One format with its codes, if it has at most 8 bits.

    ``name``: an element or operand format, a scale encoding (``ue4m3`` is e4m3 without a sign), ``ue5m3:max=61440`` or
    any ``eXmY`` that a scale may use. Raises UsageError.
    """
    fmt, role = _find("".join(name.lower().split()))
    return _row(fmt, role, _codes(fmt) if fmt.bits <= LISTED_BITS else None)


def _find(name: str) -> tuple[FloatFormat, str]:
    match = _NAME.fullmatch(name)
    if not match:
        raise UsageError(f"format '{shown(name, 40)}' is not a name; {_known()}")
    base, maximum = match[1], int(match[2]) if match[2] else None
    if maximum is None:
        for role, group in (("element", ELEMENTS), ("operand", CASTS)):
            if base in {fmt.name for fmt in group}:
                return element_format(base), role
    for candidate in (base, base.removeprefix("u")):
        try:
            return scale_format(candidate, maximum), "scale"
        except UsageError as error:
            if maximum is not None:
                raise UsageError(f"{error}") from None
    raise UsageError(f"no format '{shown(name, 40)}'; {_known()}")


def _known() -> str:
    named = dict.fromkeys(fmt.name for fmt in ELEMENTS + CASTS + SCALES)
    return (
        f"there are {' '.join(named)}, ue4m3 and the like without a sign, and eXmY with X+Y <= 8"
        " (block formats such as nvfp4: fp4sim spec nvfp4)"
    )


def _row(fmt: FloatFormat, role: str, codes: Sequence[CodeRow] | None = None) -> FormatRow:
    return FormatRow(
        name=fmt.name,
        role=role,
        signed=fmt.signed,
        bits=fmt.bits,
        exponent_bits=fmt.exponent_bits,
        mantissa_bits=fmt.mantissa_bits,
        bias=fmt.bias,
        max=fmt.max,
        min_normal=fmt.min_normal if fmt.exponent_bits else None,
        smallest=fmt.smallest,
        specials={Specials.NONE: "none", Specials.NAN: "NaN", Specials.IEEE: "Inf, NaN"}[fmt.specials],
        note=fmt.note,
        codes=None if codes is None else tuple(codes),
    )


def _codes(fmt: FloatFormat) -> list[CodeRow]:
    halves = midpoints(fmt)
    rows = []
    for code in range(1 << fmt.bits):
        magnitude, value = code & ~fmt.sign_mask, fmt.value(code)
        sign = -1.0 if code & fmt.sign_mask else 1.0
        inner = magnitude < fmt.max_code
        rows.append(
            CodeRow(
                code=code,
                fields=bit_fields(fmt, code),
                value=value if math.isfinite(value) else None,
                special=_special(value),
                midpoint=sign * float(halves[magnitude]) if inner else None,
                tie_to=tie_winner(magnitude, Rounding.RN) | (code & fmt.sign_mask) if inner else None,
            )
        )
    return rows


def _special(value: float) -> str | None:
    if math.isnan(value):
        return "NaN"
    return ("Inf" if value > 0 else "-Inf") if math.isinf(value) else None


def bit_fields(fmt: FloatFormat, code: int) -> str:
    """A code in binary with its fields parted: sign, exponent, mantissa, as far as the format has them."""
    widths = (int(fmt.signed), fmt.exponent_bits, fmt.mantissa_bits)
    digits, fields, at = f"{code:0{fmt.bits}b}", [], 0
    for width in widths:
        fields.append(digits[at : at + width])
        at += width
    return "0b" + "_".join(field for field in fields if field)
