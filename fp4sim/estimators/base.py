"""What an estimator is: who it is and what it claims, and the two places where it acts.

A spec's steps are transform → choice of the scale → rounding of the elements → correction. A *choice* replaces the plain
scale stage (and, where it compares encodings, the rounding of a block); a *correction* changes what was encoded. Both work
on one cell, in float operations of a stated order, on the primitives of :mod:`fp4sim.kernels.interface`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.geometry import Cell
    from fp4sim.quantizer import CellScales, Quantizer

Claim = Literal["unbiased", "biased", "unbiased in the limit", "as its parts", "none"]


@dataclass(frozen=True)
class Info:
    """An estimator for people: its claim about E[x_hat] = x, its definition in a sentence, and where it comes from."""

    name: str
    title: str
    claim: Claim
    definition: str
    source: str
    example: str


@dataclass(frozen=True)
class Encoded:
    """A cell's codes and scales.

    ``values``: what the codes decode to, float64 of the panel's shape, where that is not value(code) * decode[block].
    ``extra``: arrays by name that ``PackedTensor.extra`` keeps, matrices of the panel's or the blocks' shape.
    """

    codes: NDArray[np.unsignedinteger]
    scales: CellScales
    values: NDArray[np.float64] | None = None
    extra: dict[str, NDArray[Any]] = field(default_factory=dict)


class Choice(Protocol):
    """Scales and codes of a cell."""

    info: Info

    def encode(self, quantizer: Quantizer, cell: Cell, panel: NDArray[np.float32]) -> Encoded:
        """Encode a panel."""


class Correction(Protocol):
    """A change of what was encoded."""

    info: Info

    def correct(self, quantizer: Quantizer, cell: Cell, panel: NDArray[np.float32], encoded: Encoded) -> Encoded:
        """The corrected encoding of a panel."""


class Measured(Protocol):
    """An estimator that needs the largest of something over the whole tensor before it can scale."""

    def measure(self, quantizer: Quantizer, cell: Cell, panel: NDArray[np.float32]) -> np.float32:
        """The cell's largest."""
