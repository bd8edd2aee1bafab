"""What a dialect is: the float operations, in order, from block maxima to scale codes and one factor a block."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import numpy as np

from fp4sim.rounding import HARDWARE, CastPolicy, Rounding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.kernels.interface import Kernels
    from fp4sim.spec import Spec

FLT_MAX = np.finfo(np.float32).max
SCALE_ROUNDING = {"rn": Rounding.RN, "up": Rounding.RU, "down": Rounding.RD}


@dataclass(frozen=True)
class Target:
    """The constants of a spec that scales aim at.

    ``element_max``: what amax maps to (the element's maximum, less under range-matched stochastic rounding).
    ``shrink``: factor on x under power-of-two scales, undone by the tensor scale (3/4 for floor with ``+sr``).
    ``reach``: fl32(scale bound * element_max), which the tensor scale maps amax to. ``inverse``: fl32(1 / element_max).
    """

    spec: Spec
    element_max: float
    shrink: float
    reach: np.float32
    inverse: np.float32


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

    def tensor_factors(self, target: Target, amax: NDArray[np.float32]) -> TensorFactors:
        """From the amax of each tensor-scale group, any shape."""

    def given_factors(self, target: Target, stored: NDArray[np.float32]) -> TensorFactors:
        """From decode multipliers that the caller fixed."""

    def block_scales(
        self, target: Target, amax: NDArray[np.float32], factors: TensorFactors, kernels: Kernels
    ) -> BlockScales:
        """From block maxima and the factors of their groups (broadcastable)."""


@lru_cache(maxsize=256)
def target_of(spec: Spec) -> Target:
    """The constants of a spec, range-matched where its rounding asks for it.

    Stochastic rounding must not clip, so amax aims below the maximum by the largest amount that rounding the scale can
    lose: nearest 1/(1 + 2^-(m+1)) (16/17 for E4M3), down 1/(1 + 2^-m), floor max/2^(emax+1) (3/4 for E2M1), even
    max/((2 - 2^-(m+1)) 2^emax) (6/7), log2 2^-1/2; ceil, rceil and up lose nothing (arXiv 2601.22813 §3, 2502.20586 §4).
    """
    element_max, shrink = spec.element.max, 1.0
    if spec.rounding is Rounding.SR and not spec.step("sr").get("clip", False) and spec.scale is not None:
        ratio = _matching_ratio(spec)
        if spec.scale.has_zero:
            element_max *= ratio
        else:
            shrink = ratio
    bound = spec.tensor_scale.bound or (spec.scale.max if spec.scale else 1.0)
    return Target(
        spec, element_max, shrink, np.float32(min(bound * element_max, float(FLT_MAX))), np.float32(1 / element_max)
    )


def _matching_ratio(spec: Spec) -> float:
    assert spec.scale is not None
    element, power = spec.element, 2.0**spec.element.emax
    if spec.rule == "rn":
        return 1 / (1 + 2.0 ** -(spec.scale.mantissa_bits + 1))
    if spec.rule == "down":
        return 1 / (1 + 2.0**-spec.scale.mantissa_bits)
    if spec.rule == "floor":
        return element.max / (2 * power)
    if spec.rule == "even":
        return element.max / ((2 - 2.0 ** -(element.mantissa_bits + 1)) * power)
    return float(2**-0.5) if spec.rule == "log2" else 1.0


class DefaultPolicy:
    """What a dialect has unless it says otherwise: multiplication, hardware special values."""

    divides = False
    policy = HARDWARE
