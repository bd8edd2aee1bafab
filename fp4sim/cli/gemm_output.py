"""Where the result of ``fp4sim gemm`` goes: the terminal or JSON on stdout, files and figures by their suffix."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fp4sim.errors import UsageError
from fp4sim.report.gemm_cells import SORTS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from fp4sim.report.gemm_model import GemmErrors, GemmRow


def check_sort(name: str) -> None:
    """Raise UsageError for a part that there is not."""
    if name not in SORTS:
        raise UsageError(f"--sort {name!r}: {', '.join(SORTS)}")


def write_outputs(result: GemmErrors, paths: Sequence[Path]) -> None:
    """Write each file whole or not at all."""
    from fp4sim.io.writer import write_atomically

    for path in paths:
        text = _text_for(path.suffix.lower(), result)
        with write_atomically(path, "w") as file:
            file.write(text)


def write_plot(result: GemmErrors, path: Path) -> None:
    """Write the heat maps."""
    from fp4sim.report.figures import save_figure
    from fp4sim.report.gemm_figure import gemm_figure

    save_figure(gemm_figure(result), path)


def show(result: GemmErrors, sort: str, *, verbose: bool, as_json: bool) -> None:
    """Print to stdout."""
    from fp4sim.cli.console import emit, emit_rich

    if as_json:
        emit(_text_for(".json", result))
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


def _text_for(suffix: str, result: GemmErrors) -> str:
    if suffix == ".json":
        from fp4sim.report.json_text import strict_json

        return strict_json(result.to_dict())
    from fp4sim.report.gemm_csv import gemm_csv
    from fp4sim.report.gemm_markdown import gemm_markdown

    return gemm_markdown(result) if suffix == ".md" else gemm_csv(result)
