"""The error of a product as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.cells import settings_text
from fp4sim.report.gemm_cells import (
    CAPTION,
    HEADS,
    numbers_of,
    operand_lines,
    split_text,
    statement,
    title,
    worst_text,
)
from fp4sim.report.markdown import code, escaped, table

if TYPE_CHECKING:
    from fp4sim.report.gemm_model import GemmErrors


def gemm_markdown(result: GemmErrors) -> str:
    """The table, what it says of each pair of formats, and how the parts add up."""
    heads = [head.replace("\n", " ") for head in HEADS]
    rows = [[code(row.short), *numbers_of(row)] for row in result.formats]
    said = []
    for row in result.formats:
        said.append(f"- {code(row.short)}: {escaped(statement(row))}")
        said += [f"  - {escaped(line)}" for line in (worst_text(row),) if line]
        said += [f"  - relMSE {split_text(row)}"] if split_text(row) else []
    infos = {info.spec: info for row in result.formats for info in (row.a, row.b)}
    legend = [f"- {escaped(line)}" for line in (*operand_lines(result), *result.notes)]
    legend += [
        f"- {code(info.short)} is {code(info.spec)}{''.join(f'; {escaped(note)}' for note in info.notes)}"
        for info in infos.values()
    ]
    parts = [
        f"### Error of {title(result)}",
        table(["Formats", *heads], 1, rows),
        CAPTION,
        "\n".join(said),
        "\n".join(legend),
        f"fp4sim {result.version}, bits version {result.bits_version}, {settings_text(result.settings)}",
    ]
    return "\n\n".join(parts) + "\n"
