"""Quartet II's research kernels (IST-DASLab/Quartet-II 8776a90, quantizers/nvfp4_triton): divisions, ties away from zero.

With A the tensor's amax, a the block's, F the bound on block scales, v the value amax maps to, fl one float32 operation:

    t = fl(fl(A / F) / v), 1 if A = 0        b = cast(fl(fl(a / v) / t)), 1 where that is 0        code = cast(fl(x / fl(b t)))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects import mx
from fp4sim.dialects.base import SCALE_ROUNDING, BlockScales, DefaultPolicy, TensorFactors
from fp4sim.kernels.reference.encode import decode
from fp4sim.rounding import Rounding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.dialects.target import Target
    from fp4sim.kernels.interface import Kernels


class Quartet2(DefaultPolicy):
    """See the module's formulas."""

    name = "quartet2"
    divides = True
    nearest = Rounding.RNA

    def tensor_factors(self, target: Target, amax: NDArray[np.float32]) -> TensorFactors:
        """t is both what divides x and what is stored."""
        amax = np.asarray(amax, np.float32)
        with np.errstate(all="ignore"):
            t = np.asarray(amax / np.float32(target.bound) / np.float32(target.element_max), np.float32)
        t = np.where(amax == 0, np.float32(1), t)
        return TensorFactors(t, t, t)

    def given_factors(self, target: Target, stored: NDArray[np.float32]) -> TensorFactors:
        """The caller's decode multiplier is t."""
        stored = np.asarray(stored, np.float32)
        return TensorFactors(stored, stored, stored)

    def block_scales(
        self, target: Target, amax: NDArray[np.float32], factors: TensorFactors, kernels: Kernels
    ) -> BlockScales:
        """Scale codes and divisors of blocks with maxima ``amax``."""
        scale = target.spec.scale
        assert scale is not None
        if not scale.has_zero:
            scales = mx.block_scales(target, amax, TensorFactors(*(np.asarray(np.float32(1)),) * 3))
            with np.errstate(all="ignore"):
                return BlockScales(scales.codes, np.float32(1) / scales.factor)
        with np.errstate(all="ignore"):
            wanted = amax / np.float32(target.element_max) / factors.decode
            codes = kernels.cast(np.asarray(wanted, np.float32), scale, SCALE_ROUNDING[target.spec.rule or "rn"])
            one = kernels.cast(np.ones(1, np.float32), scale, Rounding.RN)
            codes = np.where(codes == 0, one, codes)
            return BlockScales(codes, np.asarray(decode(codes, scale).astype(np.float32) * factors.decode))


DIALECT = Quartet2()
