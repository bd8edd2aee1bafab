"""What ``fp4sim gemm`` shows: the table on stdout, and a figure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fp4sim.errors import UsageError
from fp4sim.report.gemm_cells import SORTS

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from fp4sim.report.gemm_model import GemmErrors, GemmRow


def check_sort(name: str) -> None:
    """Raise UsageError for a part that there is not."""
    if name not in SORTS:
        raise UsageError(f"--sort {name!r}: {', '.join(SORTS)}")


def write_plot(result: GemmErrors, path: Path) -> None:
    """Write the heat maps."""
    from fp4sim.report.figures import gemm_parts
    from fp4sim.report.figures.style import add_caption, save_figure

    figure = gemm_parts.figure(result)
    add_caption(figure, gemm_parts.CAPTION)
    save_figure(figure, path)


def show(result: GemmErrors, sort: str, *, verbose: bool, as_json: bool) -> None:
    """Print to stdout."""
    from fp4sim.cli.console import emit_rich
    from fp4sim.cli.output import print_json

    if as_json:
        print_json(result)
        return
    from fp4sim.report.gemm_terminal import print_gemm

    def draw(console: Console) -> None:
        print_gemm(console, _ordered(result, sort), verbose=verbose)

    emit_rich(draw)


def _ordered(result: GemmErrors, sort: str) -> GemmErrors:
    """Formats by the error of a part, the largest first; those without it last."""
    if sort == "given":
        return result

    def error(row: GemmRow) -> float:
        part = getattr(row, sort)
        return -1.0 if part is None or part.rel_mse is None else float(part.rel_mse)

    return replace(result, formats=tuple(sorted(result.formats, key=error, reverse=True)))
