"""Quartet II: MS-EDEN on all four operands of the backward pass, from what the forward pass made of x and w."""

from fp4sim.recipes.model import Operand, Recipe

_SOURCE = "arXiv 2601.22813 v2 Algorithm 1; IST-DASLab/Quartet-II 8776a90"
_SIGNS = "one random sign vector a draw for all four operands, as in a call of the layer"
_TIES = "ties go to even; the research kernels round them away from zero"


def _recipe(name: str, title: str, forward: str, backward: str, *notes: str) -> Recipe:
    return Recipe(
        name,
        title,
        _SOURCE,
        fprop=(Operand("x", forward), Operand("w", forward)),
        dgrad=(Operand("dy", backward), Operand("w", backward, "dequantized")),
        wgrad=(Operand("dy", backward), Operand("x", backward, "dequantized")),
        notes=(_SIGNS, *notes),
    )


RECIPES = (
    _recipe("quartet2", "Quartet II", "nvfp4+4over6", "nvfp4+mseden", _TIES),
    _recipe("quartet2:no46", "Quartet II without four over six", "nvfp4", "nvfp4+mseden", _TIES),
    _recipe(
        "quartet2:posthoc",
        "Quartet II, CUDA kernels",
        "nvfp4+4over6",
        "nvfp4+mseden:posthoc",
        "random bits are independent; in the kernels all rows share the noise of their column",
    ),
    _recipe(
        "quartet2:s128",
        "Quartet II, research kernels",
        "nvfp4+4over6",
        "nvfp4+mseden:s=128",
        _TIES,
    ),
)
