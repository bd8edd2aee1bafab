"""Which models a recorded product obeys, as text: the verdict, then every other model with the word that separates it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from fp4sim.report.cells import count_of, safe_name, shape_text
from fp4sim.report.fit import Column, fitted_table
from fp4sim.report.markdown import code, escaped, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from fp4sim.report.gemm_fit_model import FitDifference, FitModel, FitResult

_CASES_SHOWN = 12
_HEADS = ("Model", "Words differing", "First word that separates it", "Recorded", "Predicted")


def print_fit(console: Console, result: FitResult) -> None:
    """Print the verdict, the models that are ruled out, and what was held against them."""
    for line in verdict_lines(result):
        console.print(Text(line, style="bold"))
    others = [model for model in result.models if model.differing]
    if others:
        console.print()
        firsts = [model.first for model in others]
        columns = [
            Column("ruled out", [Text(model.names[0]) for model in others], numeric=False, least=30),
            Column("words\ndiffering", [Text(f"{model.differing:,}") for model in others]),
            Column("first separated by", [Text(_place(first)) for first in firsts], numeric=False, least=16),
            Column("recorded", [Text(first.found if first else "") for first in firsts], drop=2),
            Column("predicted", [Text(first.predicted if first else "") for first in firsts], drop=1),
        ]
        shown, dropped = fitted_table(columns, console.width)
        console.print(shown)
        if dropped:
            console.print(Text(f"No room for: {', '.join(dropped)} (a wider terminal or -o shows all)", style="dim"))
    console.print()
    for line in case_lines(result):
        console.print(Text(line, style="dim"))
    console.print(Text(f"fp4sim {result.version}, bits version {result.bits_version}", style="dim"))


def fit_markdown(result: FitResult) -> str:
    """The same as Markdown."""
    rows = [
        [code(" = ".join(model.names)), f"{model.differing:,} / {model.compared:,}", *_cells(model.first)]
        for model in result.models
    ]
    parts = [
        f"### Models that {code(result.source)} obeys",
        "\n".join(f"- {escaped(line)}" for line in verdict_lines(result)),
        table(_HEADS, 1, rows),
        "\n".join(f"- {escaped(line)}" for line in case_lines(result)),
        f"fp4sim {result.version}, bits version {result.bits_version}",
    ]
    return "\n\n".join(parts) + "\n"


def verdict_lines(result: FitResult) -> Iterator[str]:
    """Which models give every word, and whether that tells them from the others."""
    words = sum(case.compared for case in result.cases)
    held = f"{count_of(words, 'word')} of {count_of(len(result.cases), 'case')}"
    if not result.models:
        yield "No model was held against it"
        return
    if not result.obeyed:
        nearest = result.models[0]
        differ = f"{nearest.differing:,} of {nearest.compared:,} differ"
        yield f"No model gives all of {held}; nearest is {nearest.names[0]}: {differ}"
        return
    for model in result.obeyed:
        yield f"Obeys {' = '.join(model.names)}: all {held}"
    if len(result.obeyed) > 1:
        kept = len(result.models) - len(result.obeyed)
        yield (
            f"These outputs do not tell the {len(result.obeyed)} apart ({kept} others are ruled out); probes or data with"
            " wide scales would"
        )


def case_lines(result: FitResult) -> Iterator[str]:
    """What was held against the models."""
    for case in result.cases[:_CASES_SHOWN]:
        total = 1
        for length in case.shape:
            total *= length
        some = "" if case.compared == total else f", {case.compared:,} words of evenly spaced rows"
        name = safe_name(case.name, 60) or "(unnamed)"
        yield f"{name}: {shape_text(case.shape)} words, K {case.depth:,}, {case.operands}{some}"
    if len(result.cases) > _CASES_SHOWN:
        yield f"and {count_of(len(result.cases) - _CASES_SHOWN, 'more case')}"


def separating_text(model: FitModel) -> str:
    """By case, how many words separate a model from what was recorded."""
    return ", ".join(f"{safe_name(name, 40) or '(unnamed)'} {count:,}" for name, count in model.separating.items())


def _place(first: FitDifference | None) -> str:
    if first is None:
        return ""
    where = f"{safe_name(first.case, 40)}{list(first.index)}"
    return f"{where}: {safe_name(first.probe)}" if first.probe else where


def _cells(first: FitDifference | None) -> list[str]:
    return ["", "", ""] if first is None else [escaped(_place(first)), first.found, first.predicted]
