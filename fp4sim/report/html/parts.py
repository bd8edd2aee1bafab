"""What the pages of several kinds share."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from fp4sim.report.cells import count_of, middle_cut, tensor_name
from fp4sim.report.html.document import Cell, Column, Row, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fp4sim.report.model import FormatInfo, Skipped

NAME_LIMIT = 90  # in tables; details have more
FULL_NAME_LIMIT = 1000
VERDICTS = {"biased": "bad", "unbiased": "good", "undecided": "dim"}


def tile(count: int, noun: str) -> tuple[str, str]:
    """A count and what it counts, for a tile."""
    return f"{count:,}", noun if count == 1 else f"{noun}s"


def name_cell(name: str) -> Cell:
    """A name of a tensor or case in a table."""
    return Cell(tensor_name(name, NAME_LIMIT))


def format_legend(infos: Sequence[FormatInfo]) -> tuple[tuple[str, str], ...]:
    """What the short names mean: canonical spec, bits, notes."""
    return tuple(
        (info.short, "; ".join((info.spec, f"{info.bits_per_element:g} bits an element", *info.notes)))
        for info in infos
    )


def skipped_table(skipped: Sequence[Skipped]) -> tuple[Table, ...]:
    """What was not compared, and why; nothing where nothing was."""
    if not skipped:
        return ()
    columns = (Column("Tensor", numeric=False), Column("Source", numeric=False), Column("Reason", False, choice=True))
    rows = tuple(
        Row(f"skipped-{i}", (name_cell(one.name), Cell(middle_cut(one.source, NAME_LIMIT)), Cell(one.reason)))
        for i, one in enumerate(skipped)
    )
    return (Table("skipped", f"{count_of(len(skipped), 'tensor')} not compared", columns, rows),)


def counted(notes: Sequence[str], noun: str = "tensor") -> tuple[str, ...]:
    """Notes, each once, with how many tensors have it."""
    return tuple(f"{note}: {count_of(count, noun)}" for note, count in Counter(notes).items())
