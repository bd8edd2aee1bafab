"""Which of several encodings of a block has the least squared error: sums in float64, a row at a time, then the rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.estimators.base import Encoded
from fp4sim.kernels.reference.blocks import expand

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fp4sim.quantizer import CellScales

Candidate = tuple["NDArray[np.unsignedinteger]", "CellScales", "NDArray[np.floating]"]


def least_error(
    panel: NDArray[np.float32], candidates: Sequence[Candidate], tile: tuple[int, int]
) -> tuple[Encoded, NDArray[np.uint8]]:
    """Merge candidates (codes, scales, values), block by block, the earlier one on ties; and which one each block took."""
    rows, cols = tile
    errors = []
    for _, _, values in candidates:
        with np.errstate(all="ignore"):
            squared = np.square(values.astype(np.float64) - panel)
        by_row = squared.reshape(panel.shape[0], -1, cols).cumsum(axis=2)[:, :, -1]
        errors.append(by_row.reshape(-1, rows, by_row.shape[1]).cumsum(axis=1)[:, -1])
    chosen = np.argmin(np.stack(errors), axis=0).astype(np.uint8)
    wide = expand(chosen, tile)
    codes = np.choose(wide, [codes for codes, _, _ in candidates])
    first = candidates[0][1]
    scales = replace(
        first,
        codes=np.choose(chosen, [scales.codes for _, scales, _ in candidates]),
        factor=np.choose(chosen, [scales.factor for _, scales, _ in candidates]),
    )
    return Encoded(codes, scales), chosen
