"""One operand of a product, bound to its values: draws of it as a matrix with the product's inner dimension last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.drawing import Domain, Drawer
from fp4sim.io.source import ArrayTensor
from fp4sim.randbits import Stream
from fp4sim.recipes.model import AXES, INNER
from fp4sim.transforms import rotation_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.kernels.interface import Kernels
    from fp4sim.recipes.model import Gemm, Operand
    from fp4sim.transforms import Rotation


class BoundOperand:
    """An operand over ``values``, its tensor as a float32 matrix; ``stream`` names its random bits."""

    def __init__(
        self,
        gemm: Gemm,
        operand: Operand,
        values: NDArray[np.float32],
        stream: str,
        *,
        seed: int,
        threads: int,
        kernels: Kernels | None = None,
    ) -> None:
        self.inner = AXES[operand.tensor].index(INNER[gemm])
        self.axis = self.inner if operand.axis is None else operand.axis
        self._values, self._seed, self._stream = values, seed, stream
        self._spec = operand.parsed
        self._drawer: Drawer | None = None
        if self._spec is not None:
            tensor = ArrayTensor(operand.tensor, values)
            settings = {"seed": seed, "name": stream, "threads": threads}
            self._drawer = Drawer(tensor, self._spec, self.axis, kernels=kernels, **settings)  # type: ignore[arg-type]
        self._kept: dict[Domain, NDArray[np.float32]] = {}

    @property
    def is_random(self) -> bool:
        """Whether draws differ."""
        return self._drawer is not None and self._drawer.is_random

    @property
    def drawer(self) -> Drawer | None:
        """What draws it; None where nothing is quantized."""
        return self._drawer

    def rotation(self, draw: int) -> Rotation | None:
        """Its rotation of the inner dimension."""
        if self._spec is None or self.axis != self.inner:
            return None
        return rotation_of(self._spec, Stream.of(self._seed, self._stream, draw))

    def matrix(self, draw: int, domain: Domain = "rotated") -> NDArray[np.float32]:
        """A draw, (rows, inner dimension); one without randomness is drawn once."""
        if self._drawer is None:
            return self._values if self.inner == 1 else self._values.T
        if domain not in self._kept:
            rotated_elsewhere = self.axis != self.inner
            drawn = self._drawer.matrix(draw, "input" if rotated_elsewhere else domain)
            drawn = drawn.T if rotated_elsewhere else drawn
            if self._drawer.is_random:
                return drawn
            self._kept[domain] = drawn
        return self._kept[domain]

    def logical(self, draw: int, domain: Domain = "input") -> NDArray[np.float32]:
        """A draw in the tensor's own orientation."""
        drawn = self.matrix(draw, domain)
        return drawn if self.inner == 1 else drawn.T


def product(left: BoundOperand, right: BoundOperand, draw: int) -> NDArray[np.float32]:
    """left · rightᵀ of a draw in float32. Equal rotations cancel and are left in place; others are undone first."""
    domain: Domain = "rotated" if left.rotation(draw) == right.rotation(draw) else "input"
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows float32 has no verdict, and the report says so
        return np.asarray(left.matrix(draw, domain) @ right.matrix(draw, domain).T)
