"""FP4 All the Way: stochastic rounding of the gradient, and of the activations in the weight gradient."""

from fp4sim.recipes.model import Operand, Recipe

RECIPES = (
    Recipe(
        "fp4-all-the-way",
        "FP4 All the Way",
        "arXiv 2505.19115",
        fprop=(Operand("x", "nvfp4"), Operand("w", "nvfp4")),
        dgrad=(Operand("dy", "nvfp4+sr:clip"), Operand("w", "nvfp4")),
        wgrad=(Operand("dy", "nvfp4+sr:clip"), Operand("x", "nvfp4+sr:clip")),
        notes=(
            "the paper does not say how block scales round under SR: to nearest here, so that the largest elements clip",
            "the final phase with a BF16 backward pass is not modelled",
        ),
    ),
)
