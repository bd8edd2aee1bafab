"""What block scales aim at: the value that a block's amax maps to, the bound of its scale, and who changes them.

By default amax maps to the element's maximum. Range-matched stochastic rounding aims lower so that nothing clips, ``+max``
wherever it is told, MS-EDEN and EDEN where the mean squared error is least, four-over-six keeps room for its second scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.rounding import Rounding

if TYPE_CHECKING:
    from fp4sim.spec import Spec

FLT_MAX = np.finfo(np.float32).max
SCALE_UP = 17 / 16  # the largest factor by which nearest-even raises an E4M3 scale
MSEDEN_OVERRIDE = 0.93  # least MSE on N(0, 1), arXiv 2601.22813 §3.2
EDEN_OVERRIDE = {False: 0.96, True: 0.91}  # by whether scales are powers of two; IST-DASLab/Quartet-II quantizers
HALVED = 0.75  # floor's exponent leaves amax in [4, 8); times 3/4 it is in [3, 6) (arXiv 2502.20586 §4)


@dataclass(frozen=True)
class Target:
    """The constants of a spec that scales aim at.

    ``element_max``: what amax maps to (the element's maximum, less under range-matched stochastic rounding).
    ``shrink``: factor on x under power-of-two scales, undone by the tensor scale (3/4 for floor with ``+sr``).
    ``bound``: the block scale that the tensor's amax maps to.
    ``reach``: fl32(bound * element_max), which the tensor scale maps amax to. ``inverse``: fl32(1 / element_max).
    ``dtype``: the tensor's own, for libraries that compute in it.
    """

    spec: Spec
    element_max: float
    shrink: float
    bound: float
    reach: np.float32
    inverse: np.float32
    dtype: str = "float32"


@lru_cache(maxsize=256)
def target_of(spec: Spec) -> Target:
    """The constants of a spec: its aim as a share of the element's maximum, and the bound of its block scales."""
    ratio, pow2 = aim_ratio(spec), spec.scale is not None and not spec.scale.has_zero
    element_max = spec.element.max if pow2 else spec.element.max * ratio
    bound = spec.tensor_scale.bound or _step_bound(spec) or (spec.scale.max if spec.scale else 1.0)
    reach = np.float32(min(bound * element_max, float(FLT_MAX)))
    return Target(spec, element_max, ratio if pow2 else 1.0, bound, reach, np.float32(1 / element_max))


def aim_ratio(spec: Spec) -> float:
    """Where amax aims, over the element's maximum: below 1 leaves room, above 1 clips the largest elements."""
    if spec.scale is None:
        return 1.0
    if spec.has("max"):
        return float(spec.step("max").get("value", 6.0)) / spec.element.max
    if spec.has("mseden"):
        return 1 / (SCALE_UP * MSEDEN_OVERRIDE)
    if spec.has("eden"):
        pow2 = not spec.scale.has_zero
        override = float(spec.step("eden").get("override", 0.0)) or EDEN_OVERRIDE[pow2]
        return (HALVED if pow2 else 1.0) / override
    if spec.rounding is Rounding.SR and not spec.step("sr").get("clip", False):
        return _matching_ratio(spec)
    return 1.0


def _matching_ratio(spec: Spec) -> float:
    """The largest aim at which rounding the scale cannot make an element exceed its maximum.

    Nearest 1/(1 + 2^-(m+1)) (16/17 for E4M3), down 1/(1 + 2^-m), floor max/2^(emax+1) (3/4 for E2M1), even
    max/((2 - 2^-(m+1)) 2^emax) (6/7), log2 2^-1/2; ceil, rceil and up lose nothing (arXiv 2601.22813 §3, 2502.20586 §4).
    """
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


def _step_bound(spec: Spec) -> float | None:
    """The bound that an estimator brings: 256 leaves 1.5 and S their room below 448, and is QuEST's under E4M3."""
    if spec.tensor_scale.mode == "none":
        return None
    if spec.has("mseden") or spec.has("quest"):
        return 256.0
    return float(spec.step("4over6").get("bound", 256)) if spec.has("4over6") else None
