"""ml_dtypes' casts (float4_e2m1fn and wider): the element alone; what has no saturation overflows to NaN or Inf."""

from __future__ import annotations

from fp4sim.dialects.base import Convention
from fp4sim.dialects.dialect import Dialect, ElementRule
from fp4sim.rounding import CastPolicy

DIALECT = Dialect(
    "ml_dtypes",
    Convention(
        title="ml_dtypes' astype",
        expression=("code = cast(x)",),
        clamps="float4_e2m1fn saturates; formats with NaN or Inf overflow to it",
        zero_block="no scales",
        special="−0 keeps its sign; NaN keeps its sign where there is one, in E2M1 it becomes a zero of the other sign",
        packing="one code a byte",
        layout="no scales",
        tensor_scale="no scales",
        source="jax-ml/ml_dtypes 0.6.0: include/float8.h, mxfloat.h",
        checked="bit-equal to the installed ml_dtypes (E2M1, E4M3, E5M2)",
    ),
    element=ElementRule(policy=CastPolicy(nan="signed")),
    wide_policy=CastPolicy(overflow="special", nan="signed"),
)
