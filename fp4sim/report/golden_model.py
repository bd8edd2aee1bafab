"""The result of ``golden check`` and ``golden run``: one verification a spec. It stands on nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from fp4sim.report.result import Result
from fp4sim.report.verify_model import VerifyResult

GOLDEN_SCHEMA = "fp4sim.golden-check/1"


@dataclass(frozen=True)
class GoldenResult(Result):
    """The verdicts over a pack or a stream, one a spec."""

    source: str
    results: tuple[VerifyResult, ...]
    schema: ClassVar[str] = GOLDEN_SCHEMA

    @property
    def ok(self) -> bool:
        """Whether every bit of every case is right."""
        return all(result.ok for result in self.results)

    @property
    def cases(self) -> int:
        """Cases compared."""
        return sum(len(result.cases) for result in self.results)

    @property
    def wrong(self) -> int:
        """Cases that are not right."""
        return sum(not case.ok for result in self.results for case in result.cases)

    def to_dict(self) -> dict[str, Any]:
        """Strict-JSON data."""
        data = super().to_dict()
        data["results"] = [result.to_dict() for result in self.results]
        return {"schema": self.schema, "ok": self.ok, "cases": self.cases, "wrong": self.wrong, **data}

    def __bool__(self) -> bool:
        return self.ok
