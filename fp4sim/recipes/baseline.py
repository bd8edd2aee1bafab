"""What everything is compared with: no block scales at all."""

from fp4sim.recipes.model import Operand, Recipe

RECIPES = (
    Recipe(
        "bf16",
        "BF16",
        "mixed-precision training in bfloat16",
        fprop=(Operand("x", "bf16"), Operand("w", "bf16")),
        dgrad=(Operand("dy", "bf16"), Operand("w", "bf16")),
        wgrad=(Operand("dy", "bf16"), Operand("x", "bf16")),
        notes=("outputs are kept in float32",),
    ),
)
