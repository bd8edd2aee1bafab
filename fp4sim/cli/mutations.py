"""``fp4sim mutations``: which faulty kernels a tolerance would have caught."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fp4sim.cli.options import Axis, Json, Seed
from fp4sim.cli.output import Output

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fp4sim.testing.mutation import Part
    from fp4sim.testing.tolerance import Tolerance

Atol = Annotated[float | None, typer.Option("--atol", metavar="X", help="Your test's absolute tolerance on elements.")]
Rtol = Annotated[float | None, typer.Option("--rtol", metavar="X", help="Your test's relative tolerance on elements.")]
Cosine = Annotated[float | None, typer.Option("--cosine", metavar="X", help="Your test's least cosine similarity.")]
MinScore = Annotated[
    float | None, typer.Option("--min-score", metavar="SHARE", help="Exit with 1 if fewer are caught, e.g. 0.9.")
]


class Compared(StrEnum):
    """What the tolerance is applied to."""

    dequantized = "dequantized"
    product = "product"


def mutations(
    source: Annotated[
        str | None,
        typer.Argument(metavar="[SOURCE]", help="The test's input: its first tensor.  [default: 128x256 normal, bf16]"),
    ] = None,
    spec: Annotated[str, typer.Option("--spec", "-s", metavar="SPEC", help="What the kernel computes.")] = "nvfp4",
    atol: Atol = None,
    rtol: Rtol = None,
    mismatched: Annotated[
        float, typer.Option("--mismatched", metavar="SHARE", help="Share of elements that may exceed those.")
    ] = 0.0,
    cosine: Cosine = None,
    rel_error: Annotated[
        float | None, typer.Option("--rel-error", metavar="X", help="Your test's largest relative error of the norm.")
    ] = None,
    part: Annotated[
        Compared, typer.Option("--part", help="What your test compares: decoded values, or a GEMM's output of them.")
    ] = Compared.dequantized,
    min_score: MinScore = None,
    axis: Axis = -1,
    seed: Seed = 0,
    output: Output = None,
    json: Json = False,
) -> None:
    """Test your test: which faulty kernels would its tolerance have let pass?

    Without a tolerance bits must be equal, which catches every one that can be told apart.
    """
    from fp4sim.cli.output import check_outputs
    from fp4sim.testing.tolerance import Tolerance

    check = Tolerance(atol, rtol, mismatched, cosine, rel_error)
    x = None if source is None else _first_tensor(source)
    check_outputs(output or (), () if source is None else (source,))
    run_mutations(check, spec, x, part.value, min_score, axis=axis, seed=seed, output=output or (), as_json=json)


def run_mutations(
    check: Tolerance,
    spec: str,
    x: NDArray[Any] | None,
    part: Part,
    min_score: float | None,
    *,
    axis: int,
    seed: int,
    output: Sequence[Path] = (),
    as_json: bool = False,
) -> None:
    """Score a tolerance, show and write the result; exits with 1 below ``min_score``. Raises UsageError."""
    from fp4sim.cli.console import complain, emit
    from fp4sim.cli.output import print_json, write_outputs
    from fp4sim.errors import ExitCode, UsageError
    from fp4sim.testing.mutation import default_input, mutation_score

    if min_score is not None and not 0 <= min_score <= 1:
        raise UsageError(f"--min-score {min_score:g}: a share from 0 to 1")
    given = default_input(seed) if x is None else x
    result = mutation_score(check, spec=spec, x=given, part=part, axis=axis, seed=seed)
    write_outputs(result, output)
    if as_json:
        print_json(result)
    else:
        emit(str(result))
    if min_score is not None and result.score < min_score:
        complain(f"mutation score {result.score:.3g} is below {min_score:g}: {len(result.missed)} faulty kernels pass")
        raise typer.Exit(ExitCode.MISMATCH)


def _first_tensor(source: str) -> NDArray[Any]:
    """The first float tensor of at least two axes. Raises NothingComparedError where there is none."""
    from fp4sim.errors import NothingComparedError
    from fp4sim.io.files import shown
    from fp4sim.io.source import open_source
    from fp4sim.panels import is_float

    with open_source(source) as opened:
        for tensor in opened.tensors():
            if is_float(tensor.info.dtype) and len(tensor.info.shape) > 1 and tensor.info.size:
                return tensor.read_all()
    raise NothingComparedError(f"{shown(source)}: no float tensor of at least 2 axes to test with")
