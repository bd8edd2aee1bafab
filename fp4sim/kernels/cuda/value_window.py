"""Which blocks and elements have bins in cuda/value_counts.cu. Magnitudes are bits of a bfloat16 here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.kernels.cuda.arrays import on_host

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.kernels.cuda.tensor_stats import ScaleTable

MAXIMA = 2048  # of a block: sixteen octaves
PER_SIGN = 25_120  # bins that 227 KiB hold beside the maxima
_FLUSHED = 16 << 7  # bins of elements that are flushed: sixteen octaves too
_WIDEST = 700  # magnitudes of a scale code that are not; 6 / 0.25 and what may lie above 6 are 641 where scales have a mantissa
_SPARE = 3  # codes beside those of the sample
_FINITE = 0x7F80
_NO_BINS, _SEARCH = 0xFFFFFFFF, 1 << 15  # see ValueTable
_SAMPLE = 4096  # blocks
_HEAD = ("bins", "below", "flush", "width", "first_code", "least", "maxima", "origins")
_TABLE = np.dtype(
    [
        *((name, np.uint32) for name in _HEAD),
        ("blocks_of", np.uint32, MAXIMA),
        ("bound", np.float32, MAXIMA),
        ("worst", np.float64, MAXIMA),
        ("limit", np.uint32, 256),
        ("factor", np.float32, 256),
        ("decode", np.float64, 256),
    ],
    align=True,
)


@dataclass(frozen=True, eq=False)
class Window:
    """Scale codes ``first`` to ``last`` have bins.

    ``scales``: the scale stage; ``largest``: of the tensor; ``limit``, ``start``: by code, the least magnitude that is not
    flushed and the least amax.
    """

    scales: ScaleTable
    first: int
    last: int
    largest: int
    limit: NDArray[np.int64]
    start: NDArray[np.int64]

    @property
    def most(self) -> NDArray[np.int64]:
        """The largest amax of a code."""
        return np.minimum(self.start[1:] - 1, self.largest)

    @cached_property
    def width(self) -> int:
        """Magnitudes of a code; it has one bin more, of its blocks."""
        return int((self.most - self.limit + 1)[self.first : self.last + 1].max())

    @cached_property
    def top(self) -> int:
        """The largest magnitude that any of the codes flushes."""
        return int(self.limit[self.first : self.last + 1].max()) - 1

    @property
    def below(self) -> int:
        """Magnitudes above it have bins."""
        return max(0, self.top - _FLUSHED)

    @property
    def flush(self) -> int:
        """Bins of elements that are flushed."""
        return self.top - self.below

    @property
    def bins(self) -> int:
        """Of one sign, a multiple of four."""
        return -(-(1 + self.flush + (self.last - self.first + 1) * (self.width + 1)) // 4) * 4

    @property
    def least(self) -> int:
        """The least amax of a block that has bins."""
        return max(int(self.start[self.first]), 1)

    @property
    def maxima(self) -> int:
        """How many different maxima such blocks may have."""
        return int(self.most[self.last]) - self.least + 1

    @cached_property
    def codes_of_maxima(self) -> NDArray[np.int64]:
        """Their scale codes."""
        return np.searchsorted(self.start[:-1], self.least + np.arange(self.maxima), side="right") - 1

    @property
    def code_of_zero(self) -> int:
        """The scale code of a block of zeros."""
        return int(np.searchsorted(self.start[:-1], 0, side="right")) - 1

    def table(self) -> NDArray[np.void]:
        """cuda/value_counts.cuh's ValueTable."""
        out = np.zeros((), _TABLE)
        origins = -self.below * 0x10001 & 0xFFFFFFFF
        numbers = (self.bins, self.below, self.flush, self.width + 1, self.first, self.least, self.maxima, origins)
        for name, number in zip(_HEAD, numbers, strict=True):
            out[name] = number
        out["limit"], out["factor"], out["decode"] = self.limit, self.scales.factor, self.scales.decode
        codes, worst = self.codes_of_maxima, self._worst()
        above, exact = _rounded_up(worst)
        limit = self.limit[codes]
        bins = 2 + self.flush + (codes - self.first) * (self.width + 1)  # of the limits
        known = (bins + self.below - limit) << 16 | _SEARCH | limit
        out["blocks_of"][: self.maxima] = np.where(self.scales.decode[codes] == 0, _NO_BINS, known)
        out["bound"][: self.maxima], out["worst"][: self.maxima] = above, np.where(exact, worst, -1)
        return out

    def _worst(self) -> NDArray[np.float64]:
        """By maximum: the largest |e| / amax that such a block can have, exactly as the kernel computes it."""
        codes = np.arange(self.first, self.last + 1)[:, None]
        x = floats(np.minimum(self.limit[codes] + np.arange(self.width), _FINITE - 1))
        z = x * self.scales.factor[codes]
        half = np.exp2(np.floor(np.log2(np.clip(z, 1, 4)))) / 2
        r = np.minimum(np.rint(z / half) * half, 6)
        error = np.abs(r * self.scales.decode[codes] - x.astype(np.float64))
        error = np.maximum.accumulate(np.maximum(error, floats(self.limit[codes] - 1)), axis=1)  # or flushed
        amax, of_maxima = self.least + np.arange(self.maxima), self.codes_of_maxima
        largest, kept = floats(amax).astype(np.float64), amax - self.limit[of_maxima]
        reached = np.where(kept < 0, largest, error[of_maxima - self.first, np.maximum(kept, 0)])
        return np.asarray(reached * (1.0 / largest), np.float64)


