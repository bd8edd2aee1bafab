"""A case from arrays in memory: numpy, ml_dtypes, torch (float4 and float8 too), DLPack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fp4sim.errors import NothingComparedError, UsageError
from fp4sim.interop import as_array
from fp4sim.verifying.dump import Case, input_of, refuse_nan


def case_of(x: Any, codes: Any, outputs: Mapping[str, Any]) -> Case:
    """The case of an input, codes (one array, or a list with one a draw) and other outputs by role.

    Raises UsageError, UnreadableError, and NothingComparedError where there is no output at all.
    """
    if codes is None and all(value is None for value in outputs.values()):
        raise NothingComparedError("nothing to compare: give codes, block_scale, tensor_scale or dequantized")
    if outputs.get("tensor_scale") is not None and outputs.get("divisor") is not None:
        raise UsageError("tensor_scale and divisor are both given: the kernel has one of them")
    draws = () if codes is None else tuple(codes) if isinstance(codes, (list, tuple)) else (codes,)
    found = {role: None if value is None else as_array(value)[0] for role, value in outputs.items()}
    array = input_of(as_array(x)[0], "x")
    if refuse_nan(array, "x"):
        for role, value in found.items():
            if value is not None:
                refuse_nan(value, role)
    divisor = found.get("divisor")
    return Case(
        "",
        array,
        tuple(as_array(draw)[0] for draw in draws),
        found.get("block_scale"),
        found.get("tensor_scale") if divisor is None else divisor,
        divisor is not None,
        found.get("dequantized"),
    )
