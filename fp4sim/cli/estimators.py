"""``fp4sim estimators``: what makes codes and scales besides the format, and what each claims."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fp4sim.cli.options import Json
from fp4sim.cli.output import ListOutput

if TYPE_CHECKING:
    from rich.console import Console


def estimators(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="show NAME", help="Say all about one: sr, 4over6, mseden, nvidia-wgrad ..."),
    ] = None,
    json: Json = False,
    output: ListOutput = None,
) -> None:
    """List estimators, or describe one.

    An estimator is a step of a spec (+sr, +rht, +4over6), a way to make scales or elements, or a published recipe made
    of them. Its claim is about the mean of the dequantized values over draws.
    """
    from fp4sim.cli.output import show_list
    from fp4sim.commands.describe_estimator import SCHEMA, describe_estimator, list_estimators
    from fp4sim.recipes.registry import recipes
    from fp4sim.report.estimator_table import print_estimator, print_estimators

    name = _name(words or [])
    rows = list_estimators() if name is None else (describe_estimator(name),)

    def draw(console: Console) -> None:
        if name is None:
            print_estimators(console, rows, [recipe.name for recipe in recipes()])
        else:
            print_estimator(console, rows[0])

    show_list({"schema": SCHEMA, "estimators": [row.to_dict() for row in rows]}, draw, output or (), as_json=json)


def _name(words: list[str]) -> str | None:
    """The estimator to show; ``show`` may be left out, as in ``fp4sim formats NAME``."""
    from fp4sim.errors import UsageError

    if not words:
        return None
    names = words[1:] if words[0] == "show" else words
    if len(names) != 1:
        raise UsageError("write fp4sim estimators, or fp4sim estimators show NAME with one name")
    return names[0]
