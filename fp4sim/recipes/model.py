"""What a training recipe is: which operand of which of a linear layer's three products is quantized how.

Y = X Wᵀ with x (tokens, in), w (out, in) and dy (tokens, out), and its gradients dX = dY W and dW = dYᵀ X. A recipe is a
row of data: six operands, and what the backward pass multiplies the products with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fp4sim.errors import UsageError
from fp4sim.estimators.pipeline import check_spec
from fp4sim.grammar import parse
from fp4sim.transforms import redraws_rotation, rotation_size

if TYPE_CHECKING:
    from fp4sim.spec import Spec

TensorName = Literal["x", "w", "dy"]
Source = Literal["original", "dequantized", "rotated"]
Gemm = Literal["fprop", "dgrad", "wgrad"]
Rule = Literal["straight-through", "trust mask", "dge"]

GEMMS: tuple[Gemm, ...] = ("fprop", "dgrad", "wgrad")
OUTPUTS: dict[Gemm, str] = {"fprop": "Y", "dgrad": "dX", "wgrad": "dW"}
INNER: dict[Gemm, str] = {"fprop": "in", "dgrad": "out", "wgrad": "tokens"}
AXES: dict[TensorName, tuple[str, str]] = {"x": ("tokens", "in"), "w": ("out", "in"), "dy": ("tokens", "out")}
_TENSORS: dict[Gemm, tuple[TensorName, TensorName]] = {"fprop": ("x", "w"), "dgrad": ("dy", "w"), "wgrad": ("dy", "x")}


@dataclass(frozen=True)
class Operand:
    """One operand of a product.

    ``spec``: how it is quantized; "" takes the source's values as they are. ``source``: the tensor itself, what the
    forward pass made of it, or the same in the domain of the forward's rotation. ``axis``: of the tensor as a matrix,
    along which blocks run; None is the product's inner dimension. ``stream``: names the random bits; operands of one
    name (and spec) share their draws, others are independent. "" is ``<product>.<tensor>``.
    """

    tensor: TensorName
    spec: str = ""
    source: Source = "original"
    axis: int | None = None
    stream: str = ""

    @property
    def parsed(self) -> Spec | None:
        """The spec, or None where nothing is quantized."""
        return parse(self.spec) if self.spec else None


@dataclass(frozen=True)
class Backward:
    """What the backward pass does besides the two products.

    ``trust mask``: dX and dW are zero, in the rotated domain, where the forward clipped x and w (QuEST).
    ``dge``: dW is multiplied by the derivative of a smooth surrogate of rounding, with exponent ``k`` and bound ``cap``.
    """

    rule: Rule = "straight-through"
    k: float = 5.0
    cap: float = 3.0


@dataclass(frozen=True)
class Recipe:
    """A recipe: three products of two operands each, left (Y's, dX's and dW's rows) and right.

    ``source``: where it is published. ``notes``: what of it is not modelled, and choices the publication leaves open.
    """

    name: str
    title: str
    source: str
    fprop: tuple[Operand, Operand]
    dgrad: tuple[Operand, Operand]
    wgrad: tuple[Operand, Operand]
    backward: Backward = Backward()
    notes: tuple[str, ...] = ()

    def operands(self, gemm: Gemm) -> tuple[Operand, Operand]:
        """The operands of a product, left and right."""
        return {"fprop": self.fprop, "dgrad": self.dgrad, "wgrad": self.wgrad}[gemm]

    def stream(self, gemm: Gemm, operand: Operand) -> str:
        """The name of an operand's random bits."""
        return operand.stream or f"{gemm}.{operand.tensor}"

    def forward(self, tensor: TensorName) -> Operand:
        """How the forward pass quantizes a tensor (x or w)."""
        return self.fprop[0] if tensor == "x" else self.fprop[1]

    def uses_forward(self, gemm: Gemm) -> bool:
        """Whether a product works on what the forward pass made, and not on the tensors themselves."""
        return any(operand.source != "original" for operand in self.operands(gemm))


def check_recipe(recipe: Recipe) -> None:
    """Raise UsageError for a recipe that has no meaning; SpecError for a spec that does not parse."""
    for gemm in GEMMS:
        operands = recipe.operands(gemm)
        if tuple(operand.tensor for operand in operands) != _TENSORS[gemm]:
            _refuse(recipe, f"{gemm} multiplies {' and '.join(_TENSORS[gemm])}, in this order")
        for operand in operands:
            spec = operand.parsed
            if spec is not None:
                check_spec(spec)
            if operand.axis not in (None, 0, 1):
                _refuse(recipe, f"{gemm} {operand.tensor}: axis {operand.axis} is not 0 or 1")
            if operand.source != "original" and (gemm == "fprop" or operand.tensor == "dy"):
                _refuse(recipe, f"{gemm} {operand.tensor} has no forward quantization to start from")
    _check_backward(recipe)


def _check_backward(recipe: Recipe) -> None:
    rotated = [recipe.operands(gemm)[1].source == "rotated" for gemm in ("dgrad", "wgrad")]
    specs = [operand.parsed for operand in recipe.fprop]
    if any(rotated):
        fixed = all(spec is not None and rotation_size(spec) and not redraws_rotation(spec) for spec in specs)
        if not fixed or len({rotation_size(spec) for spec in specs if spec}) > 1:
            _refuse(recipe, "rotated operands need one fixed rotation in the forward pass")
        if any(operand.axis not in (None, 1) for operand in recipe.fprop):
            _refuse(recipe, "rotated operands need a forward rotation along the inner dimension")
    rule, weight = recipe.backward.rule, specs[1]
    if rule == "trust mask" and not all(rotated):
        _refuse(recipe, "the trust mask acts in the rotated domain: dgrad w and wgrad x must be 'rotated'")
    if rule == "dge" and (weight is None or weight.scale is None or rotation_size(weight)):
        _refuse(recipe, "dge needs a block-scaled forward weight without a rotation")


def _refuse(recipe: Recipe, reason: str) -> None:
    raise UsageError(f"recipe {recipe.name}: {reason}")
