"""Microsoft's FP4 framework: FP4 in the forward pass, FP8 gradients, outlier clamping and DGE."""

from fp4sim.recipes.model import Backward, Operand, Recipe

_GRADIENT = "e5m2/tensor@fp32"
_FP8 = "accumulation and optimizer states in FP8 are not modelled"

RECIPES = (
    Recipe(
        "microsoft",
        "Microsoft FP4",
        "arXiv 2501.17116 §3",
        fprop=(Operand("x", "e2m1/row@fp32+occ:0.99"), Operand("w", "e2m1/row@fp32")),
        dgrad=(Operand("dy", _GRADIENT, stream="gradient"), Operand("w", source="dequantized")),
        wgrad=(Operand("dy", _GRADIENT, stream="gradient"), Operand("x", source="dequantized")),
        backward=Backward("dge", k=5, cap=3.0),
        notes=(
            "scales of tokens and output channels; quantiles of the whole tensor, their residual in float32",
            "the gradient of the quantized forward is DGE's, dW times f'",
            _FP8,
        ),
    ),
    Recipe(
        "microsoft:released",
        "Microsoft FP4, released code",
        "MS-AMP 9746ea8 (PR #203)",
        fprop=(Operand("x", "e2m1/row@e8m0@rceil+occ:0.99:row:nocomp"), Operand("w", "e2m1/row@e8m0@rceil", axis=0)),
        dgrad=(Operand("dy", _GRADIENT, stream="gradient"), Operand("w", source="dequantized")),
        wgrad=(Operand("dy", _GRADIENT, stream="gradient"), Operand("x", source="dequantized")),
        backward=Backward("dge", k=5, cap=3.0),
        notes=(
            "power-of-two scales, quantiles of each token without compensation, one weight scale an input channel",
            "ties go to even; the code's go up, and its operands pass through FP8 E4M3",
            _FP8,
        ),
    ),
)
