"""``fp4sim reproduce``: published figures beside measured ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fp4sim.cli.options import Json, Threads
from fp4sim.cli.output import Output

if TYPE_CHECKING:
    from rich.console import Console

    from fp4sim.report.reproduction_model import Reproduction


def reproduce(
    context: typer.Context,
    table: Annotated[
        str | None, typer.Argument(metavar="TABLE", help="A table's name, or all; none: list the tables.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer repeats and draws, and wider margins.")] = False,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Key of data and random bits.")] = 0,
    threads: Threads = None,
    json: Json = False,
    output: Output = None,
    fail_on_difference: Annotated[
        bool, typer.Option("--fail-on-difference", help="Exit with 1 if a row differs from what is published.")
    ] = False,
) -> None:
    """Measure what papers publish, and say where the two agree.

    Every figure stands beside the measured one with its definition, spec and standard error. A row agrees within 3
    standard errors and one unit of the last printed digit; where it differs the reason is given.
    """
    from fp4sim.cli.output import check_outputs, write_outputs
    from fp4sim.cli.stamp import stamped
    from fp4sim.errors import ExitCode

    if table is None:
        _list(json)
        return
    check_outputs(output or ())
    result = _run(table, quick, seed, threads)
    if output or json:
        result = stamped(result, context, ())
    write_outputs(result, output or ())
    _show(result, json)
    if fail_on_difference and result.differing:
        from fp4sim.cli.console import complain

        complain(f"failed: {result.differing} of {sum(len(t.rows) for t in result.tables)} rows differ")
        raise typer.Exit(ExitCode.MISMATCH)


def _list(as_json: bool) -> None:
    from fp4sim.cli.console import emit, emit_rich
    from fp4sim.report.json_text import strict_json
    from fp4sim.report.reproduction_model import LIST_SCHEMA
    from fp4sim.report.reproduction_terminal import print_tables
    from fp4sim.reproduce.registry import ENTRIES

    if as_json:
        tables = [{"name": entry.name, "summary": entry.summary} for entry in ENTRIES]
        emit(strict_json({"schema": LIST_SCHEMA, "tables": tables}))
        return
    emit_rich(lambda console: print_tables(console, [(entry.name, entry.summary) for entry in ENTRIES]))


def _run(name: str, quick: bool, seed: int, threads: int | None) -> Reproduction:
    from fp4sim.cli.progress import progress_bar
    from fp4sim.reproduce.engine import reproduce as measure
    from fp4sim.reproduce.engine import work_of
    from fp4sim.reproduce.model import ReproduceSettings
    from fp4sim.reproduce.registry import entries, load

    tables = [load(entry) for entry in entries(name)]
    settings = ReproduceSettings(quick, seed, threads)
    with progress_bar(work_of(tables, settings)) as progress:
        return measure(tables, settings, progress)


def _show(result: Reproduction, as_json: bool) -> None:
    from fp4sim.cli.console import emit_rich
    from fp4sim.cli.output import print_json

    if as_json:
        print_json(result)
        return
    from fp4sim.report.reproduction_terminal import print_reproduction

    def draw(console: Console) -> None:
        print_reproduction(console, result)

    emit_rich(draw)
