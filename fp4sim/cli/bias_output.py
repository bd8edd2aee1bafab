"""What ``fp4sim bias`` shows: tables on stdout, a figure, and verdicts that fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fp4sim.report.layer_model import LayerResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rich.console import Console

    from fp4sim.report.bias_model import BiasResult
    from fp4sim.report.bias_terminal import BiasView

    Result = BiasResult | LayerResult


def write_plot(result: Result, path: Path) -> None:
    """Write the concentration figure."""
    from fp4sim.report.figures import concentration
    from fp4sim.report.figures.style import add_caption, save_figure

    figure = concentration.figure(result)
    add_caption(figure, concentration.CAPTION)
    save_figure(figure, path)


def show(result: Result, view: BiasView, *, as_json: bool) -> None:
    """Print to stdout."""
    from fp4sim.cli.console import emit_rich
    from fp4sim.cli.output import print_json

    if as_json:
        print_json(result)
        return

    def draw(console: Console) -> None:
        if isinstance(result, LayerResult):
            from fp4sim.report.layer_terminal import print_layer

            print_layer(console, result, verbose=view.verbose)
        else:
            from fp4sim.report.bias_terminal import print_bias

            print_bias(console, result, view)

    emit_rich(draw)


def failures(result: Result, verdicts: Sequence[str]) -> Iterator[str]:
    """One line for every estimator (or output) whose verdict is among ``verdicts``."""
    from fp4sim.report.cells import count_of, tensor_name

    if isinstance(result, LayerResult):
        for row in result.rows:
            if row.bias.verdict in verdicts:
                yield f"{row.recipe} {row.output} ({row.reference}): {row.bias.sentence}"
        return
    for i, info in enumerate(result.estimators):
        for verdict in verdicts:
            found = [tensor for tensor in result.tensors if tensor.results[i].verdict == verdict]
            if found:
                first = f"{tensor_name(result.label(found[0]), 60)} {found[0].results[i].sentence}"
                yield f"{info.short}: {verdict} on {count_of(len(found), 'tensor')}; {first}"
