"""Changes to a PackedTensor that mutants are made of: codes and scales as matrices, and other roundings of the same data."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.errors import Fp4simError
from fp4sim.kernels.reference.blocks import pack, unpack
from fp4sim.packing import quantize_tensor
from fp4sim.rounding import Rounding
from fp4sim.spec import Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fp4sim.packed import PackedTensor
    from fp4sim.spec import Spec
    from fp4sim.spec_names import Value

_ROUNDINGS = {mode.value for mode in Rounding}


def codes_of(packed: PackedTensor) -> NDArray[Any]:
    """Codes one an element, (rows, stored length)."""
    flat = packed.packed.reshape(packed.geometry.rows, -1)
    if packed.spec.element.bits <= 4:
        return unpack(flat)
    return flat.view(packed.spec.element.code_dtype.newbyteorder("<"))


def with_codes(packed: PackedTensor, codes: NDArray[Any]) -> PackedTensor:
    """The tensor with other codes; its padding stays zero."""
    dtype = packed.spec.element.code_dtype
    whole = np.ascontiguousarray(codes, dtype).copy()
    whole[:, packed.geometry.length :] = 0
    raw = pack(whole) if packed.spec.element.bits <= 4 else whole.astype(dtype.newbyteorder("<")).view(np.uint8)
    return replace(packed, packed=raw.reshape(packed.packed.shape))


def scale_matrix(packed: PackedTensor) -> NDArray[Any] | None:
    """Block scales as a matrix; None where there are none or only one."""
    if packed.spec.scale is None or packed.block_scale.size < 2:
        return None
    return packed.block_scale.reshape(-1, packed.block_scale.shape[-1])


def with_scales(packed: PackedTensor, scales: NDArray[Any]) -> PackedTensor:
    """The tensor with other block scales."""
    return replace(packed, block_scale=scales.astype(packed.block_scale.dtype).reshape(packed.block_scale.shape))


def requantized(right: PackedTensor, x: NDArray[Any], spec: Spec) -> PackedTensor | None:
    """x under another spec, taken for the output of the right one; None for a spec that is not computed."""
    from fp4sim.io.source import ArrayTensor

    given = right.tensor_scale if spec.tensor_scale.mode == "given" else None
    try:
        made = quantize_tensor(
            ArrayTensor("", x),
            spec,
            axis=right.axis,
            seed=right.seed or 0,
            tensor_scale=given,
            nonfinite="propagate",
        )
    except Fp4simError:
        return None
    return made


def rounded(mode: str, *parameters: tuple[str, Value]) -> Callable[[PackedTensor, NDArray[Any]], PackedTensor | None]:
    """A mutant that rounds elements otherwise under the same scales."""

    def make(right: PackedTensor, x: NDArray[Any]) -> PackedTensor | None:
        if right.spec.rounding.value == mode:
            return None
        steps = tuple(step for step in right.spec.steps if step.name not in _ROUNDINGS)
        made = requantized(right, x, replace(right.spec, steps=(*steps, Step(mode, parameters))))
        return None if made is None else with_codes(right, codes_of(made))

    return make
