"""Transformer Engine's NVFP4 arithmetic (d0067d0, quantize kernels and reference_nvfp4.py agree): the default dialect.

With A the group's amax, a the block's, F the bound on block scales, v the element maximum and fl one float32 operation:

    S_enc = min(fl(fl(F v) / A), FLT_MAX), 1 if A = 0 or S_enc = 0        S_dec = fl(1 / S_enc)
    s     = cast(min(fl(a fl(S_enc fl(1/v))), FLT_MAX))                    factor = min(fl(1 / fl(s S_dec)), FLT_MAX)

A block whose s rounds to 0 keeps saturated codes under a zero scale. ``min`` is fminf: a NaN amax gives FLT_MAX.
Without a tensor scale S_enc = S_dec = 1. Power-of-two scales follow :mod:`fp4sim.dialects.mx`.
"""

from __future__ import annotations

from fp4sim.dialects.base import Convention
from fp4sim.dialects.dialect import Dialect
from fp4sim.dialects.operations import TWO_BY_PRODUCT

DIALECT = Dialect(
    "te",
    Convention(
        title="Transformer Engine's order of operations",
        expression=(
            "S = min((F·v)/A, FLT_MAX), 1 if A = 0",
            "s = Q(min(a·(S·c), FLT_MAX))",
            "code = cast(x·min(1/(s·(1/S)), FLT_MAX))",
        ),
        clamps="S, the wanted scale and the multiplier at FLT_MAX",
        zero_block="scale 0, codes ±0; a block whose scale underflows keeps saturated codes under it",
        power="any rule that the spec names; the library's own is rceil",
        tensor_scale="multiplier, A/(F·v)",
        source="TransformerEngine d0067d0: common/cast/nvfp4, pytorch/custom_recipes/reference_nvfp4.py",
        checked="bit-equal to the library's reference quantizer on stored vectors (codes, scales; 1x16, 16x16, by row)",
        notes=("four-over-six and the rotation of its gradients are steps: +4over6 (:fast), +rht:16:te, +h:16:te",),
    ),
    two=TWO_BY_PRODUCT,
)
