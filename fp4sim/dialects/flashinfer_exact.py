"""FlashInfer with FLASHINFER_DISABLE_FP4_QUANT_FAST_MATH=1: Transformer Engine's arithmetic, multiplier 0 for zero blocks."""

from __future__ import annotations

from fp4sim.dialects.base import Convention
from fp4sim.dialects.dialect import Dialect, ZeroBlock

DIALECT = Dialect(
    "flashinfer-exact",
    Convention(
        title="FlashInfer without fast math",
        expression=(
            "S = min((F·v)/A, FLT_MAX), 1 if A = 0",
            "s = Q(min(a·(S·c), FLT_MAX))",
            "code = cast(x·min(1/(s·(1/S)), FLT_MAX)), x·0 where a = 0",
        ),
        clamps="S, the wanted scale and the multiplier at FLT_MAX",
        power="rceil: a·c rounded up to a power of two",
        tensor_scale="divisor, S, the caller's",
        layout="128x4, 8x4 for few rows, or linear",
        source="flashinfer-ai/flashinfer fb28d72: FLASHINFER_DISABLE_FP4_QUANT_FAST_MATH",
        checked="equal to te by construction, which is checked; hypothesis against its formula; no output of the library",
    ),
    zero=ZeroBlock(silent="amax"),
)
