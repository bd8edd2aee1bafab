"""The result of ``fp4sim diff``: where the bits of two specs differ, and by which operation. It stands on nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from fp4sim.report.model import Skipped
from fp4sim.report.result import Result

DIFF_SCHEMA = "fp4sim.diff/1"


@dataclass(frozen=True)
class Count:
    """How many of how many differ."""

    differing: int
    total: int

    @property
    def rate(self) -> float:
        """The share that differs."""
        return self.differing / self.total if self.total else 0.0

    def __add__(self, other: Count) -> Count:
        return Count(self.differing + other.differing, self.total + other.total)


@dataclass(frozen=True)
class Example:
    """One element: what it is, and its block scale (byte), code and value under each spec."""

    index: tuple[int, ...]
    x: float
    scale_a: int | None
    scale_b: int | None
    code_a: int
    code_b: int
    value_a: float | None
    value_b: float | None


@dataclass(frozen=True)
class TensorDiff:
    """One tensor under both specs."""

    name: str
    source: str
    shape: tuple[int, ...]
    dtype: str
    scales: Count
    codes: Count
    values: Count
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True)
class Operation:
    """One thing in which the specs differ, and what is left of the differences once ``a`` has it from ``b``."""

    name: str
    a: str
    b: str
    left: Count


@dataclass(frozen=True)
class DiffResult(Result):
    """What ``diff`` found. ``causes``: the smallest set of operations found that explains every difference that was tried.

    ``tried``: every operation in which the two differ, exchanged alone. ``tried_on``: elements it was tried on.
    """

    a: str
    b: str
    tensors: tuple[TensorDiff, ...]
    scales: Count
    codes: Count
    values: Count
    touched: Count
    causes: tuple[str, ...]
    sentence: str
    tried: tuple[Operation, ...]
    tried_on: int
    skipped: tuple[Skipped, ...]
    sources: tuple[str, ...]
    schema: ClassVar[str] = DIFF_SCHEMA

    def to_dict(self) -> dict[str, Any]:
        """Strict-JSON data."""
        data = super().to_dict()
        rows = [(data, self), *zip(data["tensors"], self.tensors, strict=True)]
        for row, found in rows:
            for key in ("scales", "codes", "values"):
                row[key]["rate"] = getattr(found, key).rate
        return data
