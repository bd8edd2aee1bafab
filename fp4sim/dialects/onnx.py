"""ONNX's cast to FLOAT4E2M1 (and FLOAT8 with saturate=1): the element alone."""

from __future__ import annotations

from fp4sim.dialects.base import Convention
from fp4sim.dialects.dialect import Dialect

DIALECT = Dialect(
    "onnx",
    Convention(
        title="ONNX's Cast",
        expression=("code = cast(x), saturating",),
        zero_block="no scales",
        layout="no scales",
        tensor_scale="no scales",
        source="onnx/onnx: docs/docsgen/source/technical/float4.md, Cast operator",
        checked="hypothesis against its description; no output of the library",
    ),
)