def _rounded_up(worst: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """As float32; and which of them are the largest that become this float32."""
    above = worst.astype(np.float32)
    above = np.where(above < worst, np.nextafter(above, np.float32(np.inf)), above)
    order = np.argsort(worst, kind="stable")
    last = np.append(above[order][1:] != above[order][:-1], True) if worst.size else np.zeros(0, np.bool_)
    largest = dict(zip(above[order][last].tolist(), worst[order][last].tolist(), strict=True))
    return above, np.array([largest[float(a)] == w for a, w in zip(above, worst, strict=True)], np.bool_)


def window_of(x: Any, block: int, scales: ScaleTable) -> Window | None:
    """The codes that most of a sample of blocks have; None where many of them cannot be counted.

    ``x``: bfloat16 as uint16, whole blocks in a row.
    """
    step = x.size // block // _SAMPLE | 1  # odd: an even one may meet the same column of every other row alone
    magnitudes = on_host(x.reshape(-1, block)[::step]) & np.uint16(0x7FFF)
    magnitudes = magnitudes[magnitudes.any(axis=1)]
    start = (scales.start.astype(np.int64) + 0xFFFF) >> 16
    codes = np.searchsorted(start[:256], magnitudes.max(axis=1, initial=0), side="right") - 1
    largest = int(np.float32(scales.largest).view(np.uint32) >> np.uint32(16))
    window = choose(scales, np.bincount(codes, minlength=256), largest)
    if window is None:
        return None
    counted = (codes >= window.first) & (codes <= window.last)
    counted &= ~((magnitudes > 0) & (magnitudes <= window.below)).any(axis=1)
    return window if counted.mean() >= 0.9 else None


def choose(scales: ScaleTable, seen: NDArray[np.int64], largest: int) -> Window | None:
    """A window of consecutive codes that can be counted, with the most blocks. ``seen``: blocks by code (256,)."""
    limit, start = limits(scales.factor), (scales.start.astype(np.int64) + 0xFFFF) >> 16
    start = np.minimum(start, _FINITE)
    most = np.minimum(start[1:] - 1, largest)
    width = most - limit + 1
    usable = (scales.decode != 0) & (start[:-1] <= most) & (most >= limit) & (width <= _WIDEST)
    usable &= most - start[:-1] < MAXIMA
    best, first, last = 0, 0, 0
    for begin in np.flatnonzero(usable & (seen > 0)).tolist():
        end = begin
        while end < 255 and usable[end + 1] and _fits(begin, end + 1, width, start, most):
            end += 1
        blocks = int(seen[begin : end + 1].sum())
        if blocks > best:
            best, first, last = blocks, begin, end
    if best == 0:
        return None
    last = min(last, int(np.flatnonzero(seen[: last + 1]).max()) + _SPARE)
    for _ in range(_SPARE):
        if first > 0 and usable[first - 1] and _fits(first - 1, last, width, start, most):
            first -= 1
    return Window(scales, first, last, largest, limit, start)


def _fits(first: int, last: int, width: NDArray[np.int64], start: NDArray[np.int64], most: NDArray[np.int64]) -> bool:
    bins = 1 + _FLUSHED + (last - first + 1) * (1 + int(width[first : last + 1].max()))
    return bins <= PER_SIGN and int(most[last] - start[first]) < MAXIMA


def limits(factor: NDArray[np.float32]) -> NDArray[np.int64]:
    """The least magnitude that does not become 0: fl(x factor) > 0.25, for ties go to even."""
    low, high = np.zeros(factor.size, np.int64), np.full(factor.size, _FINITE, np.int64)
    while (low < high).any():
        middle = (low + high) // 2
        with np.errstate(over="ignore", invalid="ignore"):
            kept = floats(middle) * factor > np.float32(0.25)
        low, high = np.where(kept, low, np.minimum(middle + 1, high)), np.where(kept, middle, high)
    return low


def floats(bits: NDArray[np.int64]) -> NDArray[np.float32]:
    """Magnitudes as float32."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
