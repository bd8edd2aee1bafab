"""The three tensors of a linear layer: shapes checked, flattened to matrices, widened to float32, finite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.interop import as_array
from fp4sim.io.source import ArrayTensor, Tensor
from fp4sim.panels import nonfinite_error, widen
from fp4sim.recipes.gradients import Layer
from fp4sim.recipes.model import AXES, GEMMS, INNER
from fp4sim.transforms import rotation_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.recipes.model import Recipe


def layer_of(x: Any, w: Any, dy: Any) -> tuple[Layer, tuple[str, ...]]:
    """The layer, and its tensors' names where they have any.

    Raises UsageError for shapes that make no layer or dtypes that are no floats, UnreadableError for NaN or Inf.
    """
    tensors = [_tensor(name, value) for name, value in (("x", x), ("w", w), ("dy", dy))]
    _check_shapes(*(tensor.info.shape for tensor in tensors))
    return Layer(*(_matrix(tensor) for tensor in tensors)), tuple(tensor.info.name for tensor in tensors)


def check_fits(recipe: Recipe, layer: Layer) -> None:
    """Raise UsageError where a rotation does not divide the dimension it runs along."""
    for gemm in GEMMS:
        for operand in recipe.operands(gemm):
            spec, axes = operand.parsed, AXES[operand.tensor]
            size = 0 if spec is None else rotation_size(spec)
            axis = axes.index(INNER[gemm]) if operand.axis is None else operand.axis
            length = layer.tensor(operand.tensor).shape[axis]
            if size and length % size:
                raise UsageError(
                    f"recipe {recipe.name}: {gemm} rotates {operand.tensor} in groups of {size}, which do not divide"
                    f" {axes[axis]} = {length}; choose another recipe or pad the tensors"
                )


def _tensor(name: str, value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else ArrayTensor(name, as_array(value)[0])


def _check_shapes(x: tuple[int, ...], w: tuple[int, ...], dy: tuple[int, ...]) -> None:
    given = f"x {x}, w {w}, dy {dy}"
    if len(x) < 2 or len(w) != 2 or len(dy) < 2 or 0 in (*x, *w, *dy):
        raise UsageError(f"{given}: a layer is x (…, in), w (out, in) and dy (…, out), none of them empty")
    if x[-1] != w[1] or dy[-1] != w[0]:
        raise UsageError(f"{given}: x must end in w's {w[1]} inputs and dy in w's {w[0]} outputs; w is (out, in)")
    tokens = [int(np.prod(shape[:-1])) for shape in (x, dy)]
    if tokens[0] != tokens[1]:
        raise UsageError(f"{given}: x has {tokens[0]} tokens and dy {tokens[1]}; they must be the same")


def _matrix(tensor: Tensor) -> NDArray[np.float32]:
    info = tensor.info
    raw = tensor.read_all()
    values = np.ascontiguousarray(widen(raw))
    finite = np.isfinite(values)
    if not finite.all():
        index = tuple(int(i) for i in np.unravel_index(int(np.argmin(finite)), info.shape))
        raise nonfinite_error(info, index, values[index])
    return values.reshape(-1, info.shape[-1])
