"""A spec's arithmetic on blocks as plain arrays: what a hypothesis changes one step of.

Shapes: x and codes (blocks, elements); amax, scale codes and factors (blocks,); the tensor-scale factors (blocks,) or ().
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects.base import BlockScales, TensorFactors
from fp4sim.dialects.operations import flushed
from fp4sim.dialects.registry import dialect_of
from fp4sim.dialects.target import FLT_MAX, target_of
from fp4sim.kernels.interface import ElementCast
from fp4sim.kernels.reference.encode import decode
from fp4sim.kernels.reference.encode import encode as reference_encode
from fp4sim.rounding import Rounding
from fp4sim.statistic import default_kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.spec import Spec


def cast_of(spec: Spec) -> ElementCast:
    """How a spec's elements are encoded; a stochastic spec's as if rounded to nearest."""
    dialect, rounding = dialect_of(spec), spec.rounding
    rule = dialect.element_rule(spec.element, spec.scale)
    nearest = rounding in (Rounding.RN, Rounding.SR)
    return ElementCast(
        spec.element,
        rule.nearest if nearest else rounding,
        0,
        rule.policy,
        divides=dialect.divides_under(spec.scale),
        flush=rule.flush,
    )


def factors_of(spec: Spec, group: NDArray[np.float32], given: NDArray[np.float32] | None) -> TensorFactors:
    """The tensor-scale factors for the amax of each block's group, or for the caller's decode multipliers."""
    target, dialect = target_of(spec), dialect_of(spec)
    if spec.tensor_scale.mode == "none" or dialect.one_level:
        one = np.asarray(np.float32(1))
        return TensorFactors(one, one, one)
    return dialect.given_factors(target, given) if given is not None else dialect.tensor_factors(target, group)


def scales_of(spec: Spec, amax: NDArray[np.float32], factors: TensorFactors, dtype: str = "float32") -> BlockScales:
    """Scale codes and factors of blocks; a spec without scales has the factor 1. ``dtype``: the tensor's."""
    if spec.scale is None:
        return BlockScales(np.zeros(amax.shape, np.uint8), np.ones(amax.shape, np.float32))
    row = TensorFactors(*(np.atleast_2d(part) for part in (factors.encode, factors.decode, factors.stored)))
    target = replace(target_of(spec), dtype=dtype)
    with np.errstate(all="ignore"):
        found = dialect_of(spec).block_scales(target, np.ascontiguousarray(amax[None]), row, default_kernels())
    factor = np.broadcast_to(found.factor, (1, amax.size))[0]
    return BlockScales(np.ascontiguousarray(found.codes[0]), np.ascontiguousarray(factor, np.float32))


def factor_for(
    spec: Spec, codes: NDArray[np.unsignedinteger], amax: NDArray[np.float32], factors: TensorFactors
) -> NDArray[np.float32]:
    """What a spec's arithmetic multiplies x by (or divides it by) in blocks of ``amax`` under given scale codes."""
    assert spec.scale is not None
    fmt, dialect = spec.scale, dialect_of(spec)
    values = decode(codes & codes.dtype.type((1 << fmt.magnitude_bits) - 1), fmt)
    with np.errstate(all="ignore"):
        if fmt.has_zero:
            value = values.astype(np.float32)
            factor = np.asarray(dialect.factor.run(value, factors), np.float32)
            return np.where(dialect.silences(value, amax), np.float32(0), np.broadcast_to(factor, codes.shape))
        one = scales_of(spec, np.ones(codes.shape, np.float32), factors)  # powers of two: any block tells all others
        factor = np.ldexp(one.factor, one.codes.astype(np.int32) - codes.astype(np.int32))
        if dialect.power.least is not None:
            least = one.factor * np.ldexp(np.float32(dialect.power.least), one.codes.astype(np.int32) - 127)
            factor = np.where(codes == 0, least, factor)
        return np.where(np.isnan(values), np.float32(np.nan), np.minimum(factor, FLT_MAX)).astype(np.float32)


def first_step(spec: Spec, x: NDArray[np.float32], factors: TensorFactors) -> NDArray[np.float32]:
    """x after what a dialect multiplies it by in an operation of its own, before the factor."""
    if spec.scale is None or not spec.scale.has_zero or not dialect_of(spec).factor.before:
        return x
    encode = np.broadcast_to(factors.encode, x.shape[:1])
    with np.errstate(all="ignore"):
        return np.asarray(x * encode[:, None])


def scaled(x: NDArray[np.float32], factor: NDArray[np.float32], *, divides: bool = False) -> NDArray[np.float32]:
    """fl(x * factor), or fl(x / factor); of two NaNs the factor's, as the reference has it for casts that read its bits."""
    with np.errstate(all="ignore"):
        product = np.asarray(x / factor[:, None] if divides else x * factor[:, None])
    odd = np.isnan(factor)
    product[odd] = factor[odd, None]
    return product


def encode(x: NDArray[np.float32], factor: NDArray[np.float32], cast: ElementCast) -> NDArray[np.unsignedinteger]:
    """Codes of x times (or over) its block's factor: compiled, and by the reference where something is not finite."""
    blocks, width = x.shape
    kernels = default_kernels()
    flat, tile = x.reshape(1, -1), (1, width)
    codes = kernels.encode(flat, np.ascontiguousarray(factor[None]), tile, cast).reshape(blocks, width)
    odd = ~(np.isfinite(kernels.block_amax(flat, tile)[0]) & np.isfinite(factor))
    if odd.any():
        first = flushed(x[odd]) if cast.flush else x[odd]
        codes[odd] = cast_codes(scaled(first, factor[odd], divides=cast.divides), cast)
    return codes


def strangers(spec: Spec, scaled_x: NDArray[np.float32], codes: NDArray[np.unsignedinteger]) -> NDArray[np.bool_]:
    """Where codes are neither of the two next to their scaled value, as the spec's cast has NaN, Inf and zeros.

    A NaN may have either sign: that of a product with one is the processor's choice.
    """
    cast = cast_of(spec)
    toward, up, down = (
        cast_codes(scaled_x, replace(cast, rounding=mode)) for mode in (Rounding.RZ, Rounding.RU, Rounding.RD)
    )
    wrong = (codes != toward) & (codes != np.where(np.signbit(scaled_x), down, up))
    mask = codes.dtype.type(spec.element.sign_mask - 1)
    return np.asarray(wrong & ~(np.isnan(scaled_x) & ((codes & mask) == (toward & mask))))


def cast_codes(scaled_x: NDArray[np.float32], cast: ElementCast) -> NDArray[np.unsignedinteger]:
    """Codes of values that are already scaled."""
    finite = np.isfinite(scaled_x).all()
    if finite and scaled_x.size:
        one = np.ones((1, 1), np.float32)
        flat = np.ascontiguousarray(scaled_x, np.float32).reshape(1, -1)
        plain = replace(cast, divides=False)
        padded = np.zeros((1, -(-flat.size // 32) * 32), np.float32)
        padded[:, : flat.size] = flat
        codes = default_kernels().encode(padded, one, padded.shape, plain)
        return np.asarray(codes[0, : flat.size]).reshape(scaled_x.shape)
    return reference_encode(scaled_x, cast.fmt, cast.rounding, policy=cast.policy)
