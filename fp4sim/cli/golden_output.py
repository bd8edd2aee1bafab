"""Where the verdict over a golden pack goes: the terminal or JSON, files by their suffix, JUnit, and GitHub's own places."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fp4sim.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fp4sim.report.golden_model import GoldenResult

Layout = Annotated[str, typer.Option("--layout", metavar="NAME", help="Of the block scales: auto, linear, 128x4, 8x4.")]
Junit = Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Also write a JUnit .xml.")]


def check_targets(output: Sequence[Path], junit: Path | None) -> None:
    """Refuse what could not be written in the end. Raises UsageError."""
    from fp4sim.cli.output import check_outputs

    check_outputs(output)
    check_outputs([junit] if junit else [], (), (".xml",))


def finish(
    result: GoldenResult,
    context: typer.Context,
    sources: Sequence[str],
    output: Sequence[Path],
    junit: Path | None,
    *,
    as_json: bool,
) -> None:
    """Show and write a verdict over what was read from ``sources``; exits with 1 where anything is wrong."""
    from fp4sim.cli.console import emit
    from fp4sim.cli.output import print_json, write_outputs
    from fp4sim.cli.stamp import stamped
    from fp4sim.report.github import tell_github
    from fp4sim.report.golden_text import golden_text

    if output or as_json:
        result = stamped(result, context, sources)
    write_outputs(result, [*output, *([junit] if junit else [])])
    if as_json:
        print_json(result)
    else:
        emit(golden_text(result))
    tell_github(result.results)
    if not result.ok:
        raise typer.Exit(ExitCode.MISMATCH)
