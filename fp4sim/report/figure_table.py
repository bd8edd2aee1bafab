"""The list of figures: name, what it is drawn from, what to look for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from fp4sim.report.figures.registry import KINDS, Kind
from fp4sim.report.fit import Column, fitted_table
from fp4sim.report.json_text import strict_json

if TYPE_CHECKING:
    from rich.console import Console

LIST_SCHEMA = "fp4sim.figures/1"
_MEASURED = {
    "compare": "tensors, or a result of compare",
    "blocks": "tensors",
    "bias": "tensors, or a result of bias",
    "sweep": "formats alone",
    "rounding": "formats alone",
    "gemm": "two operands, or a result of gemm",
    "verify": "a dump, or a result of verify",
}


def drawn_from(kind: Kind) -> str:
    """What a kind is drawn from, in words."""
    return _MEASURED[kind.accepts[0]]


def list_json() -> str:
    """All kinds as JSON."""
    rows = [
        {
            "name": kind.name,
            "title": kind.title,
            "accepts": list(kind.accepts),
            "formats": kind.formats,
            "caption": kind.caption,
        }
        for kind in KINDS.values()
    ]
    return strict_json({"schema": LIST_SCHEMA, "figures": rows})


def print_figures(console: Console) -> None:
    """Print all kinds."""
    kinds = list(KINDS.values())
    table, _ = fitted_table(
        [
            Column("kind", [Text(kind.name, style="bold") for kind in kinds], numeric=False),
            Column("drawn from", [Text(drawn_from(kind)) for kind in kinds], numeric=False, least=14),
            Column(
                "what to look for", [Text(f"{kind.title}. {kind.caption}") for kind in kinds], numeric=False, least=40
            ),
        ],
        console.width,
    )
    console.print(table)
