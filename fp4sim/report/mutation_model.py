"""The result of a mutation test of a check: plain frozen records that stand on nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from fp4sim.report.result import Result

SCHEMA = "fp4sim.mutations/1"

Status = Literal["caught", "missed", "no effect", "not possible"]


@dataclass(frozen=True)
class MutantRow:
    """One faulty kernel before the check. ``caught`` and ``missed`` count; the others cannot be told from the right one."""

    name: str
    about: str
    status: Status
    detail: str = ""


@dataclass(frozen=True)
class MutationResult(Result):
    """Which faulty kernels a check would have caught. ``accepts_correct``: it lets the right output pass."""

    spec: str
    short: str
    check: str
    part: str
    accepts_correct: bool
    rows: tuple[MutantRow, ...]
    schema: ClassVar[str] = SCHEMA

    @property
    def caught(self) -> tuple[str, ...]:
        """Names of the mutants that the check refuses."""
        return tuple(row.name for row in self.rows if row.status == "caught")

    @property
    def missed(self) -> tuple[str, ...]:
        """Names of the mutants that pass."""
        return tuple(row.name for row in self.rows if row.status == "missed")

    @property
    def score(self) -> float:
        """Caught over caught and missed; 0 for a check that refuses the right output, which tells nothing apart."""
        told = len(self.caught) + len(self.missed)
        return len(self.caught) / told if told and self.accepts_correct else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Strict-JSON data."""
        data = super().to_dict()
        data["score"], data["caught"], data["missed"] = self.score, list(self.caught), list(self.missed)
        return data

    def __str__(self) -> str:
        from fp4sim.report.mutation_text import mutation_text

        return mutation_text(self)
