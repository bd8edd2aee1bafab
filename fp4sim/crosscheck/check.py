"""What a check is: a name, what it needs, and a function from a device to an outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fp4sim.report.verify_model import Count

if TYPE_CHECKING:
    from fp4sim.crosscheck.device import Device


@dataclass(frozen=True)
class Effort:
    """How much to compare: ``patterns`` float32 patterns, each ``stride`` (odd) after the last, and ``elements`` of tensors.

    ``compiled``: whether the host's side may be compiled, which takes longer than the reference needs for little data.
    """

    name: str
    patterns: int
    stride: int
    elements: int
    compiled: bool = True


FULL = Effort("full", 1 << 32, 1, 1 << 24)
QUICK = Effort("quick", 1 << 22, 1025, 1 << 18, compiled=False)


@dataclass(frozen=True)
class Outcome:
    """What a check found; it passed if nothing that was counted is wrong. Fields as in CheckResult."""

    counts: dict[str, Count]
    answer: str = ""
    diagnosis: tuple[str, ...] = ()
    raw: dict[str, str] = field(default_factory=dict)

    @property
    def compared(self) -> int:
        """Over all parts."""
        return sum(count.total for count in self.counts.values())


class SkipCheckError(Exception):
    """Raised by a check that finds out that it cannot run here; the message is the reason."""


@dataclass(frozen=True)
class Check:
    """One check.

    ``sources``: CUDA sources that it launches, whose targets the device must be among. ``least``: the least compute
    capability. ``package``: a Python module that must be installed. ``on_request``: left out unless asked for.
    """

    name: str
    title: str
    run: Callable[[Device, Effort], Outcome]
    sources: tuple[str, ...] = ()
    least: tuple[int, int] = (7, 5)
    package: str = ""
    on_request: bool = False
