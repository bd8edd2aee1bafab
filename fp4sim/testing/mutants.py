"""Faulty kernels as data: each row makes, of a tensor and its right quantization, what a kernel with that mistake writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.testing.changes import codes_of, requantized, rounded, scale_matrix, with_codes, with_scales

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.packed import PackedTensor

Fault = Callable[["PackedTensor", "NDArray[Any]"], "PackedTensor | None"]


@dataclass(frozen=True)
class Mutant:
    """A mistake. ``make(right, x)``: the faulty output; None where the mistake cannot be made with this spec."""

    name: str
    about: str
    make: Fault


def _on_codes(change: Callable[[NDArray[Any], PackedTensor], NDArray[Any]]) -> Fault:
    return lambda right, x: with_codes(right, change(codes_of(right), right))


def _on_scales(change: Callable[[NDArray[Any], PackedTensor], NDArray[Any] | None]) -> Fault:
    def make(right: PackedTensor, x: NDArray[Any]) -> PackedTensor | None:
        scales = scale_matrix(right)
        changed = None if scales is None else change(scales, right)
        return None if changed is None else with_scales(right, changed)

    return make


def _on_tensor_scale(change: Callable[[NDArray[np.float32]], NDArray[Any]]) -> Fault:
    def make(right: PackedTensor, x: NDArray[Any]) -> PackedTensor | None:
        if right.spec.tensor_scale.mode == "none":
            return None
        with np.errstate(all="ignore"):
            return replace(right, tensor_scale=np.asarray(change(right.tensor_scale), np.float32))

    return make


def _step(steps: int) -> Callable[[NDArray[Any], PackedTensor], NDArray[Any]]:
    def change(scales: NDArray[Any], right: PackedTensor) -> NDArray[Any]:
        assert right.spec.scale is not None
        return np.clip(scales.astype(np.int64) + steps, 0, right.spec.scale.max_code)

    return change


def _unit_scales(scales: NDArray[Any], right: PackedTensor) -> NDArray[Any] | None:
    fmt = right.spec.scale
    assert fmt is not None
    if fmt.bits > 16:
        return np.full_like(scales, 0x3F800000)
    code = int(np.searchsorted(fmt.magnitudes(), 1.0))
    return np.full_like(scales, code) if code <= fmt.max_code and fmt.value(code) == 1.0 else None


def _transposed(scales: NDArray[Any], right: PackedTensor) -> NDArray[Any] | None:
    return np.ascontiguousarray(scales.T).reshape(scales.shape) if min(scales.shape) > 1 else None


def _swizzled(scales: NDArray[Any], right: PackedTensor) -> NDArray[Any] | None:
    from fp4sim.layouts import swizzle

    if scales.dtype != np.uint8 or right.geometry.block.kind != "tile":
        return None
    return swizzle(scales, "128x4").reshape(-1)[: scales.size].reshape(scales.shape)


def _one_nan(scales: NDArray[Any], right: PackedTensor) -> NDArray[Any] | None:
    assert right.spec.scale is not None
    if right.spec.scale.nan_code is None:
        return None
    changed = scales.copy()
    changed[-1, -1] = right.spec.scale.nan_code
    return changed


def _one_step(scales: NDArray[Any], right: PackedTensor) -> NDArray[Any]:
    changed = scales.copy()
    changed[scales.shape[0] // 2, -1] = max(1, int(scales[scales.shape[0] // 2, -1])) - 1
    return changed


def _swapped(right: PackedTensor, x: NDArray[Any]) -> PackedTensor | None:
    if right.spec.element.bits > 4:
        return None
    return replace(right, packed=right.packed >> np.uint8(4) | right.packed << np.uint8(4))


def _flipped(codes: NDArray[Any], right: PackedTensor) -> NDArray[Any]:
    return np.asarray(codes ^ codes.dtype.type(right.spec.element.sign_mask))


def _unsigned(codes: NDArray[Any], right: PackedTensor) -> NDArray[Any]:
    return np.asarray(codes & codes.dtype.type(right.spec.element.sign_mask - 1))


def _plus_zero(codes: NDArray[Any], right: PackedTensor) -> NDArray[Any]:
    return np.where(codes == right.spec.element.sign_mask, 0, codes)


def _clipped(codes: NDArray[Any], right: PackedTensor) -> NDArray[Any]:
    top = right.spec.element.max_code
    return np.where((codes & (right.spec.element.sign_mask - 1)) == top, codes - 1, codes)


def _without_last_block(codes: NDArray[Any], right: PackedTensor) -> NDArray[Any]:
    width = right.geometry.block.cols if right.geometry.block.kind == "tile" else 16
    changed = codes.copy()
    changed[:, (right.geometry.length - 1) // width * width :] = 0
    return changed


def _without_last_row(codes: NDArray[Any], right: PackedTensor) -> NDArray[Any]:
    changed = codes.copy()
    changed[-1] = 0
    return changed


def _stale_half(codes: NDArray[Any], right: PackedTensor) -> NDArray[Any]:
    half = codes.shape[0] // 2
    changed = codes.copy()
    changed[half : 2 * half] = codes[:half]
    return changed


def _one_code(codes: NDArray[Any], right: PackedTensor) -> NDArray[Any]:
    changed = codes.copy()
    changed[codes.shape[0] // 2, right.geometry.length // 2] ^= codes.dtype.type(1)
    return changed


def _from_bf16(right: PackedTensor, x: NDArray[Any]) -> PackedTensor | None:
    import ml_dtypes

    if x.dtype.name not in ("float32", "float64"):
        return None
    with np.errstate(over="ignore"):
        return requantized(right, x.astype(ml_dtypes.bfloat16), right.spec)


def _other_rule(right: PackedTensor, x: NDArray[Any]) -> PackedTensor | None:
    others = {"rn": "down", "up": "rn", "down": "rn", "floor": "ceil"}
    rule = right.spec.rule
    return None if rule is None else requantized(right, x, replace(right.spec, rule=others.get(rule, "floor")))


def _wide_blocks(right: PackedTensor, x: NDArray[Any]) -> PackedTensor | None:
    block = right.spec.block
    if block.kind != "tile" or block.rows > 1 or right.spec.tensor_scale.mode == "blocks":
        return None
    wide = requantized(right, x, replace(right.spec, block=replace(block, cols=2 * block.cols)))
    scales = None if wide is None else scale_matrix(wide)
    if wide is None or scales is None:
        return None
    both = scales.repeat(2, axis=1)[:, : right.block_scale.shape[-1]]
    narrow = with_codes(right, codes_of(wide)[:, : codes_of(right).shape[1]])
    return replace(with_scales(narrow, both), tensor_scale=wide.tensor_scale)


MUTANTS: tuple[Mutant, ...] = (
    Mutant("zeros", "every code is zero: nothing was written", _on_codes(lambda codes, _: np.zeros_like(codes))),
    Mutant("scale.dropped", "block scales are all 1", _on_scales(_unit_scales)),
    Mutant("scale.plus_one", "every scale code one step high", _on_scales(_step(1))),
    Mutant("scale.minus_one", "every scale code one step low", _on_scales(_step(-1))),
    Mutant("scale.one_wrong", "one scale code one step low", _on_scales(_one_step)),
    Mutant("scale.transposed", "block scales stored column by column", _on_scales(_transposed)),
    Mutant("scale.swizzled", "block scales left in the 128x4 layout", _on_scales(_swizzled)),
    Mutant("scale.shifted", "each block with its neighbour's scale", _on_scales(lambda s, _: np.roll(s, 1))),
    Mutant("scale.first", "the first scale of a row for all its blocks", _on_scales(lambda s, _: s[:, :1] + 0 * s)),
    Mutant("scale.nan", "one scale is NaN", _on_scales(_one_nan)),
    Mutant("scale.other_rule", "scales truncated, or by another rule; codes follow", _other_rule),
    Mutant("scale.wide_blocks", "one scale for two blocks; codes follow", _wide_blocks),
    Mutant("tensor_scale.dropped", "the tensor scale is 1", _on_tensor_scale(np.ones_like)),
    Mutant("tensor_scale.divisor", "the tensor scale is a divisor", _on_tensor_scale(lambda scale: 1 / scale)),
    Mutant(
        "tensor_scale.off", "the tensor scale of an amax one bf16 step away", _on_tensor_scale(lambda s: s * 1.0078125)
    ),
    Mutant("codes.nibbles", "the two codes of a byte swapped", _swapped),
    Mutant("codes.truncated", "codes truncated, not rounded", rounded("rz")),
    Mutant("codes.ties_away", "ties away from zero, not to even", rounded("rna")),
    Mutant("codes.ties_zero", "ties toward zero, not to even", rounded("rnz")),
    Mutant("codes.stochastic", "codes rounded stochastically", rounded("sr", ("clip", True))),
    Mutant("codes.from_bf16", "rounded to bf16 first", _from_bf16),
    Mutant("codes.clipped", "the largest code is never used", _on_codes(_clipped)),
    Mutant("codes.sign_flipped", "every sign flipped", _on_codes(_flipped)),
    Mutant("codes.sign_lost", "every sign lost", _on_codes(_unsigned)),
    Mutant("codes.minus_zero", "-0 written as +0", _on_codes(_plus_zero)),
    Mutant("codes.shifted", "codes one element late", _on_codes(lambda codes, _: np.roll(codes, 1, axis=1))),
    Mutant("codes.last_block", "the last block of each row is zero", _on_codes(_without_last_block)),
    Mutant("codes.last_row", "the last row is zero", _on_codes(_without_last_row)),
    Mutant("codes.stale", "the second half repeats the first", _on_codes(_stale_half)),
    Mutant("codes.one_wrong", "one code off by one step", _on_codes(_one_code)),
)
