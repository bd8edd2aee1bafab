"""A linear layer under a recipe: draws of Y, dX and dW, and the float64 products that they are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.kernels.reference.blocks import expand
from fp4sim.recipes.model import check_recipe
from fp4sim.recipes.operands import BoundOperand, product
from fp4sim.statistic import default_kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.estimators.base import Encoded
    from fp4sim.geometry import Cell
    from fp4sim.kernels.interface import Kernels
    from fp4sim.recipes.model import Gemm, Recipe, Source, TensorName
    from fp4sim.transforms import Rotation


@dataclass(frozen=True)
class Layer:
    """The three tensors of a linear layer as float32 matrices: x (tokens, in), w (out, in), dy (tokens, out)."""

    x: NDArray[np.float32]
    w: NDArray[np.float32]
    dy: NDArray[np.float32]

    def tensor(self, name: TensorName) -> NDArray[np.float32]:
        """One of them by name."""
        return {"x": self.x, "w": self.w, "dy": self.dy}[name]

    def exact(self, gemm: Gemm) -> NDArray[np.float64]:
        """Y, dX or dW of the tensors themselves, in float64."""
        x, w, dy = (tensor.astype(np.float64) for tensor in (self.x, self.w, self.dy))
        if gemm == "fprop":
            return np.asarray(x @ w.T)
        return np.asarray(dy @ w if gemm == "dgrad" else dy.T @ x)


class LayerDraws:
    """One layer under one recipe, drawn as often as wanted; draw k is the same on any number of threads.

    What does not change between draws is computed once. Raises UsageError for a recipe that has no meaning or does not
    fit the shapes. Not to be used from several threads: it uses ``threads`` itself.
    """

    def __init__(
        self, layer: Layer, recipe: Recipe, *, seed: int = 0, threads: int = 1, kernels: Kernels | None = None
    ) -> None:
        check_recipe(recipe)
        self.layer, self.recipe = layer, recipe
        self._seed, self._threads, self._kernels = seed, threads, kernels
        self._bound: dict[Gemm, tuple[BoundOperand, BoundOperand]] = {}
        self._sources: dict[tuple[TensorName, Source], NDArray[np.float32]] = {}
        self._masks: dict[Gemm, NDArray[np.float32]] = {}
        self.forward_is_random = any(operand.is_random for operand in self.operands("fprop", 0))

    def is_random(self, gemm: Gemm) -> bool:
        """Whether draws of Y, dX or dW differ."""
        if self.forward_is_random and (gemm == "fprop" or self.recipe.uses_forward(gemm)):
            return True
        return any(operand.is_random for operand in self.operands(gemm, 0))

    def draw(self, gemm: Gemm, draw: int) -> NDArray[np.float32]:
        """Y (tokens, out), dX (tokens, in) or dW (out, in) of a draw: float32."""
        out = product(*self.operands(gemm, draw), draw)
        if gemm == "fprop":
            return out
        if self.recipe.backward.rule != "straight-through":
            out = self._masked(gemm, out, draw)
        rotation = self._left_rotated(gemm)
        if rotation is None:
            return out
        return rotation.undo(np.ascontiguousarray(out), self._kernels or default_kernels())

    def reference(self, gemm: Gemm) -> NDArray[np.float64] | None:
        """The gradient of the quantized forward pass, float64: dY Wq or dYᵀ Xq under the recipe's own backward rule.

        Nothing is quantized again. None where the product does not use the forward pass's tensors, or where those are
        random and so the reference is not one matrix.
        """
        if gemm == "fprop" or self.forward_is_random or not self.recipe.uses_forward(gemm):
            return None
        left, right = self.recipe.operands(gemm)
        dy = self._source(left.tensor, left.source, 0).astype(np.float64)
        used = self._source(right.tensor, right.source, 0).astype(np.float64)
        out = np.asarray(dy @ used if gemm == "dgrad" else dy.T @ used)
        if self.recipe.backward.rule != "straight-through":
            out = out * self._mask(gemm, 0)
        rotation = self._left_rotated(gemm)
        return out if rotation is None else rotation.undo_exact(out)

    def operands(self, gemm: Gemm, draw: int) -> tuple[BoundOperand, BoundOperand]:
        """The bound operands of a product; those of a random forward pass are bound again for each draw."""
        if gemm not in self._bound or (gemm != "fprop" and self.forward_is_random and self.recipe.uses_forward(gemm)):
            left, right = (
                BoundOperand(
                    gemm,
                    operand,
                    self._source(operand.tensor, operand.source, draw),
                    self.recipe.stream(gemm, operand),
                    seed=self._seed,
                    threads=self._threads,
                    kernels=self._kernels,
                )
                for operand in self.recipe.operands(gemm)
            )
            self._bound[gemm] = left, right
        return self._bound[gemm]

    def _source(self, tensor: TensorName, source: Source, draw: int) -> NDArray[np.float32]:
        """An operand's values before it is quantized, in the tensor's own orientation."""
        if source == "original":
            return self.layer.tensor(tensor)
        if (tensor, source) not in self._sources or self.forward_is_random:
            forward = self._forward(tensor, draw)
            drawn = forward.logical(draw, "rotated" if source == "rotated" else "input")
            self._sources[tensor, source] = np.ascontiguousarray(drawn)
        return self._sources[tensor, source]

    def _forward(self, tensor: TensorName, draw: int) -> BoundOperand:
        return self.operands("fprop", draw)[0 if tensor == "x" else 1]

    def _left_rotated(self, gemm: Gemm) -> Rotation | None:
        """The forward pass's rotation, where a gradient comes out in its domain."""
        right = self.recipe.operands(gemm)[1]
        return self._forward(right.tensor, 0).rotation(0) if right.source == "rotated" else None

    def _masked(self, gemm: Gemm, out: NDArray[np.float32], draw: int) -> NDArray[np.float32]:
        return np.multiply(out, self._mask(gemm, draw), out=out)

    def _mask(self, gemm: Gemm, draw: int) -> NDArray[np.float32]:
        """What the backward rule multiplies a gradient with: trust in the tensor it belongs to, or DGE's derivative."""
        if gemm not in self._masks or self.forward_is_random:
            self._masks[gemm] = self._make_mask(gemm, draw)
        return self._masks[gemm]

    def _make_mask(self, gemm: Gemm, draw: int) -> NDArray[np.float32]:
        forward = self._forward("x" if gemm == "dgrad" else "w", draw)
        shape = (self.layer.x if gemm == "dgrad" else self.layer.w).shape
        if forward.drawer is None or (self.recipe.backward.rule == "dge" and gemm == "dgrad"):
            return np.ones(shape, np.float32)
        if self.recipe.backward.rule == "trust mask":
            return forward.drawer.trust(draw).astype(np.float32)
        slope = _slope(forward, self.recipe, draw)
        return slope if forward.axis == 1 else np.ascontiguousarray(slope.T)


def _slope(weight: BoundOperand, recipe: Recipe, draw: int) -> NDArray[np.float32]:
    """DGE's derivative at the scaled weights, (rows, length) of the weight's matrix along its quantized axis.

    The largest weight of a block may exceed the element's maximum by a rounding of the factor; it counts as the maximum.
    """
    from fp4sim.estimators.dge import derivative

    drawer = weight.drawer
    assert drawer is not None
    element, geometry = drawer.spec.element, drawer.geometry
    divides = drawer.pipeline(draw).quantizer.cast_of().divides
    out = np.empty((geometry.rows, geometry.length), np.float32)

    def fill(cell: Cell, _: NDArray[np.float32], encoded: Encoded) -> None:
        factor = expand(encoded.scales.factor, geometry.tile(cell))[: cell.rows, : cell.cols].astype(np.float64)
        exact = drawer.exact(cell).astype(np.float64)
        with np.errstate(all="ignore"):
            z = np.clip(exact / factor if divides else exact * factor, -element.max, element.max)
        slope = derivative(z, element, recipe.backward.k, recipe.backward.cap)
        out[cell.row0 : cell.row0 + cell.rows, cell.col0 : cell.col0 + cell.cols] = slope

    drawer.each(draw, fill)
    return out
