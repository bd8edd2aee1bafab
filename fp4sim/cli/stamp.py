"""Provenance of a result: what the command was, when it ran, and which files it read."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    import typer

    from fp4sim.report.result import Result

    R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Invocation:
    """How the command line was called, and when."""

    words: tuple[str, ...] = ()
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    clock: float = field(default_factory=time.perf_counter)

    @classmethod
    def of(cls, words: Sequence[str] | None) -> Invocation:
        """The call with these arguments; None: the process's own."""
        return cls(tuple(sys.argv[1:] if words is None else words))


def stamped(result: R, context: typer.Context, sources: Sequence[str], *, hashed: bool = True) -> R:
    """The result with its input files and its run, and no folder of an absolute path in it.

    ``sources``: files and folders that were read. ``hashed``: take their SHA-256, which reads them once more.
    """
    from fp4sim.report.provenance import input_files, run_of, with_short_sources

    call = context.find_root().obj
    call = call if isinstance(call, Invocation) else Invocation()
    files = input_files(sources, hashed=hashed)
    seconds = time.perf_counter() - call.clock
    return replace(with_short_sources(result), files=files, run=run_of(call.words, call.started, seconds))
