"""``fp4sim crosscheck``: what this GPU really does, held against fp4sim's bits, and the evidence to send."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fp4sim.cli.options import Json

if TYPE_CHECKING:
    from fp4sim.crosscheck.run import Progress
    from fp4sim.report.evidence_model import Evidence


def crosscheck(
    show: Annotated[
        Path | None,
        typer.Option("--show", metavar="FILE", help="Render an evidence file; needs no GPU. Nothing is run."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="CHECK", help="Run only this check; repeatable.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A sample of 2^22 float32 patterns instead of all 2^32, and small tensors.")
    ] = False,
    fit_mma: Annotated[
        bool, typer.Option("--fit-mma", help="Also find the model that the tensor cores' arithmetic obeys.")
    ] = False,
    json: Json = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The evidence file.  [default: evidence-<GPU>.json]"),
    ] = None,
) -> None:
    """Hold the GPU that is present against fp4sim, and write what was found to one evidence file.

    Runs every check that it can: NVIDIA's conversions over all float32 patterns, rcp.approx, fp4sim's own kernels, on
    Blackwell the FP4 instructions and matrix units themselves, and installed libraries, each under its dialect. The file
    holds the GPU's name, versions and results, but no host name, user or path. Ctrl-C ends the run and writes what was
    found until then.
    """
    from fp4sim.cli.console import complain
    from fp4sim.crosscheck.command import check_output, default_output, read_evidence, write_evidence
    from fp4sim.crosscheck.command import crosscheck as run
    from fp4sim.errors import ExitCode, UsageError

    if show is not None:
        if only or quick or fit_mma or output is not None:
            raise UsageError("--show renders a file and runs nothing: it goes with --json alone")
        _print(read_evidence(show), as_json=json)
        return
    check_output(output)
    with _progress() as progress:
        evidence = run(only or (), quick=quick, fit_mma=fit_mma, progress=progress)
    path = output or default_output(evidence)
    write_evidence(evidence, path)
    complain(f"the evidence is in {path}")
    _print(evidence, as_json=json)
    if evidence.interrupted:
        raise typer.Exit(ExitCode.INTERRUPTED)
    if not evidence.ok:
        raise typer.Exit(ExitCode.MISMATCH)


def _print(evidence: Evidence, *, as_json: bool) -> None:
    from fp4sim.cli.console import emit, emit_rich

    if as_json:
        from fp4sim.report.json_text import strict_json

        emit(strict_json(evidence.to_dict()))
        return
    from rich.console import Console
    from rich.text import Text

    from fp4sim.report.evidence_text import evidence_text

    styles = {"FAILED": "bold red", "ERROR": "bold red", "INCOMPLETE": "bold yellow", "OK:": "bold green"}
    styles |= {"ok ": "green", "skipped": "dim"}

    def draw(console: Console) -> None:
        for line in evidence_text(evidence, console.width).splitlines():
            style = next((style for start, style in styles.items() if line.startswith(start)), "")
            console.print(Text(line, style=style), soft_wrap=True)

    emit_rich(draw)


@contextmanager
def _progress() -> Iterator[Progress | None]:
    """A bar on stderr that names the check which runs, where a person is watching."""
    import sys

    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True, markup=False), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda name, number, total: bar.update(task, completed=number, total=total, description=name)
