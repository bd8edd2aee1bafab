"""TetraJet and TetraJet-v2: stochastic rounding of what the forward pass made (double quantization)."""

from fp4sim.recipes.model import Operand, Recipe

RECIPES = (
    Recipe(
        "tetrajet",
        "TetraJet",
        "arXiv 2502.20853",
        fprop=(Operand("x", "mxfp4@rceil"), Operand("w", "mxfp4@rceil")),
        dgrad=(Operand("dy", "mxfp4@rceil+sr"), Operand("w", "mxfp4@rceil+sr", "dequantized")),
        wgrad=(Operand("dy", "mxfp4@rceil+sr"), Operand("x", "mxfp4@rceil+sr", "dequantized")),
        notes=("Q-EMA and Q-Ramping change weights over steps and are not modelled",),
    ),
    Recipe(
        "tetrajet2",
        "TetraJet-v2",
        "arXiv 2510.27527",
        fprop=(Operand("x", "nvfp4@ts:128"), Operand("w", "nvfp4@ts:128")),
        dgrad=(
            Operand("dy", "nvfp4@ts:128+rht:16+sr:clip"),
            Operand("w", "nvfp4@ts:128+rht:16+sr:clip", "dequantized"),
        ),
        wgrad=(
            Operand("dy", "nvfp4@ts:128+rht:16+sr:clip"),
            Operand("x", "nvfp4@ts:128+rht:16+sr:clip", "dequantized"),
        ),
        notes=(
            "OutControl (a tenth of the input channels in MXFP8) and OsciReset are not modelled",
            "block scales round to nearest, as in the released code, so stochastic rounding clips",
        ),
    ),
)
