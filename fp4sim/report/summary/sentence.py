"""A sentence and the rows that carry it. Rows have names that HTML uses as anchors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fp4sim.report.summary.thresholds import NAMED


@dataclass(frozen=True)
class Link:
    """Text of a sentence that stands for a row of the report's table."""

    text: str
    row: str


@dataclass(frozen=True)
class Sentence:
    """``parts`` in order; ``rows``: all that it is about; ``thresholds``: the names of those that it rests on.

    ``warning``: something that a reader should act on.
    """

    parts: tuple[str | Link, ...]
    rows: tuple[str, ...] = ()
    thresholds: tuple[str, ...] = ()
    warning: bool = False

    @property
    def text(self) -> str:
        """The sentence as plain text."""
        return "".join(part if isinstance(part, str) else part.text for part in self.parts)

    @property
    def linked(self) -> bool:
        """Whether its words lead to a row."""
        return any(isinstance(part, Link) for part in self.parts)


def row_name(item: int, variant: int = 0) -> str:
    """The name of a row: of a tensor (or case) and a format (or estimator), both counted from 0."""
    return f"r{item}-{variant}"


def named(links: Sequence[Link], limit: int = NAMED) -> Iterator[str | Link]:
    """The first of the rows as a list of links: a, b and 3 more."""
    shown = links[:limit] if len(links) != limit + 1 else links[: limit + 1]
    hidden = len(links) - len(shown)
    for i, link in enumerate(shown):
        if i:
            yield " and " if i == len(shown) - 1 and not hidden else ", "
        yield link
    if hidden:
        yield f" and {hidden:,} more"


def of_all(count: int, total: int, noun: str) -> str:
    """How many of how many: all 3 tensors, both tensors, 2 of 3 tensors, the only tensor."""
    if total == 1:
        return f"the only {noun}"
    if count == total == 2:
        return f"both {noun}s"
    return f"all {total:,} {noun}s" if count == total else f"{count:,} of {total:,} {noun}s"
