"""A case as the explainer walks through it: the kernel's matrices, which findings rearrange, beside what was expected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.spec import Spec
from fp4sim.verifying.blocks import to_blocks
from fp4sim.verifying.expected import Expected
from fp4sim.verifying.explain.evidence import Evidence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.verifying.buffers import Output

Requantize = Callable[[Spec, "NDArray[np.float32] | None", "int | None"], Expected]


@dataclass(frozen=True, eq=False)
class Scene:
    """``codes``, ``values``: (rows, length); ``scales``: (block rows, blocks); None where not dumped."""

    expected: Expected
    output: Output
    codes: NDArray[np.unsignedinteger] | None
    scales: NDArray[np.unsignedinteger] | None
    values: NDArray[Any] | None
    requantize: Requantize
    threads: int
    signed: bool = True

    @classmethod
    def of(
        cls, expected: Expected, output: Output, requantize: Requantize, threads: int, *, signed: bool = True
    ) -> Scene:
        """A case as it was dumped. ``signed``: whether the sign of a zero value counts."""
        return cls(expected, output, output.codes, output.scales, output.values, requantize, threads, signed)

    @cached_property
    def evidence(self) -> Evidence:
        """All blocks."""
        geometry = self.expected.geometry
        codes = None if self.codes is None else to_blocks(self.codes, geometry)
        values = None if self.values is None else to_blocks(self.values, geometry)
        scales = None if self.scales is None else np.ascontiguousarray(self.scales).reshape(-1)
        return Evidence.of(self.expected, scales, codes, values, signed=self.signed)

    @cached_property
    def bad_scales(self) -> NDArray[np.bool_]:
        """Blocks whose scale differs, (blocks,)."""
        if self.scales is None:
            return np.zeros(self.expected.amax.shape, np.bool_)
        return np.asarray(self.scales.reshape(-1) != self.expected.scales)

    @cached_property
    def bad_codes(self) -> NDArray[np.bool_]:
        """Codes that differ from fp4sim's own, (blocks, elements)."""
        e = self.evidence
        return np.zeros(e.x.shape, np.bool_) if e.codes is None else np.asarray(e.codes != e.want_codes)

    @cached_property
    def unfollowed(self) -> NDArray[np.bool_]:
        """Codes that do not follow from the kernel's own scales either, (blocks, elements)."""
        e = self.evidence
        return np.zeros(e.x.shape, np.bool_) if e.codes is None else np.asarray(e.codes != e.follow)

    @property
    def told(self) -> str:
        """What is to be said of the codes beside wrong scales."""
        if self.codes is None:
            return ""
        if not self.unfollowed.any():
            return "every code follows"
        return "" if self.bad_codes.any() else "the codes are those of the right scales"

    def with_scales(self, scales: NDArray[np.unsignedinteger]) -> Scene:
        """The same with other scales in place of the dumped ones."""
        return replace(self, scales=scales)

    def with_codes(self, codes: NDArray[np.unsignedinteger]) -> Scene:
        """The same with other codes."""
        return replace(self, codes=codes)

    def against(self, expected: Expected) -> Scene:
        """The same output held against something else."""
        return replace(self, expected=expected)
