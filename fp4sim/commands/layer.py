"""Gradient bias: draws of Y, dX and dW of a linear layer under recipes, and what their mean and scatter say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import fp4sim
from fp4sim.commands.layer_input import check_fits, layer_of
from fp4sim.commands.layer_sums import OutputSums, once
from fp4sim.errors import UsageError
from fp4sim.fpmode import ieee_mode
from fp4sim.parallel import thread_count
from fp4sim.recipes.gradients import LayerDraws
from fp4sim.recipes.model import AXES, GEMMS, INNER, OUTPUTS, Recipe, check_recipe
from fp4sim.recipes.registry import recipe as recipe_named
from fp4sim.report.layer_model import EXACT, QUANTIZED_FORWARD, LayerResult, LayerRow, OperandInfo, RecipeInfo
from fp4sim.stats.bias import MARGIN

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fp4sim.io.source import Tensor
    from fp4sim.recipes.gradients import Layer
    from fp4sim.recipes.model import Gemm

Progress = Callable[[str, int], None]  # recipe name, draws finished since the last call

DEFAULT_DRAWS = 256


@dataclass(frozen=True)
class LayerSettings:
    """How a layer is measured. ``margin``: of the verdict, relative to the reference's norm."""

    draws: int = DEFAULT_DRAWS
    seed: int = 0
    margin: float = MARGIN
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.draws < 2:
            raise UsageError(f"{self.draws} draws: at least 2 are needed to tell bias from variance (16 for a verdict)")
        if not 0 < self.margin < 1:
            raise UsageError(f"margin {self.margin}: it is relative to the reference's norm, between 0 and 1")
        if not 0 <= self.seed < 1 << 64:
            raise UsageError(f"seed {self.seed} does not fit: it must be in 0 .. 2^64 - 1")
        thread_count(self.threads)

    def recorded(self) -> dict[str, Any]:
        """What a report repeats: threads change no digit and are left out."""
        return {"draws": self.draws, "seed": self.seed, "margin": self.margin}


@ieee_mode()
def layer_bias(
    x: Tensor | Any,
    w: Tensor | Any,
    dy: Tensor | Any,
    recipes: str | Sequence[str | Recipe],
    settings: LayerSettings | None = None,
    progress: Progress | None = None,
) -> LayerResult:
    """Measure Y = X Wᵀ, dX = dY W and dW = dYᵀ X of a linear layer under recipes.

    ``x`` (tokens, in), ``w`` (out, in), ``dy`` (tokens, out): tensors of a source or arrays, floats of any width; further
    axes in front are tokens. ``recipes``: names (see :func:`fp4sim.recipes.registry.recipes`) or recipes of one's own.
    Memory: about 8 (log4 draws + 1) + 4 batches bytes, that is 110 to 320, for each element of dX and dW and each
    reference.

    Raises UsageError for shapes, settings and recipes that do not fit, UnreadableError for NaN or Inf.
    """
    settings = settings or LayerSettings()
    chosen = _chosen(recipes)
    layer, sources = layer_of(x, w, dy)
    for recipe in chosen:
        check_fits(recipe, layer)
    exact = {gemm: layer.exact(gemm) for gemm in GEMMS}
    rows = [row for recipe in chosen for row in _measure(layer, exact, recipe, settings, progress)]
    return LayerResult(
        recipes=tuple(describe_recipe(recipe) for recipe in chosen),
        tokens=layer.x.shape[0],
        inputs=layer.w.shape[1],
        outputs=layer.w.shape[0],
        sources=sources,
        rows=tuple(rows),
        settings=settings.recorded(),
        version=fp4sim.__version__,
        bits_version=fp4sim.BITS_VERSION,
    )


def _chosen(recipes: str | Sequence[str | Recipe]) -> list[Recipe]:
    """The recipes without duplicates, checked."""
    listed: Sequence[str | Recipe] = [recipes] if isinstance(recipes, str) else recipes
    wanted = [part for item in listed for part in (item.split(",") if isinstance(item, str) else [item]) if part]
    chosen = list(dict.fromkeys(item if isinstance(item, Recipe) else recipe_named(item) for item in wanted))
    if not chosen:
        raise UsageError("no recipe to measure: name at least one, e.g. quartet2,nvidia")
    for recipe in chosen:
        check_recipe(recipe)
    names = [recipe.name for recipe in chosen]
    if len(set(names)) < len(names):
        raise UsageError(f"two different recipes have one name: {', '.join(names)}")
    return chosen


def _measure(
    layer: Layer,
    exact: dict[Gemm, NDArray[np.float64]],
    recipe: Recipe,
    settings: LayerSettings,
    progress: Progress | None,
) -> list[LayerRow]:
    """All rows of one recipe: random outputs draw by draw, the others once."""
    threads = thread_count(settings.threads)
    draws = LayerDraws(layer, recipe, seed=settings.seed, threads=threads)
    rows: list[LayerRow] = []
    moving: list[tuple[Gemm, str, OutputSums]] = []
    for gemm in GEMMS:
        references = {EXACT: exact[gemm], QUANTIZED_FORWARD: draws.reference(gemm)}
        is_random = draws.is_random(gemm)
        fixed = None if is_random else draws.draw(gemm, 0)
        for name, reference in references.items():
            if reference is None:
                continue
            if fixed is not None:
                bias = once(reference, fixed, settings.draws, settings.margin, threads)
                rows.append(LayerRow(recipe.name, OUTPUTS[gemm], name, True, bias))
            else:
                moving.append((gemm, name, OutputSums(reference, settings.draws)))
    _draw_all(draws, moving, settings.draws, threads, progress)
    rows += [
        LayerRow(recipe.name, OUTPUTS[gemm], name, False, sums.bias(settings.margin)) for gemm, name, sums in moving
    ]
    order = list(OUTPUTS.values())
    return sorted(rows, key=lambda row: order.index(row.output))


def _draw_all(
    draws: LayerDraws,
    moving: Sequence[tuple[Gemm, str, OutputSums]],
    count: int,
    threads: int,
    progress: Progress | None,
) -> None:
    """Add every draw of the random outputs to their sums."""
    name = draws.recipe.name
    if not moving:
        if progress is not None:
            progress(name, count)
        return
    for draw in range(count):
        for gemm in dict.fromkeys(gemm for gemm, _, _ in moving):
            drawn = draws.draw(gemm, draw)
            for one, _, sums in moving:
                if one == gemm:
                    sums.add(drawn, threads)
        if progress is not None:
            progress(name, 1)


def describe_recipe(recipe: Recipe) -> RecipeInfo:
    """A recipe as reports name it."""
    backward = recipe.backward
    operands = []
    for gemm in GEMMS:
        for operand in recipe.operands(gemm):
            spec, axes = operand.parsed, AXES[operand.tensor]
            axis = INNER[gemm] if operand.axis is None else axes[operand.axis]
            text, stream = "" if spec is None else spec.short, recipe.stream(gemm, operand)
            operands.append(OperandInfo(gemm, operand.tensor, text, operand.source, axis, stream))
    rule = f"dge, k={backward.k:g}, cap={backward.cap:g}" if backward.rule == "dge" else backward.rule
    return RecipeInfo(recipe.name, recipe.title, recipe.source, tuple(operands), rule, recipe.notes)
