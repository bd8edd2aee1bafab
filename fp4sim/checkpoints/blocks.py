"""Where codes and block scales lie: readers of rows, one for each way of storing them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fp4sim.kernels.reference.blocks import unpack
from fp4sim.layouts import offsets, unswizzle

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.io.source import Tensor

Bytes = "NDArray[np.uint8]"


class BlockReader(Protocol):
    """Codes and scale bytes of rows [start, stop), whatever their storage."""

    @property
    def arrangement(self) -> str:
        """How the scales lie: linear, or a padded or swizzled matrix."""

    def read(self, start: int, stop: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """E2M1 codes (rows, length), one a byte, and scale bytes (rows, blocks of a row)."""

    def padding(self) -> NDArray[np.uint8]:
        """Scale bytes that belong to no block and are not zero."""


@dataclass(frozen=True, eq=False)
class ScaleGrid:
    """Scale bytes as a matrix (rows, cols). ``padded``: stored with the padding of tensor cores, swizzled or not."""

    tensor: Tensor
    rows: int
    cols: int
    padded: bool = False

    def read(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Scales of rows [start, stop)."""
        if self.padded:
            return self._whole[1][start:stop]
        return as_bytes(self.tensor.read(start * self.cols, stop * self.cols)).reshape(-1, self.cols)

    @property
    def arrangement(self) -> str:
        """Linear, padded or swizzled; decided by which of them leaves the padding empty."""
        return self._whole[0] if self.padded else "linear"

    def padding(self) -> NDArray[np.uint8]:
        """Bytes of the padding that are not zero."""
        return self._whole[2] if self.padded else np.zeros(0, np.uint8)

    @cached_property
    def _whole(self) -> tuple[str, NDArray[np.uint8], NDArray[np.uint8]]:
        """Arrangement, linear matrix and nonzero padding; the padding of the wrong arrangement holds scales."""
        raw = as_bytes(self.tensor.read(0, self.tensor.info.size))
        width = -(-self.cols // 4) * 4
        flat = {
            "linear, padded to 128x4": (np.arange(self.rows)[:, None] * width + np.arange(self.cols)[None]).ravel(),
            "swizzled 128x4": offsets(self.rows, self.cols, "128x4").ravel(),
        }
        garbage = {name: np.delete(raw, places) for name, places in flat.items()}
        garbage = {name: left[left != 0] for name, left in garbage.items()}
        name = min(garbage, key=lambda name: len(garbage[name]))
        if name.startswith("swizzled"):
            matrix = unswizzle(raw, self.rows, self.cols, "128x4")
        else:
            matrix = raw.reshape(-1, width)[: self.rows, : self.cols]
        return name, matrix, garbage[name]


@dataclass(frozen=True, eq=False)
class SeparateBlocks:
    """Codes in one tensor and scales in another; a row of codes is ``width`` stored elements."""

    packed: Tensor
    scales: ScaleGrid
    width: int

    @property
    def arrangement(self) -> str:
        """How the scales lie."""
        return self.scales.arrangement

    def read(self, start: int, stop: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Codes and scale bytes of rows."""
        raw = as_bytes(self.packed.read(start * self.width, stop * self.width)).reshape(-1, self.width)
        codes = raw if self.packed.info.dtype == "float4_e2m1fn" else unpack(raw)
        return codes, self.scales.read(start, stop)

    def padding(self) -> NDArray[np.uint8]:
        """Bytes of the scales' padding that are not zero."""
        return self.scales.padding()


def as_bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    """One-byte elements of any kind as what they are stored as."""
    return array.view(np.uint8)


def row_count(shape: tuple[int, ...]) -> int:
    """Rows of the matrix view: all axes but the last."""
    return math.prod(shape[:-1])
