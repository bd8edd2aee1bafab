"""Two packed tensors as the raw operands of an instruction, and its words before any epilogue."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.mma.block_scaled import block_scaled_mma
from fp4sim.mma.enclosure import Enclosure, enclose
from fp4sim.mma.gemm import kind_of, row_scales

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.mma.model import MmaModel
    from fp4sim.mma.multiply import Path
    from fp4sim.mma.order import Order
    from fp4sim.packed import PackedTensor


@dataclass(frozen=True, eq=False)
class RawPair:
    """Operands (m, K/2) and (n, K/2) with scale bytes (m, K/block) and (n, K/block); see ``block_scaled_mma``."""

    a_packed: NDArray[np.uint8]
    b_packed: NDArray[np.uint8]
    a_scale: NDArray[np.uint8]
    b_scale: NDArray[np.uint8]
    scale_format: str
    block: int

    @classmethod
    def of(cls, a: PackedTensor, b: PackedTensor) -> RawPair:
        """The operands of ``fp4sim.gemm``; tensor scales belong to the epilogue. Raises UsageError as that does."""
        bare = [replace(x, tensor_scale=np.ones((), np.float32)) for x in (a, b)]
        fmt, block = kind_of(*bare)
        return cls(a.packed, b.packed, row_scales(a), row_scales(b), fmt, block)

    @property
    def shape(self) -> tuple[int, int, int]:
        """m, n and K."""
        return self.a_packed.shape[0], self.b_packed.shape[0], 2 * self.a_packed.shape[1]

    def take(self, rows: Any, cols: Any) -> RawPair:
        """Some rows of A and of B."""
        return replace(
            self,
            a_packed=self.a_packed[rows],
            a_scale=self.a_scale[rows],
            b_packed=self.b_packed[cols],
            b_scale=self.b_scale[cols],
        )

    def words(
        self,
        model: str | MmaModel = "blackwell",
        order: str | Order = "chain",
        path: Path = "compiled",
        threads: int | None = None,
    ) -> NDArray[np.float32]:
        """The accumulators, from +0, float32 (m, n)."""
        zero = np.zeros(self.shape[:2], np.float32)
        operands = (self.a_packed, self.b_packed, zero, self.a_scale, self.b_scale)
        given: dict[str, Any] = {"scale_format": self.scale_format, "block": self.block, "threads": threads}
        return block_scaled_mma(*operands, model=model, order=order, path=path, **given)

    def enclose(self, model: str | MmaModel = "blackwell", threads: int | None = None) -> Enclosure:
        """What any order of accumulation could give."""
        operands = (self.a_packed, self.b_packed, self.a_scale, self.b_scale)
        return enclose(*operands, scale_format=self.scale_format, block=self.block, model=model, threads=threads)
