"""A small linear layer and what its tests compare."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

import fp4sim
from fp4sim.commands.layer_input import layer_of
from fp4sim.io.synthetic_layer import synthetic_layer
from fp4sim.recipes.gradients import LayerDraws
from fp4sim.recipes.model import Operand, Recipe
from fp4sim.recipes.registry import recipe
from fp4sim.report.layer_model import EXACT, LayerResult, LayerRow

TOKENS, INPUTS, OUTPUTS = 128, 256, 384
PLAIN = Recipe(
    "plain",
    "nothing quantized",
    "none",
    fprop=(Operand("x"), Operand("w")),
    dgrad=(Operand("dy"), Operand("w")),
    wgrad=(Operand("dy"), Operand("x")),
)


@lru_cache(maxsize=4)
def arrays(tokens: int = TOKENS, inputs: int = INPUTS, outputs: int = OUTPUTS) -> tuple[np.ndarray, ...]:
    return tuple(tensor.read_all() for tensor in synthetic_layer(tokens, inputs, outputs))


def draws_of(name: str | Recipe, threads: int = 1, seed: int = 0) -> LayerDraws:
    chosen = recipe(name) if isinstance(name, str) else name
    return LayerDraws(layer_of(*arrays())[0], chosen, seed=seed, threads=threads)


def row(result: LayerResult, output: str, reference: str = EXACT, name: str | None = None) -> LayerRow:
    found = [r for r in result.rows if (r.output, r.reference) == (output, reference) and name in (None, r.recipe)]
    assert len(found) == 1
    return found[0]


def values(x: np.ndarray, spec: str, axis: int = -1) -> np.ndarray:
    return fp4sim.quantize(x, spec, axis=axis).dequantize()


def close(a: np.ndarray, b: np.ndarray, tolerance: float = 2e-6) -> None:
    """Equal but for the order of float32 sums."""
    assert np.linalg.norm(a.astype(np.float64) - b) <= tolerance * np.linalg.norm(b)
