"""NVIDIA's NVFP4 pretraining recipe, and how others implement it."""

from fp4sim.recipes.model import Operand, Recipe

_NOT_MODELLED = "layers that stay in BF16 (the first 2 and last 8 of 62 blocks) are not modelled"

RECIPES = (
    Recipe(
        "nvidia",
        "NVIDIA NVFP4",
        "arXiv 2509.25149 App. B; Transformer Engine d0067d0",
        fprop=(Operand("x", "nvfp4"), Operand("w", "nvfp4/16x16")),
        dgrad=(Operand("dy", "nvfp4+sr:clip"), Operand("w", source="dequantized")),
        wgrad=(Operand("dy", "nvfp4+rht:16:te+sr:clip"), Operand("x", "nvfp4+rht:16:te")),
        notes=(
            "one fixed sign vector, Transformer Engine's; rotated operands are stored in bfloat16 before quantization",
            "block scales round to nearest: a block's largest elements may come to 6.375 and clip, which biases SR",
            _NOT_MODELLED,
        ),
    ),
    Recipe(
        "nvidia:quartet2",
        "NVIDIA NVFP4 as Quartet II's baseline",
        "IST-DASLab/Quartet-II 8776a90",
        fprop=(Operand("x", "nvfp4"), Operand("w", "nvfp4/16x16")),
        dgrad=(Operand("dy", "nvfp4+sr"), Operand("w", source="dequantized")),
        wgrad=(Operand("dy", "nvfp4+rht:16+sr"), Operand("x", "nvfp4+rht:16")),
        notes=(
            "SR aims amax at 6 * 16/17, so that nothing clips; random signs, fresh each draw",
            "computed in the default arithmetic: the released kernels divide, and their SR moves values on the grid",
            _NOT_MODELLED,
        ),
    ),
    Recipe(
        "nvidia:4over6",
        "NVIDIA NVFP4 with four over six",
        "arXiv 2512.02010; on arXiv 2509.25149",
        fprop=(Operand("x", "nvfp4+4over6"), Operand("w", "nvfp4/16x16+4over6")),
        dgrad=(Operand("dy", "nvfp4+4over6+sr:clip"), Operand("w", source="dequantized")),
        wgrad=(Operand("dy", "nvfp4+rht:16:te+4over6+sr:clip"), Operand("x", "nvfp4+rht:16:te+4over6")),
        notes=(
            "four over six in every quantization; both encodings are rounded stochastically and then compared",
            "Quartet II's code has it in the forward pass alone; Transformer Engine does not pair it with a rotation",
            _NOT_MODELLED,
        ),
    ),
)
