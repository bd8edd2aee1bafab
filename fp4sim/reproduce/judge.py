"""Does a measured number agree with a printed one? Within 3 standard errors and one unit of the last printed digit."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from fp4sim.errors import UsageError

SIGMAS = 3.0
_NUMBER = re.compile(r"([+-]?)(\d*)\.?(\d*)(?:e([+-]?\d+))?")
_EXACT_DIGITS = 4  # shown of a number that is published as a bare 0
_ZERO = 1e-6  # what sums of float32 values leave of a bare 0


@dataclass(frozen=True)
class Printed:
    """A number as it is printed: its value, the unit of its last digit (1e-6 for a bare "0"), its decimals and exponent."""

    value: float
    unit: float
    decimals: int
    exponent: int | None

    @classmethod
    def parse(cls, text: str) -> Printed:
        """Read "27.7", ".0044" or "2.77e-2". Raises UsageError for anything else."""
        match = _NUMBER.fullmatch(text)
        if match is None or not (match[2] or match[3]):
            raise UsageError(f"'{text}' is not a printed number")
        exponent = None if match[4] is None else int(match[4])
        value, decimals = float(text), len(match[3])
        unit = _ZERO if text == "0" else 10.0 ** ((exponent or 0) - decimals)
        return cls(value, unit, decimals, exponent)

    def show(self, value: float) -> str:
        """A measured number with one digit more, in the same notation."""
        if self.unit == _ZERO and not self.value:
            return f"{value:.{_EXACT_DIGITS}f}" if abs(value) >= 10**-_EXACT_DIGITS else f"{value:.1e}"
        if self.exponent is None:
            return f"{value:.{self.decimals + 1}f}"
        return f"{value / 10.0**self.exponent:.{self.decimals + 1}f}e{self.exponent}"


def is_number(text: str) -> bool:
    """Whether a published text is a number that can be judged."""
    match = _NUMBER.fullmatch(text)
    return match is not None and bool(match[2] or match[3])


def tolerance(printed: Printed, error: float | None, published_error: float = 0.0) -> float:
    """How far a measured value may lie from the printed one."""
    return SIGMAS * math.hypot(error or 0.0, published_error) + printed.unit


def agrees(printed: Printed, value: float, allowed: float) -> bool:
    """Whether the distance is allowed; a hair's breadth more is, for decimals that binary cannot hold."""
    return math.isfinite(value) and abs(value - printed.value) <= allowed * (1 + 1e-9)
