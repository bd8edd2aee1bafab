"""The sums behind errors by block: a cell's contribution, and what all cells add up to."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.kernels.reference.blocks import expand
from fp4sim.kernels.reference.encode import decode
from fp4sim.report.block_records import BlockErrors, ErrorMap, ScaleBin

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.estimators.base import Encoded
    from fp4sim.estimators.pipeline import Pipeline
    from fp4sim.floats import FloatFormat
    from fp4sim.geometry import Cell, Geometry

RATIO_BINS = 240
MAP_ROWS, MAP_BLOCKS = 64, 96
_REACH_BINS = 4096  # of what amax is mapped to, up to twice the largest element
_GROUP = 16  # columns that stand for a block in the map where blocks are rows or the tensor


@dataclass(frozen=True)
class CellBlocks:
    """A cell's blocks, padding cut off. ``map``: Σx², Σe² and elements of the map's units; ``by_scale``: (3, bins)."""

    cell: Cell
    map: NDArray[np.float64]
    by_scale: NDArray[np.float64]
    ratios: NDArray[np.int64]
    reach: NDArray[np.int64]
    blocks: int
    nonfinite: int
    fours: int


def cell_blocks(pipeline: Pipeline, cell: Cell, *, drop_nonfinite: bool) -> CellBlocks:
    """What a cell's blocks add."""
    panel = pipeline.load(cell, drop_nonfinite=drop_nonfinite)
    encoded = pipeline.encode(cell, panel)
    geometry, tile = pipeline.geometry, pipeline.geometry.tile(cell)
    inside = slice(0, math.ceil(cell.rows / tile[0])), slice(0, math.ceil(cell.cols / tile[1]))
    scales = encoded.scales
    with np.errstate(all="ignore"):
        x = panel.astype(np.float64)
        e = _values(pipeline, encoded, tile) - x
        lost = _per_tile(~np.isfinite(e), tile) > 0
        left_out = expand(lost, tile)
        e[left_out], x[left_out] = 0.0, 0.0
        lost = lost[inside]
        x2, e2 = _per_tile(x * x, tile)[inside], _per_tile(e * e, tile)[inside]
        amax = np.where(lost, 0, scales.amax[inside])
        factor = np.broadcast_to(scales.factor, scales.amax.shape)[inside]
        reach = amax / factor if pipeline.quantizer.cast_of().divides else amax * factor
        reach = reach[(amax > 0) & (scales.decode[inside] > 0)]
        spread = expand(np.ascontiguousarray(amax), tile)[: cell.rows, : cell.cols]
        ratio = (np.abs(panel[: cell.rows, : cell.cols]) / spread)[spread > 0]
    unit = tile if geometry.block.kind == "tile" else (1, _GROUP)
    fours = encoded.extra.get("fours")
    counted = _counted(geometry, cell, lost.shape)
    return CellBlocks(
        cell,
        _units(x, e, ~left_out, cell, unit),
        _by_scale(scales.codes[inside] if scales.codes.size else None, scales.fmt, counted & ~lost, x2, e2),
        np.bincount(_bins(ratio, RATIO_BINS), minlength=RATIO_BINS),
        np.bincount(_bins(reach / (2 * pipeline.spec.element.max), _REACH_BINS), minlength=_REACH_BINS),
        int(counted.sum()),
        int((counted & lost).sum()),
        0 if fours is None else int((fours[inside] & ~lost).sum()),
    )


def _values(pipeline: Pipeline, encoded: Encoded, tile: tuple[int, int]) -> NDArray[np.float64]:
    if encoded.values is not None:
        return encoded.values
    return decode(encoded.codes, pipeline.spec.element) * expand(encoded.scales.decode, tile)


