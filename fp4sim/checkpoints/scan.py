"""One pass over the codes and scales of a weight: the counts that the lint's rules judge."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.checkpoints.encodings import CODE_VALUES
from fp4sim.parallel import map_ordered, thread_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.checkpoints.weight import QuantizedWeight

_CHUNK = 1 << 22  # elements read at a time
_MAGNITUDES = np.abs(CODE_VALUES[:8])


@dataclass(frozen=True)
class Tally:
    """How often something occurs, and the flat index of the first place."""

    count: int = 0
    first: int = -1

    @classmethod
    def of(cls, mask: NDArray[np.bool_], offset: int) -> Tally:
        """Count a mask whose first element has the flat index ``offset``."""
        count = int(np.count_nonzero(mask))
        return cls(count, offset + int(mask.reshape(-1).argmax())) if count else cls()

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.count + other.count, self.first if self.count else other.first)


@dataclass(frozen=True, eq=False)
class Scan:
    """Counts over blocks (scales) and elements (codes) of a weight or a part of it.

    ``largest``: the largest |code * scale| of each row that a global scale of its own covers, before that scale.
    """

    nan: Tally
    negative: Tally
    zero: Tally
    minus_zero: Tally
    plus_zeros: int
    scale_bytes: NDArray[np.bool_]
    largest: NDArray[np.float64]

    def __add__(self, other: Scan) -> Scan:
        return Scan(
            self.nan + other.nan,
            self.negative + other.negative,
            self.zero + other.zero,
            self.minus_zero + other.minus_zero,
            self.plus_zeros + other.plus_zeros,
            self.scale_bytes | other.scale_bytes,
            np.maximum(self.largest, other.largest),
        )


def scan(weight: QuantizedWeight, threads: int | None = None) -> Scan:
    """Read every block of a weight once. Raises UnreadableError where the file is damaged."""
    step = max(1, _CHUNK // weight.length)
    starts = range(0, weight.rows, step)
    parts = map_ordered(
        lambda start: _scan_rows(weight, start, min(start + step, weight.rows)), starts, thread_count(threads)
    )
    return reduce(Scan.__add__, parts)


def _scan_rows(weight: QuantizedWeight, start: int, stop: int) -> Scan:
    codes, scales = weight.blocks.read(start, stop)
    encoding, columns = weight.encoding, scales.shape[1]
    magnitudes = codes & np.uint8(7)
    if weight.length % weight.block:
        magnitudes = np.pad(magnitudes, ((0, 0), (0, columns * weight.block - weight.length)))
    top = magnitudes.reshape(len(codes), columns, weight.block).max(axis=2)
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.abs(encoding.values[scales].astype(np.float64)) * _MAGNITUDES[top]
    values[encoding.nan[scales]] = 0
    present = np.zeros(256, bool)
    present[np.unique(scales)] = True
    return Scan(
        nan=Tally.of(encoding.nan[scales], start * columns),
        negative=Tally.of(encoding.negative[scales], start * columns),
        zero=Tally.of(encoding.zero[scales] & (top > 0), start * columns),
        minus_zero=Tally.of(codes == 8, start * weight.length),
        plus_zeros=int(np.count_nonzero(codes == 0)),
        scale_bytes=present,
        largest=_by_expert(weight, values.max(axis=1), start),
    )


def _by_expert(weight: QuantizedWeight, row_largest: NDArray[np.float64], start: int) -> NDArray[np.float64]:
    largest = np.zeros(len(weight.globals))
    experts = np.arange(start, start + len(row_largest)) // (weight.rows // len(largest))
    np.maximum.at(largest, experts, row_largest)
    return largest
