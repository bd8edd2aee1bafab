"""``fp4sim lint``: what is wrong with a quantized checkpoint."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from fp4sim.cli.options import Json, Threads
from fp4sim.cli.output import ListOutput

if TYPE_CHECKING:
    from rich.console import Console


class Severity(StrEnum):
    """From which severity on a finding fails the run."""

    error = "error"
    warning = "warning"
    note = "note"


def lint(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A .safetensors or .gguf file, an index, or a folder.")],
    fail_on: Annotated[
        Severity, typer.Option("--fail-on", help="Exit with 1 if a finding is at least this grave.")
    ] = Severity.error,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show every finding, not a few of each rule.")] = False,
    threads: Threads = None,
    json: Json = False,
    output: ListOutput = None,
) -> None:
    """Look for mistakes in the codes and scales of a quantized checkpoint.

    Found are NaN, negative and zero block scales, divisors in place of multipliers, global scales that fused weights do
    not share, garbage in padding, shapes that do not fit, negative zeros, and a configuration that says otherwise.
    """
    from fp4sim.cli.output import show_list
    from fp4sim.commands.lint_checkpoint import lint_checkpoint
    from fp4sim.errors import ExitCode
    from fp4sim.report.checkpoint_text import print_lint

    result = lint_checkpoint(path, threads)

    def draw(console: Console) -> None:
        print_lint(console, result, verbose=verbose)

    show_list(result.to_dict(), draw, output or (), as_json=json)
    if result.fails(fail_on.value):
        raise typer.Exit(ExitCode.MISMATCH)
