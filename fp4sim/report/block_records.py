"""Records of errors by block, binned, that results hold. They stand on nothing.

Bins are few whatever the tensor's size. Blocks that hold NaN or Inf are left out everywhere and counted.
"""

from __future__ import annotations

from dataclasses import dataclass


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
    """One tensor under every format that was measured by block, in their order."""

    name: str
    source: str
    shape: tuple[int, ...]
    results: tuple[BlockErrors, ...]
