"""torchao's NVFP4 and MX arithmetic (main 36027d8; ``:v0.18`` for release 0.18.0 where that differs).

NVFP4, two levels: p = A/2688, s = Q(clamp((a/6)/p, 2^-6, 448)), code = cast(clamp(x·((1/p)/s), ±6)); ``:onelevel`` is p = 1.
MX: the named rules; NaN codes are cut from the NaN's bits. 0.18.0 differs under MX: Inf counts as 2^128, a scale of
2^-127 divides as 2^-126 (``rceil``: as 1), a NaN scale divides as Inf, and ``rceil`` takes ceil(log2(a/6)) in float32.
``:cuda`` is NVFP4 in eager mode on a GPU, where torch divides by a constant as by multiplying with its rounded reciprocal:
p = A·fl(1/2688), s = Q(clamp((a·fl(1/6))/p, …)).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects.base import BlockScales, Convention, TensorFactors
from fp4sim.dialects.dialect import Dialect, ElementRule
from fp4sim.dialects.mx import NAN_CODE, PowerScales, float_log2
from fp4sim.dialects.operations import MULTIPLIER, ONE, QUOTIENT, FactorRule, ScaleRule, TensorRule, element_max
from fp4sim.rounding import CastPolicy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.dialects.target import Target

NAN_OF_E4M3 = np.array(0x7FF00000, np.uint32).view(np.float32)  # what torch widens 0x7f to
SOURCE = "pytorch/ao 36027d8: torchao/prototype/mx_formats/{nvfp4_tensor,mx_tensor}.py"


def _factor(value: NDArray[np.float32], factors: TensorFactors) -> NDArray[np.float32]:
    factor = np.asarray((ONE / factors.decode) / value)
    return np.where(np.isnan(value), NAN_OF_E4M3, factor)


def _tensor_on_gpu(target: Target, amax: NDArray[np.float32]) -> TensorFactors:
    p = np.asarray(amax * (ONE / target.reach), np.float32)
    return TensorFactors(np.asarray(ONE / p), p, p)


def _scale_on_gpu(target: Target, amax: NDArray[np.float32], factors: TensorFactors) -> NDArray[np.float32]:
    return np.asarray(amax * (ONE / element_max(target)) / factors.decode)


class ReleasedPowerScales(PowerScales):
    """What 0.18.0 does with the ends of the range."""

    def block_scales(self, target: Target, amax: NDArray[np.float32], factors: TensorFactors) -> BlockScales:
        """As the class it refines, with the release's multipliers under code 0, 254 and NaN."""
        scales = super().block_scales(target, amax, factors)
        if target.spec.rule != "rceil":
            smallest = np.float32(2.0**126) * factors.encode * np.float32(target.shrink)
            factor = np.where(scales.codes == 0, smallest, scales.factor)
            return BlockScales(scales.codes, np.where(scales.codes == NAN_CODE, np.float32(0), factor))
        one = np.asarray(factors.encode * np.float32(target.shrink), np.float32)
        return BlockScales(scales.codes, np.where(scales.codes == 0, one, scales.factor))


def _released(amax: NDArray[np.float32], target: Target) -> NDArray[np.uint8]:
    element, rule = target.spec.element, target.spec.rule or "floor"
    nan = np.isnan(amax)
    if rule == "rceil":
        wanted = np.asarray(amax / element_max(target), np.float32)
        with np.errstate(all="ignore"):
            code = np.clip(np.ceil(float_log2(wanted)), -127, 127) + 127
        code = np.where(np.isinf(wanted), 254, code)
    else:
        exponent = np.asarray(amax.view(np.int32), np.int64)
        if rule == "even":
            exponent = exponent + (1 << (22 - element.mantissa_bits))
        exponent = np.minimum(exponent >> 23, 255)
        up = (amax.view(np.int32) & 0x7FFFFF) > 0 if rule == "ceil" else 0
        code = np.clip(exponent + up - element.emax, 0, 255)
    return np.where(nan, NAN_CODE, code).astype(np.uint8)


DIALECT = Dialect(
    "torchao",
    Convention(
        title="torchao's order of operations",
        expression=(
            "p = A/(F·v)",
            "s = Q(clamp((a/v)/p, 2^-6, F))",
            "code = cast(clamp(x·((1/p)/s), ±v))",
            ":onelevel: p = 1; :cuda: p = A·fl(1/(F·v)), (a·fl(1/v))/p",
        ),
        clamps="block scales at E4M3's smallest normal 2^-6 and at 448, elements at ±6",
        zero_block="scale 2^-6, codes ±0; an all-zero tensor has p = 0 and NaN scales",
        special="−0 keeps its sign; NaN gives bits of its payload (3 for 7fc00000, 4 under an E4M3 NaN)",
        power="floor (default), ceil, even, rceil; an amax of Inf or NaN gives 255; :v0.18 as release 0.18.0",
        layout="linear, or 128x4 where asked for",
        tensor_scale="multiplier, A/(F·v)",
        source=SOURCE,
        checked="bit-equal to stored vectors of both versions (NVFP4 one and two levels, MX), and to an installed torchao",
        notes=(
            "NaN scales are stored as 0x7f; the sign of torch's depends on the processor",
            "on a GPU eager code is :cuda, and compiled code may divide with div.full, which no dialect here computes",
        ),
    ),
    tensor=MULTIPLIER,
    scale=QUOTIENT,
    factor=FactorRule("x·((1/p)/s)", _factor),
    floor="normal",
    element=ElementRule(policy=CastPolicy(nan="payload")),
)
ON_GPU_TENSOR = TensorRule("p = A·fl(1/(F·v))", _tensor_on_gpu)
ON_GPU_SCALE = ScaleRule("(a·fl(1/v))/p", _scale_on_gpu)
RELEASED = replace(DIALECT, power=ReleasedPowerScales("as release 0.18.0", _released))


def variant(flags: tuple[str, ...]) -> Dialect:
    """The dialect with ``onelevel``, ``v0.18`` or ``cuda``."""
    chosen = RELEASED if "v0.18" in flags else DIALECT
    if "cuda" in flags:
        chosen = replace(chosen, tensor=ON_GPU_TENSOR, scale=ON_GPU_SCALE)
    return replace(chosen, one_level=True) if "onelevel" in flags else chosen
