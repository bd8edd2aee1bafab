"""What a cell becomes under a spec, and where two of them differ."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.report.diff_model import Count, Example

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.estimators.pipeline import Pipeline
    from fp4sim.geometry import Cell


@dataclass(frozen=True)
class CellBits:
    """What a cell becomes: codes and values of its elements, scale codes of its blocks, without padding."""

    codes: NDArray[np.unsignedinteger]
    scales: NDArray[np.unsignedinteger]
    values: NDArray[np.float32]
    panel: NDArray[np.float32]


def bits_of(pipeline: Pipeline, cell: Cell, *, drop_nonfinite: bool) -> CellBits:
    """A cell's bits."""
    panel = pipeline.load(cell, drop_nonfinite=drop_nonfinite)
    encoded = pipeline.encode(cell, panel)
    inside = slice(0, cell.rows), slice(0, cell.cols)
    tile = pipeline.geometry.tile(cell)
    blocks = slice(0, math.ceil(cell.rows / tile[0])), slice(0, math.ceil(cell.cols / tile[1]))
    scales = encoded.scales.codes
    return CellBits(
        encoded.codes[inside],
        scales[blocks] if scales.ndim == 2 else scales,
        pipeline.values(cell, encoded)[inside],
        panel[inside],
    )


def differing_counts(first: CellBits, second: CellBits) -> tuple[Count, Count, Count]:
    """Of scales, codes and values."""
    values = (first.values != second.values) & ~(np.isnan(first.values) & np.isnan(second.values))
    return (
        Count(int((first.scales != second.scales).sum()), first.scales.size),
        Count(int((first.codes != second.codes).sum()), first.codes.size),
        Count(int(values.sum()), values.size),
    )


def examples_of(pipeline: Pipeline, cell: Cell, first: CellBits, second: CellBits, count: int) -> list[Example]:
    """The first elements whose codes differ; of blocks whose scales alone do, the first element."""
    tile, geometry = pipeline.geometry.tile(cell), pipeline.geometry
    places = np.argwhere(first.codes != second.codes)[:count]
    if not len(places):
        places = np.argwhere(first.scales != second.scales)[:count] * np.array(tile)
    width = geometry.padded(cell)[1]
    found = []
    for row, col in places.tolist():
        at = row // tile[0], col // tile[1]
        pairs = [
            (
                int(bits.scales[at]) if bits.scales.size else None,
                int(bits.codes[row, col]),
                _finite(bits.values[row, col]),
            )
            for bits in (first, second)
        ]
        (scale_a, code_a, value_a), (scale_b, code_b, value_b) = pairs
        index, x = geometry.index_of(cell, row * width + col), float(first.panel[row, col])
        found.append(Example(index, x, scale_a, scale_b, code_a, code_b, value_a, value_b))
    return found


def _finite(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None