def _per_tile(panel: NDArray[np.generic], tile: tuple[int, int]) -> NDArray[np.float64]:
    rows, cols = panel.shape
    tiles = panel.reshape(rows // tile[0], tile[0], cols // tile[1], tile[1])
    return np.asarray(tiles.sum(axis=(1, 3), dtype=np.float64))


def _units(
    x: NDArray[np.float64], e: NDArray[np.float64], good: NDArray[np.bool_], cell: Cell, unit: tuple[int, int]
) -> NDArray[np.float64]:
    """Σx², Σe² and the number of elements of each unit of the map, (3, rows, units)."""
    inside = slice(0, math.ceil(cell.rows / unit[0])), slice(0, math.ceil(cell.cols / unit[1]))
    there = np.zeros(x.shape, np.bool_)
    there[: cell.rows, : cell.cols] = good[: cell.rows, : cell.cols]
    return np.stack([_per_tile(part, unit)[inside] for part in (x * x, e * e, there)])


def _counted(geometry: Geometry, cell: Cell, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which blocks are counted here: those that reach over several cells in the first alone."""
    where = {"row": cell.col0 == 0, "tensor": cell.row0 == cell.col0 == 0, "none": False}
    first = where.get(geometry.block.kind, True)
    return np.full(shape, first)


def _bins(share: NDArray[np.floating], count: int) -> NDArray[np.int64]:
    """Equal bins from 0 to 1; what lies above (clamped outliers) is counted in the last."""
    return np.asarray((np.minimum(share, 1.0) * count).astype(np.int64).clip(0, count - 1))


def scale_bins(fmt: FloatFormat) -> int:
    """How many bins an encoding has: its codes, or its exponents where it is wider than 8 bits."""
    return 1 << (fmt.bits if fmt.bits <= 8 else fmt.exponent_bits)


def _by_scale(
    codes: NDArray[np.unsignedinteger] | None,
    fmt: FloatFormat | None,
    counted: NDArray[np.bool_],
    x2: NDArray[np.float64],
    e2: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Blocks, Σx² and Σe² by bin of the scale code, (3, bins)."""
    if codes is None or fmt is None:
        return np.zeros((3, 0))
    index = codes & codes.dtype.type((1 << fmt.magnitude_bits) - 1)  # IF4's choice is in the sign bit
    index = (index if fmt.bits <= 8 else index >> fmt.mantissa_bits).astype(np.int64)
    flat, bins = np.broadcast_to(index, x2.shape).reshape(-1), scale_bins(fmt)
    weights = (counted.astype(np.float64), x2, e2)
    return np.stack([np.bincount(flat, weights=weight.reshape(-1), minlength=bins) for weight in weights])


@dataclass
class BlockTotals:
    """What the cells of one tensor under one format add up to; cells are to be added in order."""

    pipeline: Pipeline
    parts: list[NDArray[np.float64]] = field(init=False)
    ratios: NDArray[np.int64] = field(default_factory=lambda: np.zeros(RATIO_BINS, np.int64))
    reach: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_REACH_BINS, np.int64))
    blocks: int = 0
    nonfinite: int = 0
    fours: int = 0

    def __post_init__(self) -> None:
        fmt = self.pipeline.spec.scale
        self.by_scale = np.zeros((3, scale_bins(fmt) if fmt else 0))
        rows, blocks = self.matrix
        self.map = np.zeros((3, min(rows, MAP_ROWS), min(blocks, MAP_BLOCKS)))

    @property
    def matrix(self) -> tuple[int, int]:
        """Rows and blocks of the map before it is binned."""
        geometry = self.pipeline.geometry
        if geometry.block.kind != "tile":
            return geometry.rows, -(-geometry.length // _GROUP)
        return geometry.block_matrix[0], -(-geometry.length // geometry.block.cols)

    def add(self, part: CellBlocks) -> None:
        """Add a cell."""
        self.ratios += part.ratios
        self.reach += part.reach
        self.by_scale += part.by_scale
        self.blocks += part.blocks
        self.nonfinite += part.nonfinite
        self.fours += part.fours
        geometry, (rows, blocks) = self.pipeline.geometry, self.matrix
        if geometry.block.kind == "tile":
            top, left = (place.start for place in geometry.blocks_of(part.cell))
        else:
            top, left = part.cell.row0, part.cell.col0 // _GROUP
        for kept, sums in zip(self.map, part.map, strict=True):
            down = _merged(sums.T, left, blocks, kept.shape[1])
            across = _merged(down[1].T, top, rows, kept.shape[0])
            kept[np.ix_(across[0], down[0])] += across[1]

    def result(self) -> BlockErrors:
        """The record of all cells."""
        spec = self.pipeline.spec
        return BlockErrors(
            self.blocks,
            self.nonfinite,
            _scale_records(self.by_scale, spec.scale) if spec.scale else (),
            self._map(),
            tuple(self.ratios.tolist()),
            _quantiles(self.reach, 2 * spec.element.max),
            self.fours if spec.has("4over6") else None,
        )

    def _map(self) -> ErrorMap:
        x2, e2, elements = self.map
        with np.errstate(all="ignore"):
            relative, energy = e2 / x2, e2 / elements / (e2.sum() / elements.sum())
        return ErrorMap(*self.matrix, _defined(relative), _defined(energy))


def _merged(
    sums: NDArray[np.float64], first: int, whole: int, bins: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows first, first + 1, … of ``whole`` added up by their bin: the bins, and their sums."""
    index = (first + np.arange(sums.shape[0])) * bins // whole
    found, starts = np.unique(index, return_index=True)
    return found, np.add.reduceat(sums, starts, axis=0)


def _scale_records(by_scale: NDArray[np.float64], fmt: FloatFormat) -> tuple[ScaleBin, ...]:
    wide = fmt.bits > 8
    found = []
    for i in np.flatnonzero((by_scale != 0).any(axis=0)).tolist():
        code = min(i << fmt.mantissa_bits, fmt.max_code) if wide else i
        zone = "normal"
        if code == 0 and fmt.has_zero:
            zone = "zero" if not wide else "subnormal"
        elif fmt.has_zero and code < 1 << fmt.mantissa_bits:
            zone = "subnormal"
        elif code == fmt.max_code and not wide:
            zone = "saturated"
        blocks, x2, e2 = by_scale[:, i].tolist()
        found.append(ScaleBin(fmt.value(code), zone, round(blocks), x2, e2))
    return tuple(found)


def _defined(matrix: NDArray[np.float64]) -> tuple[tuple[float | None, ...], ...]:
    """A matrix as rows, None for what is not finite."""
    return tuple(tuple(value if math.isfinite(value) else None for value in row) for row in matrix.tolist())


def _quantiles(counts: NDArray[np.int64], top: float) -> tuple[float, float, float] | None:
    total = int(counts.sum())
    if not total:
        return None
    below = np.cumsum(counts)
    low, middle, high = (
        (int(np.searchsorted(below, share * total)) + 0.5) * top / counts.size for share in (0.05, 0.5, 0.95)
    )
    return low, middle, high
