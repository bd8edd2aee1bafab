"""What a table of published figures is made of: data rows, grouped by how they are measured. No numerics here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Data:
    """What is quantized: a generator of :mod:`fp4sim.reproduce.data`, its shape and its parameters."""

    name: str
    rows: int = 2048
    columns: int = 2048
    parameters: tuple[float, ...] = ()


GAUSSIAN = Data("gaussian")


@dataclass(frozen=True)
class Row:
    """One published figure, as printed ("" where there is none), and what measures it here.

    ``quantity``, ``data``: where they differ from the plan's. ``at``: the place on a curve (draws averaged).
    ``arguments``: of a fact. ``draws``, ``margin``: of a bias, where they differ from the plan's. ``reason``: why a
    difference is expected. ``note``: shown always. ``shape``: the data are not the paper's, so a difference is not judged.
    ``exact``: nothing but the printed number will do.
    """

    label: str
    published: str = ""
    spec: str = ""
    quantity: str = ""
    data: Data | None = None
    at: int = 0
    arguments: tuple[Any, ...] = ()
    draws: int = 0
    margin: float = 0.0
    reason: str = ""
    note: str = ""
    shape: bool = False
    exact: bool = False


@dataclass(frozen=True)
class ErrorPlan:
    """A quantity of :mod:`fp4sim.reproduce.quantities`, averaged over independent repeats of data and draw.

    ``published_draws``: how many independent tensors of this size stand behind the published figure, whose own standard
    error is then counted; 0: taken as exact.
    """

    data: Data = GAUSSIAN
    quantity: str = "rel_mse"
    published_draws: int = 0
    repeats: int = 8
    quick: int = 5


@dataclass(frozen=True)
class GemmPlan:
    """The relative squared error of a mean of B products A Bᵀ, both operands quantized anew in each.

    ``shape``: (M, K, N). ``bits``: as −log2(error)/2, else as 1e3 times the error. ``sparsity``: share of zeros in A.
    """

    shape: tuple[int, int, int] = (1024, 1024, 1024)
    draws: int = 256
    quick: int = 64
    bits: bool = True
    sparsity: float = 0.0
    published_draws: int = 0


@dataclass(frozen=True)
class BiasPlan:
    """The verdict of ``fp4sim bias`` on one tensor; ``published`` of a row is what is claimed: biased or unbiased."""

    data: Data
    draws: int = 1024
    margin: float = 1e-4
    quick_draws: int = 256
    quick_margin: float = 1e-2


@dataclass(frozen=True)
class FactPlan:
    """A function of :mod:`fp4sim.reproduce.facts`, named by a row's ``quantity``."""


@dataclass(frozen=True)
class NoPlan:
    """Nothing is measured: each row says why."""


Plan = ErrorPlan | GemmPlan | BiasPlan | FactPlan | NoPlan


@dataclass(frozen=True)
class Section:
    """Rows under one plan. ``source``: where the published figures stand. ``text``: the definition, where the plan has none."""

    title: str
    source: str
    plan: Plan
    rows: tuple[Row, ...]
    text: str = ""


@dataclass(frozen=True)
class Table:
    """A table by name."""

    name: str
    title: str
    sections: tuple[Section, ...]
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class ReproduceSettings:
    """``quick``: fewer repeats and draws, and wider margins."""

    quick: bool = False
    seed: int = 0
    threads: int | None = None

    def recorded(self) -> dict[str, Any]:
        """What a report repeats: threads change no digit and are left out."""
        return {"quick": self.quick, "seed": self.seed}


@dataclass(frozen=True)
class Measurement:
    """What came out for a row: the number in the published unit, its standard error, and how much it rests on.

    ``scatter``: standard deviation of one repeat, where repeats are tensors. ``text``: to show in place of the number.
    ``outcome``: where it is not decided by the number.
    """

    value: float | None
    error: float | None = None
    scatter: float | None = None
    draws: int = 0
    elements: int = 0
    text: str = ""
    notes: tuple[str, ...] = ()
    outcome: str = ""
