"""What differs, in numbers: steps of scales, causes of codes, the worst blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.report.verify_model import CodeMap, WorstBlock
from fp4sim.verifying.blocks import index_of, to_matrix
from fp4sim.verifying.fractions import neighbours

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.geometry import Geometry
    from fp4sim.verifying.buffers import Output
    from fp4sim.verifying.expected import Expected
    from fp4sim.verifying.explain.evidence import Evidence

CODE_CAUSES = ("follows from scale", "NaN", "sign of zero", "tie", "saturation", "next code", "other")
_WORST = 5
_PIECE = 1 << 20
_MAP_ROWS, _MAP_COLUMNS = 24, 32
_TIE_BINS = 25


def scale_deltas(want: NDArray[np.unsignedinteger], found: NDArray[np.unsignedinteger]) -> dict[str, int]:
    """How many scale codes are so many steps off: -8 … +8, the rest as ``less`` and ``more``."""
    delta = found.reshape(-1).astype(np.int64) - want.reshape(-1)
    delta = delta[delta != 0]
    bins: dict[str, int] = {}
    steps, counts = np.unique(np.clip(delta, -9, 9), return_counts=True)
    for step, count in zip(steps.tolist(), counts.tolist(), strict=True):
        bins["less" if step < -8 else "more" if step > 8 else f"{step:+d}"] = count
    return bins


def code_causes(e: Evidence, wrong: NDArray[np.bool_]) -> dict[str, int]:
    """Differing codes by cause, each under the first that fits, in the order of ``CODE_CAUSES``."""
    counts = dict.fromkeys(CODE_CAUSES, 0)
    blocks = np.flatnonzero(wrong.any(axis=1))
    rows = max(1, _PIECE // e.x.shape[1])
    for start in range(0, blocks.size, rows):
        part = blocks[start : start + rows]
        for cause, count in _causes(e.take(part), wrong[part]).items():
            counts[cause] += count
    return {cause: count for cause, count in counts.items() if count}


def _causes(e: Evidence, wrong: NDArray[np.bool_]) -> dict[str, int]:
    assert e.codes is not None
    sign = e.spec.element.sign_mask
    with np.errstate(all="ignore"):
        follows = e.codes == e.follow
        low, fraction, above = neighbours(e.scaled, e.spec.element)
        found, want = e.codes & (sign - 1), e.follow & (sign - 1)
        next_code = np.abs(found.astype(np.int16) - want.astype(np.int16)) == 1
        same_sign = (e.codes & sign) == (e.follow & sign)
        cases = (
            follows,
            np.isnan(e.x),
            (found == 0) & (want == 0),
            (fraction == 0.5) & next_code & same_sign & ((found == low) | (found == low + 1)),
            above | ((want == e.spec.element.max_code) & ~next_code),
            next_code & same_sign,
            np.ones(wrong.shape, np.bool_),
        )
    left, counts = wrong.copy(), {}
    for cause, case in zip(CODE_CAUSES, cases, strict=True):
        counts[cause] = int(np.count_nonzero(left & case))
        left &= ~case
    return counts


def code_map(wrong: NDArray[np.bool_], geometry: Geometry) -> CodeMap:
    """Where codes are wrong; ``wrong``: (blocks, elements)."""
    matrix = to_matrix(wrong, geometry)
    rows, columns = matrix.shape
    for axis, (length, most) in enumerate(((rows, _MAP_ROWS), (columns, _MAP_COLUMNS))):
        bins = min(length, most)
        starts = -(-np.arange(bins) * length // bins)
        matrix = np.add.reduceat(matrix, starts, axis=axis, dtype=np.int64)
    return CodeMap(rows, columns, tuple(map(tuple, matrix.tolist())))


def tie_distances(e: Evidence, wrong: NDArray[np.bool_]) -> tuple[int, ...]:
    """How far elements with wrong codes lie from the middle between two codes: exactly there, then in 25 bins up to 1/2."""
    counts = np.zeros(_TIE_BINS + 1, np.int64)
    blocks = np.flatnonzero(wrong.any(axis=1))
    rows = max(1, _PIECE // e.x.shape[1])
    for start in range(0, blocks.size, rows):
        part = blocks[start : start + rows]
        _, fraction, above = neighbours(e.take(part).scaled[wrong[part]], e.spec.element)
        distance = np.where(above, 0.5, np.abs(fraction - 0.5))
        bins = np.where(distance == 0, 0, 1 + np.minimum(distance * 2 * _TIE_BINS, _TIE_BINS - 1).astype(np.int64))
        counts += np.bincount(bins, minlength=_TIE_BINS + 1)
    return tuple(counts.tolist())


def worst_blocks(expected: Expected, output: Output, wrong: NDArray[np.bool_]) -> tuple[WorstBlock, ...]:
    """The blocks with the most differing codes, then scales."""
    scales = None if output.scales is None else output.scales.reshape(-1)
    per_block = wrong.sum(axis=1)
    rank = per_block * 2 + (0 if scales is None else scales != expected.scales)
    order = np.argsort(-rank, kind="stable")[:_WORST]
    found = []
    for block in order[rank[order] > 0].tolist():
        amax = float(expected.amax[block])
        found.append(
            WorstBlock(
                index_of(block, 0, expected.geometry),
                int(per_block[block]),
                amax if np.isfinite(amax) else None,
                None if expected.spec.scale is None else int(expected.scales[block]),
                None if scales is None else int(scales[block]),
            )
        )
    return tuple(found)
