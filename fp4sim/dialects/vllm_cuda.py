"""vLLM's CUDA kernels for NVFP4 and MXFP4 activations: two approximate reciprocals."""

from __future__ import annotations

from fp4sim.dialects.base import Convention
from fp4sim.dialects.dialect import Dialect, ZeroBlock
from fp4sim.dialects.operations import APPROXIMATE, APPROXIMATE_FACTOR, DIVISOR

HOPPER_NOTE = "r = rcp.approx.ftz as measured on Hopper (fp4sim.rcp); that of Blackwell is not known to be the same"
CALLER_NOTE = "g is the caller's; fp4sim takes (F·v)/A, 1 for an all-zero tensor"

DIALECT = Dialect(
    "vllm-cuda",
    Convention(
        title="vLLM's CUDA kernels",
        expression=("g = (F·v)/A", "s = Q(g·(a·r(v)))", "code = cast(x·r(s·r(g))), x·0 where s = 0"),
        power="even, codes clamped to 0..254",
        tensor_scale="divisor, g = (F·v)/A, the caller's",
        layout="128x4",
        source="vllm-project/vllm csrc/quantization/fp4; formulas as FlashInfer fb28d72, from which it stems",
        checked="hypothesis against its formula, with the table of Hopper's reciprocal; no output of the library",
        notes=(HOPPER_NOTE, CALLER_NOTE),
    ),
    tensor=DIVISOR,
    scale=APPROXIMATE,
    factor=APPROXIMATE_FACTOR,
    zero=ZeroBlock(silent="scale"),
)
