"""llama.cpp's reference quantizers (GGML_TYPE_NVFP4, GGML_TYPE_MXFP4): nearest code by search, no tensor scale.

The search |k·d − x| with a strict less-than keeps the lower magnitude at ties and never finds −0. Its differences are exact
near every tie, so x/d rounded to float32 and then to nearest, ties toward zero, gives the same codes. The scale's own cast
rounds halves up, makes 448 of everything from 256 on, and does not reach the normals from below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects.base import Convention, TensorFactors
from fp4sim.dialects.dialect import Dialect, ElementRule
from fp4sim.dialects.mx import NAN_CODE, PowerScales, float_log2
from fp4sim.dialects.operations import FactorRule, ScaleRule, TensorRule, element_max, given
from fp4sim.dialects.target import FLT_MAX
from fp4sim.rounding import CastPolicy, Rounding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.dialects.target import Target
    from fp4sim.floats import FloatFormat


def _none(target: Target, amax: NDArray[np.float32]) -> TensorFactors:
    return given(np.ones(amax.shape, np.float32))


def _scale(target: Target, amax: NDArray[np.float32], factors: TensorFactors) -> NDArray[np.float32]:
    return np.asarray(amax / element_max(target))


def _cast(x: NDArray[np.float32], fmt: FloatFormat) -> NDArray[np.unsignedinteger]:
    """Half up at the first bit that is cut; the top exponent is the maximum alone."""
    x = np.ascontiguousarray(np.fmin(x, np.float32(fmt.max)))
    mantissa, top = fmt.mantissa_bits, (1 << fmt.exponent_bits) - 1
    bits = x.view(np.int32)
    exponent = (bits >> 23) - 127 + fmt.bias
    code = ((bits >> (22 - mantissa)) + 1 >> 1) - ((127 - fmt.bias) << mantissa)
    code = np.where(code >> mantissa >= top, fmt.max_code, code)
    steps = np.float32(1 / fmt.smallest)
    low = np.minimum((x * steps + np.float32(0.5)).astype(np.int32), (1 << mantissa) - 1)
    return np.where(exponent <= 0, low, code).astype(fmt.code_dtype)


def _divisor(value: NDArray[np.float32], factors: TensorFactors) -> NDArray[np.float32]:
    return np.where(value == 0, FLT_MAX, value)  # every code is as near as 0, which comes first


def _power_codes(amax: NDArray[np.float32], target: Target) -> NDArray[np.uint8]:
    exponent = np.floor(float_log2(amax)) - target.spec.element.emax
    code = np.where(amax > 0, np.clip(exponent + 127, 0, 254), 0)
    return np.where(np.isfinite(amax), code, NAN_CODE).astype(np.uint8)


DIALECT = Dialect(
    "llamacpp",
    Convention(
        title="llama.cpp's reference quantizers",
        expression=("s = Q'(a/v), halves up, everything from 256 on becomes 448", "code = nearest of |code·s − x|"),
        clamps="the wanted scale at 448",
        zero_block="scale 0, codes 0",
        ties="toward zero",
        special="no −0: what rounds to zero is 0x0; NaN gives 0",
        power="floor, as floorf(log2f(a)) − 2; code 0 for a zero block",
        packing="NVFP4, groups of 16: element j in the low nibble, j + 8 in the high one; MXFP4: j and j + 16",
        layout="linear, in blocks: NVFP4 4 scales and 32 bytes of codes, MXFP4 1 and 16",
        tensor_scale="none in the block format; converted checkpoints keep one beside it as a multiplier",
        source="ggml-org/llama.cpp b11654 (1adda1caf): ggml/src/ggml-quants.c, ggml-impl.h",
        checked="hypothesis against the search itself; no output of the library",
        notes=(
            "llama.cpp doubles the codes' values and halves its scales; the products are the same",
            "magnitudes above 2^32 saturate here; there the search's differences round to the same and give 0",
            "log2f is taken as correctly rounded; Inf and NaN are not followed",
        ),
    ),
    tensor=TensorRule("none", _none),
    scale=ScaleRule("a/v", _scale),
    factor=FactorRule("nearest of |code·s − x|", _divisor, divides=True),
    scale_cast=_cast,
    power=PowerScales("floor(log2f(a)) − emax", _power_codes),
    element=ElementRule(Rounding.RNZ, CastPolicy(nan="zero", negative_zero="never")),
)
