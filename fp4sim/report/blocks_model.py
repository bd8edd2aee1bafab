"""Errors by block, binned: what figures of scales, places and elements within blocks are drawn from. It stands on nothing.

Bins are few whatever the tensor's size. Blocks that hold NaN or Inf are left out everywhere and counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from fp4sim.report.model import UNNAMED, FormatInfo, Skipped

BLOCKS_SCHEMA = "fp4sim.blocks/1"


@dataclass(frozen=True)
class ScaleBin:
    """The blocks of one scale code; of encodings wider than 8 bits, of one power of two.

    ``scale``: the code's value, without the tensor scale (0: the blocks decode to zero). ``zone``: normal, subnormal, zero
    or saturated. ``x2``, ``e2``: sums of x² and (x_hat − x)² over their elements.
    """

    scale: float
    zone: str
    blocks: int
    x2: float
    e2: float


@dataclass(frozen=True)
class ErrorMap:
    """The error over (row, block), averaged to at most 64 × 96 bins, row-major.

    ``relative``: Σe²/Σx² of each bin, None where x is all zero. ``energy``: mean e² of each bin over that of the tensor,
    None where the tensor has no error. ``rows``, ``blocks``: of the tensor as a matrix whose last axis is quantized (rows of
    tiles where blocks are taller than one row; groups of 16 columns where a block is a row or the tensor).
    """

    rows: int
    blocks: int
    relative: tuple[tuple[float | None, ...], ...]
    energy: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class BlockErrors:
    """One tensor under one format.

    ``ratios``: elements of nonzero blocks by |x|/amax of their block, in equal bins from 0 to 1. ``reach``: what amax is
    mapped to, in units of the element, at 5 %, 50 % and 95 % of the blocks with a scale above 0; None without any.
    ``fours``: blocks whose amax +4over6 maps to 4; None for other formats. ``nonfinite_blocks``: left out.
    """

    blocks: int
    nonfinite_blocks: int
    scales: tuple[ScaleBin, ...]
    map: ErrorMap
    ratios: tuple[int, ...]
    reach: tuple[float, float, float] | None
    fours: int | None


@dataclass(frozen=True)
class TensorBlocks:
    """One tensor under every format, in the order of ``BlocksResult.formats``."""

    name: str
    source: str
    shape: tuple[int, ...]
    results: tuple[BlockErrors, ...]


@dataclass(frozen=True)
class BlocksResult:
    """What ``block_errors`` found. ``left_out``: tensors that were not read because enough were."""

    formats: tuple[FormatInfo, ...]
    tensors: tuple[TensorBlocks, ...]
    skipped: tuple[Skipped, ...]
    sources: tuple[str, ...]
    settings: dict[str, Any]
    left_out: int = 0
    schema: ClassVar[str] = BLOCKS_SCHEMA

    def label(self, tensor: TensorBlocks) -> str:
        """The name to show: with its source where another tensor has the same name."""
        twins = sum(other.name == tensor.name for other in self.tensors) if len(self.sources) > 1 else 1
        name = tensor.name or UNNAMED
        return name if twins == 1 else f"{tensor.source}: {name}"
