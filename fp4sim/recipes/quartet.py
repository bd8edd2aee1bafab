"""Quartet: MXFP4 with QuEST in the forward pass, a re-quantized backward pass and trust masks."""

from fp4sim.recipes.model import Backward, Operand, Recipe

_FORWARD = (Operand("x", "mxfp4+quest"), Operand("w", "mxfp4+quest"))
_NOTES = (
    "the scale's multiplier is 1.5, which gives the paper's errors; the released main branch has 1 (+quest:mult=1)",
    "signs are applied before the transform, as on branch rotation_fix; one sign vector a draw for both gradients",
    "the gradient of the quantized forward is the masked one",
)

RECIPES = (
    Recipe(
        "quartet",
        "Quartet",
        "arXiv 2505.14669 v4 Algorithm 1; IST-DASLab/Quartet, branch rotation_fix",
        fprop=_FORWARD,
        dgrad=(Operand("dy", "mxfp4+rht:32+max:4.5"), Operand("w", "mxfp4+rht:32+max:4.5", "rotated")),
        wgrad=(Operand("dy", "mxfp4+rht:32+max:4.5"), Operand("x", "mxfp4+rht:32+max:4.5", "rotated")),
        backward=Backward("trust mask"),
        notes=_NOTES,
    ),
    Recipe(
        "quartet:sr",
        "Quartet, first versions",
        "arXiv 2505.14669 v1 to v3, Algorithm 1",
        fprop=_FORWARD,
        dgrad=(Operand("dy", "mxfp4+rht:32+sr"), Operand("w", "mxfp4+rht:32+sr", "rotated")),
        wgrad=(Operand("dy", "mxfp4+rht:32+sr"), Operand("x", "mxfp4+rht:32+sr", "rotated")),
        backward=Backward("trust mask"),
        notes=_NOTES,
    ),
)
