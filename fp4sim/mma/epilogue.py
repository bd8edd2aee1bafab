"""What a kernel does with the accumulators: float32 operations of one rounding each, and so monotone in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.fpmode import ieee_mode
from fp4sim.kernels.reference.mma import NAN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.mma.enclosure import Enclosure


@dataclass(frozen=True, eq=False)
class Epilogue:
    """fl(fl(fl(word · factor) + addend) + offset), cast to ``dtype``: the order of ``fp4sim.gemm``.

    ``factor``: float32, one number or a row's, a column's or an element's own; ``addend``: fl(beta · c), (m, n); ``offset``:
    the bias, (n,).
    """

    factor: NDArray[np.float32]
    dtype: np.dtype[Any]
    addend: NDArray[np.float32] | None = None
    offset: NDArray[np.float32] | None = None

    def apply(self, words: NDArray[np.float32]) -> NDArray[Any]:
        """The output (m, n) of accumulators (m, n); a NaN is that of NVIDIA's float32 operations, 0x7fffffff, then cast."""
        with ieee_mode(), np.errstate(all="ignore"):
            d = words * self.factor
            d = d if self.addend is None else d + self.addend
            d = d if self.offset is None else d + self.offset
            nan = np.isnan(d)
            if nan.any():
                d[nan] = np.uint32(NAN).view(np.float32)
            return d.astype(self.dtype)

    def take(self, rows: Any, cols: Any) -> Epilogue:
        """The epilogue of some rows and columns, given as index arrays."""
        return Epilogue(
            _taken(self.factor, rows, cols),
            self.dtype,
            None if self.addend is None else self.addend[np.ix_(rows, cols)],
            None if self.offset is None else self.offset[cols],
        )

    def bounds(self, enclosure: Enclosure) -> tuple[NDArray[Any], NDArray[Any]]:
        """The least and the largest output: each operation is monotone, and a negative factor turns the ends round."""
        ends = self.apply(enclosure.low), self.apply(enclosure.high)
        turned = np.broadcast_to(np.signbit(self.factor), ends[0].shape)
        return np.where(turned, ends[1], ends[0]), np.where(turned, ends[0], ends[1])


def _taken(factor: NDArray[np.float32], rows: Any, cols: Any) -> NDArray[np.float32]:
    """Rows and columns of what broadcasts to (m, n)."""
    if factor.ndim < 2:
        return factor
    tall = factor if factor.shape[0] == 1 else factor[rows]
    return tall if tall.shape[1] == 1 else tall[:, cols]
