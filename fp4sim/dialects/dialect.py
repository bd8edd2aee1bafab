"""What a dialect is: the float operations, in order, from block maxima to scale codes and one factor a block.

A dialect is data: each field is one decision of a library, and two dialects differ in fields. So one field of a dialect can
be exchanged for another's, which is how ``fp4sim diff`` finds the operation that makes two of them differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from fp4sim.dialects import mx
from fp4sim.dialects.base import SCALE_ROUNDING, BlockScales, Convention, TensorFactors
from fp4sim.dialects.operations import (
    TE_FACTOR,
    TE_SCALE,
    TE_TENSOR,
    FactorRule,
    ScaleRule,
    TensorRule,
    TwoScales,
    flushed,
    given,
)
from fp4sim.kernels.reference.encode import decode
from fp4sim.rounding import HARDWARE, CastPolicy, Rounding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.dialects.target import Target
    from fp4sim.floats import FloatFormat
    from fp4sim.kernels.interface import Kernels

ScaleCast = Callable[["NDArray[np.float32]", "FloatFormat"], "NDArray[np.unsignedinteger]"]


@dataclass(frozen=True)
class ZeroBlock:
    """What becomes of blocks whose scale is zero: what replaces it, and which zero makes the multiplier 0.

    ``wanted``: instead of a scale that is 0 before its cast; ``scale``: instead of one that is 0 after it. ``silent``: the
    multiplier is 0 where the ``scale`` (or the block's ``amax``) is 0, else what the formula gives.
    """

    wanted: float | None = None
    scale: float | None = None
    silent: Literal["never", "scale", "amax"] = "never"


@dataclass(frozen=True)
class ElementRule:
    """How scaled elements become codes. ``flush``: subnormal elements are taken as zeros (-ftz=true)."""

    nearest: Rounding = Rounding.RN
    policy: CastPolicy = HARDWARE
    flush: bool = False


@dataclass(frozen=True)
class Dialect:
    """A library's arithmetic; what a module leaves out is Transformer Engine's.

    ``tensor``, ``scale``, ``factor``: the three formulas of float block scales. ``floor``: the least block scale, the
    encoding's smallest normal or smallest number. ``scale_cast``: a cast of its own for block scales. ``power``: how
    power-of-two scales are made. ``element``: the cast of elements; ``power_element``: under power-of-two scales, and
    ``wide_policy``: to formats with NaN, where those differ. ``one_level``: no tensor scale, whatever the spec says.
    ``two``: its four-over-six, if it has one. ``eager``: PyTorch's eager order of operations, where a float32 block scale is
    the block's amax itself, x is divided by it and then by 1/v, and sums are float32.
    """

    name: str
    convention: Convention
    tensor: TensorRule = TE_TENSOR
    scale: ScaleRule = TE_SCALE
    factor: FactorRule = TE_FACTOR
    floor: Literal["none", "normal", "smallest"] = "none"
    zero: ZeroBlock = field(default_factory=ZeroBlock)
    scale_cast: ScaleCast | None = None
    power: mx.PowerScales = field(default_factory=mx.PowerScales)
    element: ElementRule = field(default_factory=ElementRule)
    power_element: ElementRule | None = None
    wide_policy: CastPolicy | None = None
    one_level: bool = False
    two: TwoScales | None = None
    eager: bool = False

    def element_rule(self, element: FloatFormat, scale: FloatFormat | None) -> ElementRule:
        """The cast of elements behind a kind of scale."""
        if self.wide_policy is not None and element.nan_code is not None:
            return ElementRule(self.element.nearest, self.wide_policy, self.element.flush)
        return (scale is not None and not scale.has_zero and self.power_element) or self.element

    def divides_under(self, scale: FloatFormat | None) -> bool:
        """Whether x is divided by the factor; powers of two are always multiplied, which is the same."""
        return self.divides and not (scale is not None and not scale.has_zero)

    @property
    def divides(self) -> bool:
        """Whether x is divided by the factor under float scales."""
        return self.factor.divides

    @property
    def nearest(self) -> Rounding:
        """What ``rn`` is under float scales."""
        return self.element.nearest

    @property
    def policy(self) -> CastPolicy:
        """Overflow, NaN and signed zero under float scales."""
        return self.element.policy

    def tensor_factors(self, target: Target, amax: NDArray[np.float32]) -> TensorFactors:
        """From the amax of each tensor-scale group, any shape."""
        with np.errstate(all="ignore"):
            return self.tensor.run(target, np.asarray(amax, np.float32))

    def given_factors(self, target: Target, stored: NDArray[np.float32]) -> TensorFactors:
        """From decode multipliers that the caller fixed."""
        return given(np.asarray(stored, np.float32))

    def block_scales(
        self, target: Target, amax: NDArray[np.float32], factors: TensorFactors, kernels: Kernels
    ) -> BlockScales:
        """Scale codes and factors of blocks with maxima ``amax``, from the factors of their groups (broadcastable)."""
        scale = target.spec.scale
        assert scale is not None
        with np.errstate(all="ignore"):
            if not scale.has_zero:
                return self.power.block_scales(target, amax, factors)
            if self.eager and scale.name == "fp32":
                return self._amax_as_scale(target, amax, factors)
            if self._is_te:
                multiplier = np.asarray(factors.encode * target.inverse)
                rounding = SCALE_ROUNDING[target.spec.rule or "rn"]
                return BlockScales(*kernels.te_scales(amax, multiplier, factors.decode, scale, rounding))
            codes = self._scale_codes(target, amax, factors, kernels)
            value = decode(codes, scale).astype(np.float32)
            factor = np.asarray(self.factor.run(value, factors), np.float32)
            before = np.broadcast_to(factors.encode, amax.shape) if self.factor.before else None
            return BlockScales(codes, np.where(self.silences(value, amax), np.float32(0), factor), before)

    def silences(self, value: NDArray[np.float32], amax: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Where the multiplier is 0 whatever the formula gives, by the float block scales' values and maxima."""
        seen = flushed(amax) if self.element.flush else amax
        kinds = {"never": np.zeros(amax.shape, np.bool_), "scale": value == 0, "amax": seen == 0}
        return np.asarray(kinds[self.zero.silent])

    def two_scales(
        self, target: Target, amax: NDArray[np.float32], factors: TensorFactors, kernels: Kernels
    ) -> tuple[BlockScales, BlockScales]:
        """Four over six: a block's scales with amax at 6 and at 4."""
        assert self.two is not None
        first, second = replace(self, scale=self.two.six), replace(self, scale=self.two.four)
        return tuple(one.block_scales(target, amax, factors, kernels) for one in (first, second))  # type: ignore[return-value]

    def _amax_as_scale(self, target: Target, amax: NDArray[np.float32], factors: TensorFactors) -> BlockScales:
        value = np.ascontiguousarray(np.where(amax == 0, np.float32(self.zero.scale or 0), amax))
        rest = np.asarray(target.inverse * factors.stored, np.float32)
        return BlockScales(value.view(np.uint32), np.broadcast_to(rest, amax.shape), value, rest)

    @property
    def _is_te(self) -> bool:
        """Whether the compiled scale stage is this dialect's."""
        formulas = self.scale is TE_SCALE and self.factor is TE_FACTOR
        return formulas and self.floor == "none" and self.zero == ZeroBlock() and self.scale_cast is None

    def _scale_codes(
        self, target: Target, amax: NDArray[np.float32], factors: TensorFactors, kernels: Kernels
    ) -> NDArray[np.unsignedinteger]:
        scale = target.spec.scale
        assert scale is not None
        wanted = np.asarray(self.scale.run(target, amax, factors), np.float32)
        if self.zero.wanted is not None:
            wanted = np.where(wanted == 0, np.float32(self.zero.wanted), wanted)
        if self.floor != "none":
            least = scale.min_normal if self.floor == "normal" else scale.smallest
            wanted = np.maximum(wanted, np.float32(least))  # keeps NaN
        if self.scale_cast is not None:
            return self.scale_cast(wanted, scale)
        codes = kernels.cast(wanted, scale, SCALE_ROUNDING[target.spec.rule or "rn"])
        if self.zero.scale is not None:
            instead = kernels.cast(np.full(1, self.zero.scale, np.float32), scale, Rounding.RN)
            codes = np.where(codes == 0, instead, codes)
        return codes
