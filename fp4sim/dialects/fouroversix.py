"""The fouroversix package: a/6 first, then the tensor's factor; its choice of 4 or 6 is ``nvfp4@fouroversix+4over6``.

The choice multiplies (a/6)·g by 1.5 for 4, compares |q·s·A/(6·256) - x|², and gives ties to 6. How its sum over a block is
ordered is not known: here in order of columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects.base import Convention, TensorFactors
from fp4sim.dialects.dialect import Dialect, ZeroBlock
from fp4sim.dialects.mx import PowerScales, up_saturating
from fp4sim.dialects.operations import DIVIDED_FIRST, DIVISOR, ONE, TWO_BY_PRODUCT, FactorRule, element_max

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.dialects.target import Target


def _factor(value: NDArray[np.float32], factors: TensorFactors) -> NDArray[np.float32]:
    return np.asarray(ONE / ((ONE / factors.encode) * value))


def divided_up(amax: NDArray[np.float32], target: Target) -> NDArray[np.uint8]:
    """RP.satfinite of a/v."""
    return up_saturating(np.asarray(amax / element_max(target), np.float32))


DIALECT = Dialect(
    "fouroversix",
    Convention(
        title="fouroversix",
        expression=("g = (F·v)/A", "s = Q((a/v)·g)", "code = cast(x·(1/((1/g)·s))), x·0 where s = 0"),
        power="rceil, as the power of two at or above a/v",
        tensor_scale="divisor, g = (F·v)/A",
        source="mit-han-lab/fouroversix dadfad6: quantize reference",
        checked="hypothesis against its formula; no output of the library",
        notes=(
            "its default rule, four over six with bound 256, is nvfp4@fouroversix+4over6; without the step static 6",
            "its torch reference does not saturate above 6 under nearest rounding; here codes saturate, as its kernels do",
        ),
    ),
    tensor=DIVISOR,
    scale=DIVIDED_FIRST,
    factor=FactorRule("x·(1/((1/g)·s))", _factor),
    zero=ZeroBlock(silent="scale"),
    power=PowerScales("RP(a/v)", divided_up),
    two=TWO_BY_PRODUCT,
)
