"""The recipes by name."""

from __future__ import annotations

from difflib import get_close_matches

from fp4sim.errors import UsageError
from fp4sim.recipes import baseline, fp4_all_the_way, microsoft, nvidia, quartet, quartet2, tetrajet, tseng
from fp4sim.recipes.model import Recipe

_FAMILIES = (baseline, nvidia, quartet, quartet2, tetrajet, fp4_all_the_way, tseng, microsoft)
_RECIPES: dict[str, Recipe] = {recipe.name: recipe for family in _FAMILIES for recipe in family.RECIPES}


def recipes() -> tuple[Recipe, ...]:
    """All recipes, families together."""
    return tuple(_RECIPES.values())


def recipe(name: str) -> Recipe:
    """The recipe of a name, upper or lower case. Raises UsageError, with close matches, for an unknown one."""
    wanted = name.strip().lower()
    if wanted in _RECIPES:
        return _RECIPES[wanted]
    close = get_close_matches(wanted, _RECIPES, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there is: {' '.join(_RECIPES)}"
    raise UsageError(f"unknown recipe '{name.strip()[:60]}'; {hint}")
