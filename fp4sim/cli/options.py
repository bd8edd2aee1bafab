"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class OnNonfinite(StrEnum):
    """What to do with NaN and Inf."""

    error = "error"
    propagate = "propagate"
    ignore = "ignore"


class OnDevice(StrEnum):
    """Where the work on tensors is done."""

    cpu = "cpu"
    cuda = "cuda"


Include = Annotated[
    list[str] | None,
    typer.Option("--include", metavar="GLOB", help="Take only tensors whose name matches; repeatable."),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option("--exclude", metavar="GLOB", help="Leave out tensors whose name matches; repeatable."),
]
InputDtype = Annotated[
    str | None,
    typer.Option("--dtype", metavar="DTYPE", help="Read raw integers as this type, e.g. uint16 as bfloat16."),
]
Axis = Annotated[int, typer.Option("--axis", metavar="N", help="The axis along which blocks run.")]
Seed = Annotated[int, typer.Option("--seed", min=0, metavar="N", help="Key of the random bits of stochastic rounding.")]
Nonfinite = Annotated[
    OnNonfinite,
    typer.Option(
        "--nonfinite",
        help="NaN and Inf: stop with an error, propagate as the arithmetic does, or ignore (drop and count).",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, metavar="N", help="Worker threads; changes no digit.  [default: all processors]"),
]
Device = Annotated[
    OnDevice, typer.Option("--device", help="Work on the CPU, or on a CUDA GPU with CuPy: the same bits.")
]
Json = Annotated[bool, typer.Option("--json", help="Print strict JSON to stdout and nothing else.")]
