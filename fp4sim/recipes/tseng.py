"""MXFP4 in the backward pass alone, unbiased by a factor of 3/4 (Tseng et al.)."""

from fp4sim.recipes.model import Operand, Recipe

_SPEC = "mxfp4+rht:64+sr"

RECIPES = (
    Recipe(
        "tseng",
        "Training LLMs with MXFP4",
        "arXiv 2502.20586 §4",
        fprop=(Operand("x", "bf16"), Operand("w", "bf16")),
        dgrad=(Operand("dy", _SPEC), Operand("w", _SPEC)),
        wgrad=(Operand("dy", _SPEC), Operand("x", _SPEC)),
        notes=(
            "both gradients of a draw share their signs; the published code draws signs for each product",
            "the FP8 forward pass is not modelled",
        ),
    ),
)
