"""The result of gradient bias: how Y, dX and dW of a linear layer scatter under recipes, and where their means lie.

Figures are relative to the reference they are compared with, as in :class:`fp4sim.report.bias_model.Bias`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from fp4sim.report.bias_model import Bias
from fp4sim.report.result import Result

LAYER_SCHEMA = "fp4sim.layer/1"
EXACT = "exact"
QUANTIZED_FORWARD = "quantized forward"


@dataclass(frozen=True)
class OperandInfo:
    """An operand of a product. ``gemm``: fprop, dgrad or wgrad. ``spec``: "" where values are taken as they are.

    ``source``: original, dequantized (the forward pass's) or rotated (the same, in the forward rotation's domain).
    ``axis``: the dimension that blocks run along: tokens, in or out.
    """

    gemm: str
    tensor: str
    spec: str
    source: str
    axis: str
    stream: str


@dataclass(frozen=True)
class RecipeInfo:
    """A recipe as reports name it. ``backward``: straight-through, trust mask, or dge with its parameters."""

    name: str
    title: str
    source: str
    operands: tuple[OperandInfo, ...]
    backward: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LayerRow:
    """One output (Y, dX, dW) of one recipe against one reference.

    ``reference``: ``exact``, the float64 product of the tensors themselves; or ``quantized forward``, the gradient that
    the forward pass's tensors have under the recipe's backward rule, from dy as it is. A recipe that quantizes what is
    already quantized can be unbiased only for the second. ``exact``: nothing is random, so one draw tells everything;
    ``bias.draws`` is then 1.
    """

    recipe: str
    output: str
    reference: str
    exact: bool
    bias: Bias


@dataclass(frozen=True)
class LayerResult(Result):
    """What ``layer_bias`` found; rows by recipe, then output, then reference. ``to_dict`` is its JSON."""

    recipes: tuple[RecipeInfo, ...]
    tokens: int
    inputs: int
    outputs: int
    sources: tuple[str, ...]
    rows: tuple[LayerRow, ...]
    settings: dict[str, Any]
    schema: ClassVar[str] = LAYER_SCHEMA

    def __str__(self) -> str:
        from fp4sim.report.layer_files import layer_markdown

        return layer_markdown(self)

    def _repr_markdown_(self) -> str:
        return str(self)
