"""Transformer Engine's NVFP4 arithmetic (d0067d0, quantize kernels and reference_nvfp4.py agree): the default dialect.

With A the group's amax, a the block's, F the bound on block scales, v the element maximum and fl one float32 operation:

    S_enc = min(fl(fl(F v) / A), FLT_MAX), 1 if A = 0 or S_enc = 0        S_dec = fl(1 / S_enc)
    s     = cast(min(fl(a fl(S_enc fl(1/v))), FLT_MAX))                    factor = min(fl(1 / fl(s S_dec)), FLT_MAX)

A block whose s rounds to 0 keeps saturated codes under a zero scale. ``min`` is fminf: a NaN amax gives FLT_MAX.
Without a tensor scale S_enc = S_dec = 1. Power-of-two scales follow :mod:`fp4sim.dialects.mx`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects import mx
from fp4sim.dialects.base import SCALE_ROUNDING, BlockScales, DefaultPolicy, TensorFactors
from fp4sim.dialects.target import FLT_MAX

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.dialects.target import Target
    from fp4sim.kernels.interface import Kernels


class TransformerEngine(DefaultPolicy):
    """See the module's formulas."""

    name = "te"

    def tensor_factors(self, target: Target, amax: NDArray[np.float32]) -> TensorFactors:
        """S_enc, S_dec and the stored decode multiplier fl(A / fl(F v)); 1 for an all-zero group."""
        amax = np.asarray(amax, np.float32)
        with np.errstate(all="ignore"):
            encode = np.asarray(np.fmin(target.reach / amax, FLT_MAX), np.float32)
            encode = np.where((amax == 0) | (encode == 0), np.float32(1), encode)
            stored = np.where(amax == 0, np.float32(1), amax / target.reach)
            return TensorFactors(encode, np.asarray(np.float32(1) / encode, np.float32), stored)

    def given_factors(self, target: Target, stored: NDArray[np.float32]) -> TensorFactors:
        """The caller's decode multiplier is S_dec, its reciprocal S_enc."""
        stored = np.asarray(stored, np.float32)
        with np.errstate(all="ignore"):
            return TensorFactors(np.fmin(np.float32(1) / stored, FLT_MAX), stored, stored)

    def block_scales(
        self, target: Target, amax: NDArray[np.float32], factors: TensorFactors, kernels: Kernels
    ) -> BlockScales:
        """Scale codes and factors of blocks with maxima ``amax``."""
        scale = target.spec.scale
        assert scale is not None
        if not scale.has_zero:
            return mx.block_scales(target, amax, factors)
        with np.errstate(all="ignore"):
            multiplier = np.asarray(factors.encode * target.inverse)
        rounding = SCALE_ROUNDING[target.spec.rule or "rn"]
        return BlockScales(*kernels.te_scales(amax, multiplier, factors.decode, scale, rounding))


DIALECT = TransformerEngine()
