"""The result of ``fp4sim gemm --fit``: which models of matrix units recorded outputs obey. It stands on nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from fp4sim.report.result import Result

FIT_SCHEMA = "fp4sim.gemm-fit/1"


@dataclass(frozen=True)
class FitCase:
    """What was recorded: its name, the operands' scale format and block, the shape of the words, K, and how many were held.

    ``compared`` is less than the shape's where rows of a big product were taken at even spaces.
    """

    name: str
    operands: str
    shape: tuple[int, ...]
    depth: int
    compared: int


@dataclass(frozen=True)
class FitDifference:
    """A word that a model does not give: the case, the index in its output, what the probe shows, and both words' bits."""

    case: str
    index: tuple[int, ...]
    probe: str
    found: str
    predicted: str


@dataclass(frozen=True)
class FitModel:
    """Models that are the same rule under several names: ``differing`` of ``compared`` words are others than recorded.

    ``first``: the first word that separates them from what was recorded; ``separating``: words that do, by case.
    """

    names: tuple[str, ...]
    differing: int
    compared: int
    first: FitDifference | None
    separating: dict[str, int]


@dataclass(frozen=True)
class FitResult(Result):
    """What ``gemm --fit`` found; models by the number of differing words."""

    source: str
    cases: tuple[FitCase, ...]
    models: tuple[FitModel, ...]
    schema: ClassVar[str] = FIT_SCHEMA

    @property
    def obeyed(self) -> tuple[FitModel, ...]:
        """The models that give every word that they were held against."""
        return tuple(model for model in self.models if not model.differing)

    @property
    def ok(self) -> bool:
        """Whether there is one."""
        return bool(self.obeyed)

    def to_dict(self) -> dict[str, Any]:
        """Strict-JSON data."""
        obeyed = [name for model in self.obeyed for name in model.names]
        return {"schema": self.schema, "ok": self.ok, "obeyed": obeyed, **super().to_dict()}

    def __str__(self) -> str:
        from fp4sim.report.gemm_fit_text import fit_markdown

        return fit_markdown(self)
