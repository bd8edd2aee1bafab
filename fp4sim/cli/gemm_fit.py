"""``fp4sim gemm --fit``: which models does a recorded product obey?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from fp4sim.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from fp4sim.report.gemm_fit_model import FitResult


_UNREAD = ("a_format", "b_format", "model", "order", "out", "sort", "dtype", "seed", "verbose", "plot")


def run_fit(
    context: typer.Context,
    path: str,
    formats: Sequence[str] | None,
    scale_format: str | None,
    output: Sequence[Path],
    threads: int | None,
    *,
    as_json: bool,
    hashed: bool,
) -> None:
    """Fit, write and show. Exits with 1 where no model is obeyed; raises UsageError for options that a fit does not read."""
    from fp4sim.cli.output import check_outputs, write_outputs
    from fp4sim.cli.stamp import stamped
    from fp4sim.commands.gemm_fit import fit_outputs
    from fp4sim.grammar import parse_list

    for name in _UNREAD:
        source = context.get_parameter_source(name)
        if source is not None and source.name != "DEFAULT":
            option = "--" + name.replace("_", "-")
            raise UsageError(f"{option} and --fit do not go together: all models are tried on what the file holds")
    specs = parse_list(formats or ["nvfp4"])
    if len(specs) != 1:
        raise UsageError(f"--fit takes one format, that of a dump's operands, not {len(specs)}")
    check_outputs(output, [path])
    result = fit_outputs(path, specs[0], scale_format=scale_format, threads=threads)
    if output or as_json:
        result = stamped(result, context, [path], hashed=hashed)
    write_outputs(result, output)
    _show(result, as_json=as_json)
    if not result.ok:
        raise typer.Exit(ExitCode.MISMATCH)


def _show(result: FitResult, *, as_json: bool) -> None:
    from fp4sim.cli.console import emit_rich
    from fp4sim.cli.output import print_json
    from fp4sim.report.gemm_fit_text import print_fit

    if as_json:
        print_json(result)
        return

    def draw(console: Console) -> None:
        print_fit(console, result)

    emit_rich(draw)
