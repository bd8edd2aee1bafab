"""What hypotheses look at: blocks of a kernel's output beside fp4sim's own and the quantities both came from."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.dialects.base import BlockScales, TensorFactors
from fp4sim.dialects.operations import flushed
from fp4sim.verifying import arithmetic
from fp4sim.verifying.expected import Expected, decoded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.spec import Spec


@dataclass(frozen=True, eq=False)
class Evidence:
    """All blocks, or a sample of them; every array has one row a block.

    ``want``: the scale codes and factors of the spec's own arithmetic; ``want_codes``. ``scales``, ``codes``, ``values``:
    the kernel's, None where not dumped. ``encode``, ``decode``, ``stored``: tensor-scale factors. ``across``: blocks
    that follow one another in a row of the tensor. ``signed``: whether the sign of a zero among ``values`` counts.
    """

    spec: Spec
    across: int
    x: NDArray[np.float32]
    amax: NDArray[np.float32]
    group: NDArray[np.float32]
    encode: NDArray[np.float32]
    decode: NDArray[np.float32]
    stored: NDArray[np.float32]
    want_scales: NDArray[np.unsignedinteger]
    want_factor: NDArray[np.float32]
    want_codes: NDArray[np.unsignedinteger]
    scales: NDArray[np.unsignedinteger] | None = None
    codes: NDArray[np.unsignedinteger] | None = None
    values: NDArray[Any] | None = None
    given: NDArray[np.float32] | None = None
    dtype: str = "float32"
    signed: bool = True

    @classmethod
    def of(
        cls,
        expected: Expected,
        scales: NDArray[np.unsignedinteger] | None,
        codes: NDArray[np.unsignedinteger] | None,
        values: NDArray[Any] | None,
        *,
        signed: bool = True,
    ) -> Evidence:
        """All blocks; the kernel's arrays in blocks too."""
        blocks = expected.amax.shape

        def wide(array: NDArray[np.float32]) -> NDArray[np.float32]:
            return np.broadcast_to(array.astype(np.float32, copy=False), blocks)

        shape = expected.geometry.block_shape
        return cls(
            expected.spec,
            shape[-1] if shape else 1,
            expected.x,
            expected.amax,
            wide(expected.group),
            wide(expected.factors.encode),
            wide(expected.factors.decode),
            expected.stored,
            expected.scales,
            expected.blocks.factor,
            expected.codes,
            scales,
            codes,
            values,
            None if expected.given is None else wide(expected.given),
            expected.dtype,
            signed,
        )

    @property
    def factors(self) -> TensorFactors:
        """The tensor-scale factors, one a block."""
        return TensorFactors(self.encode, self.decode, self.stored)

    @property
    def want(self) -> BlockScales:
        """fp4sim's own scale codes and factors."""
        return BlockScales(self.want_scales, self.want_factor)

    @cached_property
    def start(self) -> NDArray[np.float32]:
        """x as it meets the factor: itself, flushed, or what a dialect scales in a step of its own first."""
        start = arithmetic.first_step(self.spec, self.x, self.factors)
        return flushed(start) if arithmetic.cast_of(self.spec).flush else start

    @cached_property
    def factor(self) -> NDArray[np.float32]:
        """What x is multiplied by under the kernel's scales, fp4sim's own where they were not dumped or agree."""
        if self.scales is None or self.spec.scale is None:
            return self.want_factor
        factor = self.want_factor.copy()
        other = np.flatnonzero(self.scales != self.want_scales)
        if other.size:
            tensor = TensorFactors(self.encode[other], self.decode[other], self.stored[other])
            factor[other] = arithmetic.factor_for(self.spec, self.scales[other], self.amax[other], tensor)
        return factor

    @cached_property
    def scale_values(self) -> NDArray[np.float32]:
        """The values of the kernel's block scales (fp4sim's own where they were not dumped), exact."""
        from fp4sim.kernels.reference.encode import decode

        assert self.spec.scale is not None
        codes = self.want_scales if self.scales is None else self.scales
        mask = codes.dtype.type((1 << self.spec.scale.magnitude_bits) - 1)
        return decode(codes & mask, self.spec.scale).astype(np.float32)

    @cached_property
    def follow(self) -> NDArray[np.unsignedinteger]:
        """The codes that follow from the kernel's scales by the spec's own arithmetic."""
        if self.scales is None or self.spec.scale is None:
            return self.want_codes
        codes = self.want_codes.copy()
        other = np.flatnonzero(self.scales != self.want_scales)
        if other.size:
            codes[other] = arithmetic.encode(self.start[other], self.factor[other], arithmetic.cast_of(self.spec))
        return codes

    @cached_property
    def scaled(self) -> NDArray[np.float32]:
        """x as the element cast sees it, under the kernel's scales."""
        return arithmetic.scaled(self.start, self.factor, divides=arithmetic.cast_of(self.spec).divides)

    def take(self, index: NDArray[np.integer] | slice) -> Evidence:
        """Some of the blocks."""
        arrays = {
            field.name: getattr(self, field.name)[index]
            for field in fields(self)
            if field.name not in ("spec", "across", "dtype", "signed") and getattr(self, field.name) is not None
        }
        return replace(self, **arrays)

    def decoded(self, codes: NDArray[np.unsignedinteger], scales: NDArray[np.unsignedinteger]) -> NDArray[Any]:
        """What codes and scales stand for, in the dtype of the kernel's values."""
        assert self.values is not None
        return decoded(self.spec, codes, scales, self.stored, self.values.dtype)
