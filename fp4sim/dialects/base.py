"""What the scale stage hands on, and what is known about a library besides its arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.rounding import Rounding

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCALE_ROUNDING = {"rn": Rounding.RN, "up": Rounding.RU, "down": Rounding.RD}


@dataclass(frozen=True)
class TensorFactors:
    """One value a tensor-scale group, float32: what x is multiplied by, its reciprocal, and the decode multiplier."""

    encode: NDArray[np.float32]
    decode: NDArray[np.float32]
    stored: NDArray[np.float32]


@dataclass(frozen=True)
class BlockScales:
    """Scale codes and the factor that x is multiplied by (or divided by, see ``FactorRule.divides``), one a block.

    ``before``: what x is multiplied (or divided) by first, in an operation of its own, if anything. ``stored``: the decode
    multiplier where it is not the tensor scale's.
    """

    codes: NDArray[np.unsignedinteger]
    factor: NDArray[np.float32]
    before: NDArray[np.float32] | None = None
    stored: NDArray[np.float32] | None = None


PACKING = "element 2i in the low nibble, 2i+1 in the high one"


@dataclass(frozen=True)
class Convention:
    """What a library does, in words: what ``fp4sim dialects show`` prints.

    ``expression``: operations in order, fl() left out; A amax of the tensor, a of the block, v the element's maximum, F the
    bound of block scales, c = fl(1/v), Q the cast of the block scale, r = rcp.approx.ftz. ``checked``: what fp4sim's bits
    are compared with in its tests.
    """

    title: str
    expression: tuple[str, ...]
    source: str
    checked: str
    clamps: str = "none but the saturation of the casts"
    zero_block: str = "scale 0, codes ±0"
    ties: str = "to even"
    special: str = "−0 keeps its sign, NaN gives +max (the instruction's)"
    power: str = "no power-of-two scales"
    packing: str = PACKING
    layout: str = "128x4 where a tensor core reads them, else linear"
    tensor_scale: str = "multiplier"
    notes: tuple[str, ...] = ()
