"""The block scale's quantity amax * S_enc / v and its cast, with one step changed: shared by the scale hypotheses."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects.base import SCALE_ROUNDING
from fp4sim.dialects.target import FLT_MAX, target_of
from fp4sim.errors import UsageError
from fp4sim.floats import FloatFormat
from fp4sim.kernels.reference.encode import encode as reference_encode
from fp4sim.rounding import Rounding
from fp4sim.spec_names import DIALECT_ROWS
from fp4sim.statistic import default_kernels
from fp4sim.verifying import arithmetic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.verifying.explain.evidence import Evidence


def is_float_scale(e: Evidence) -> bool:
    """Whether block scales are floats with a zero, not powers of two."""
    return e.spec.scale is not None and e.spec.scale.has_zero


def quantity(e: Evidence, amax: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """What the default arithmetic casts to a block scale: fl(amax * fl(S_enc * fl(1/v)))."""
    inverse = target_of(e.spec).inverse
    return np.asarray((e.amax if amax is None else amax) * (e.encode * inverse))


def cast_scale(
    e: Evidence, value: NDArray[np.float32], rounding: Rounding | None = None, fmt: FloatFormat | None = None
) -> NDArray[np.unsignedinteger]:
    """Scale codes of quantities, saturating, by the spec's rounding unless told otherwise."""
    fmt = fmt or e.spec.scale
    assert fmt is not None
    value = np.minimum(np.abs(np.asarray(value, np.float32)), FLT_MAX)
    how = rounding or SCALE_ROUNDING.get(e.spec.rule or "rn", Rounding.RN)
    if fmt.has_zero and np.isfinite(value).all() and fmt.bits <= 8:
        return default_kernels().cast(value, fmt, how)
    return reference_encode(value, fmt, how)


def scales_from(e: Evidence, amax: NDArray[np.float32]) -> NDArray[np.unsignedinteger]:
    """Scale codes of other block maxima by the spec's own arithmetic."""
    return arithmetic.scales_of(e.spec, np.ascontiguousarray(amax, np.float32), e.factors, e.dtype).codes


def scales_by_rule(e: Evidence, rule: str) -> NDArray[np.unsignedinteger]:
    """Scale codes under another rule; one that the spec's library does not have is the default arithmetic's."""
    spec = replace(e.spec, rule=rule)
    if not is_float_scale(e) and rule not in DIALECT_ROWS[spec.dialect].pow2_rules:
        spec = replace(spec, dialect="te", dialect_flags=())
    return arithmetic.scales_of(spec, e.amax, e.factors, e.dtype).codes


def scales_by_dialect(e: Evidence, dialect: str, flags: tuple[str, ...] = ()) -> NDArray[np.unsignedinteger]:
    """Scale codes in another library's order of operations; the spec's own where that library has no such scales."""
    try:
        spec = replace(e.spec, dialect=dialect, dialect_flags=flags)
        return arithmetic.scales_of(spec, e.amax, arithmetic.factors_of(spec, e.group, e.given), e.dtype).codes
    except UsageError:
        return e.want_scales


def value_text(fmt: FloatFormat, code: int) -> str:
    """A scale code with its value: 0x08 (2^-6)."""
    value = fmt.value(code) if code < 1 << fmt.bits else float("nan")
    if value != value:
        return f"0x{code:02X} (NaN)"
    mantissa, exponent = np.frexp(value)
    power = value != 1 and mantissa == 0.5
    return f"0x{code:02X} ({f'2^{exponent - 1}' if power else f'{value:g}'})"
