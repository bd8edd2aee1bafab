"""Where the verdict over a golden pack goes: the terminal or JSON, files by their suffix, JUnit, and GitHub's own places."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fp4sim.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fp4sim.report.golden_model import GoldenResult

SUFFIXES = (".json", ".md")

Layout = Annotated[str, typer.Option("--layout", metavar="NAME", help="Of the block scales: auto, linear, 128x4, 8x4.")]
Output = Annotated[
    list[Path] | None,
    typer.Option("--output", "-o", metavar="FILE", help="Also write the verdict: .json or .md; repeatable."),
]
Junit = Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Also write a JUnit .xml.")]


def check_targets(output: Sequence[Path], junit: Path | None) -> None:
    """Refuse what could not be written in the end. Raises UsageError."""
    from fp4sim.cli.compare_output import check_outputs

    check_outputs(output, (), SUFFIXES)
    check_outputs([junit] if junit else [], (), (".xml",))


def finish(result: GoldenResult, output: Sequence[Path], junit: Path | None, *, as_json: bool) -> None:
    """Show and write a verdict; exits with 1 where anything is wrong."""
    from fp4sim.cli.console import emit
    from fp4sim.io.writer import write_atomically
    from fp4sim.report.github import tell_github
    from fp4sim.report.golden_text import golden_markdown, golden_text
    from fp4sim.report.json_text import strict_json
    from fp4sim.report.junit import junit_xml

    texts = {".json": lambda: strict_json(result.to_dict()), ".md": lambda: golden_markdown(result)}
    for path in output:
        with write_atomically(path, "w") as file:
            file.write(texts[path.suffix.lower()]())
    if junit is not None:
        with write_atomically(junit, "w") as file:
            file.write(junit_xml(result.results, name="fp4sim.golden"))
    emit(strict_json(result.to_dict()) if as_json else golden_text(result))
    tell_github(result.results)
    if not result.ok:
        raise typer.Exit(ExitCode.MISMATCH)
