"""What a dialect is: the float operations, in order, from block maxima to scale codes and one factor a block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from fp4sim.rounding import HARDWARE, CastPolicy, Rounding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fp4sim.dialects.target import Target
    from fp4sim.kernels.interface import Kernels

SCALE_ROUNDING = {"rn": Rounding.RN, "up": Rounding.RU, "down": Rounding.RD}


@dataclass(frozen=True)
class TensorFactors:
    """One value a tensor-scale group, float32: what x is multiplied by, its reciprocal, and the decode multiplier."""

    encode: NDArray[np.float32]
    decode: NDArray[np.float32]
    stored: NDArray[np.float32]


@dataclass(frozen=True)
class BlockScales:
    """Scale codes and the factor that x is multiplied by (or divided by, see ``Dialect.divides``), one a block."""

    codes: NDArray[np.unsignedinteger]
    factor: NDArray[np.float32]


class Dialect(Protocol):
    """A library's arithmetic. Modules state only what differs from Transformer Engine's."""

    name: str
    divides: bool
    policy: CastPolicy
    nearest: Rounding

    def tensor_factors(self, target: Target, amax: NDArray[np.float32]) -> TensorFactors:
        """From the amax of each tensor-scale group, any shape."""

    def given_factors(self, target: Target, stored: NDArray[np.float32]) -> TensorFactors:
        """From decode multipliers that the caller fixed."""

    def block_scales(
        self, target: Target, amax: NDArray[np.float32], factors: TensorFactors, kernels: Kernels
    ) -> BlockScales:
        """From block maxima and the factors of their groups (broadcastable)."""


class DefaultPolicy:
    """What a dialect has unless it says otherwise: multiplication, hardware special values."""

    divides = False
    policy = HARDWARE
    nearest = Rounding.RN
