"""From sums to metrics: the definitions of :class:`fp4sim.report.model.Metrics`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.report.model import NO_ERROR, Metrics
from fp4sim.stats.sums import (
    CAUSES,
    E2,
    E2_FLUSHED,
    E2_OVER,
    E2_SCALE_ZERO,
    N_FLUSHED,
    N_OVER,
    N_SCALE_ZERO,
    X2,
    X_XHAT,
    XHAT2,
    E,
    PanelSums,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fp4sim.floats import FloatFormat


@dataclass(frozen=True)
class ScaleCounts:
    """Blocks by what their scale is; ``histogram`` by code for encodings of up to 8 bits, else empty."""

    blocks: int
    zero: int
    lost: int
    subnormal: int
    saturated: int
    histogram: NDArray[np.int64]

    def __add__(self, other: ScaleCounts) -> ScaleCounts:
        return ScaleCounts(
            self.blocks + other.blocks,
            self.zero + other.zero,
            self.lost + other.lost,
            self.subnormal + other.subnormal,
            self.saturated + other.saturated,
            self.histogram + other.histogram,
        )

    def divided(self, times: int) -> ScaleCounts:
        """Counts of scales that were each counted ``times`` times."""
        counts = (self.blocks, self.zero, self.lost, self.subnormal, self.saturated)
        blocks, zero, lost, subnormal, saturated = (count // times for count in counts)
        return ScaleCounts(blocks, zero, lost, subnormal, saturated, self.histogram // times)

    @classmethod
    def of(
        cls,
        codes: NDArray[np.unsignedinteger],
        amax: NDArray[np.float32],
        fmt: FloatFormat | None,
        count: Callable[[NDArray[np.uint8]], NDArray[np.int64]],
    ) -> ScaleCounts:
        """Count the scales of a cell: ``codes`` and ``amax`` one a block (not those that only pad).

        ``count`` is a backend's byte histogram.
        """
        if fmt is None:
            return cls(0, 0, 0, 0, 0, np.zeros(0, np.int64))
        if fmt.bits > 8:
            zero = codes == 0
            below_normal = ~zero & (codes < 1 << fmt.mantissa_bits)
            lost, saturated = int((zero & (amax > 0)).sum()), int((codes == fmt.max_code).sum())
            none = np.zeros(0, np.int64)
            return cls(codes.size, int(zero.sum()), lost, int(below_normal.sum()), saturated, none)
        histogram = count(codes.astype(np.uint8, copy=False))
        lost = int(((codes == 0) & (amax > 0)).sum()) if fmt.has_zero and histogram[0] else 0
        return cls.of_histogram(histogram, lost, fmt)

    @classmethod
    def of_histogram(cls, histogram: NDArray[np.int64], lost: int, fmt: FloatFormat) -> ScaleCounts:
        """From blocks by scale code, int64 (256,), and how many lost all that they held to a scale of zero."""
        blocks, saturated = int(histogram.sum()), int(histogram[fmt.max_code])
        if not fmt.has_zero:
            return cls(blocks, 0, 0, 0, saturated, histogram)
        zeros, below = int(histogram[0]), int(histogram[1 : 1 << fmt.mantissa_bits].sum())
        return cls(blocks, zeros, lost, below, saturated, histogram)


@dataclass(frozen=True)
class WholeErrors:
    """A tensor's error sums, block scales and the place of its worst element."""

    sums: PanelSums
    scales: ScaleCounts
    worst_at: tuple[int, ...] | None


def metrics_of(
    sums: PanelSums,
    scales: ScaleCounts,
    *,
    worst_at: tuple[int, ...] | None = None,
    worst_in: str | None = None,
) -> Metrics:
    """Metrics of a tensor or of a total. Numbers that have no value are None, with the reason."""
    s = [float(value) for value in sums.sums]
    n = sums.elements - sums.nonfinite
    undefined: dict[str, str] = {}

    def defined(name: str, value: float | None, reason: str) -> float | None:
        if value is not None and math.isfinite(value):
            return value
        undefined[name] = reason if value is None else "not finite: the data or its scales hold NaN or Inf"
        return None

    relative = s[E2] / s[X2] if s[X2] > 0 or math.isnan(s[X2]) else None
    positive = relative if relative is None or not relative <= 0 else None
    no_log = "x is all zero" if relative is None else NO_ERROR
    lengths = s[X2] * s[XHAT2]
    norms = None if lengths == 0 else math.sqrt(s[X2]) * math.sqrt(s[XHAT2])
    blocks = max(scales.blocks, 1)
    nonzero_causes = {
        "scale_zero": int(sums.counts[N_SCALE_ZERO]),
        "over_maximum": int(sums.counts[N_OVER]),
        "flushed": int(sums.counts[N_FLUSHED]),
    }
    lost_elements = nonzero_causes["scale_zero"] + nonzero_causes["flushed"]
    return Metrics(
        elements=n,
        mse=defined("mse", s[E2] / n if n else None, "no elements"),
        rel_mse=defined("rel_mse", relative, "x is all zero"),
        snr_db=defined("snr_db", 0.0 - 10 * math.log10(positive) if positive else None, no_log),
        effective_bits=defined("effective_bits", 0.0 - math.log2(positive) / 2 if positive else None, no_log),
        cosine=defined("cosine", s[X_XHAT] / norms if norms else None, "x or x_hat is all zero"),
        alignment=defined("alignment", s[X_XHAT] / s[X2] if not s[X2] <= 0 else None, "x is all zero"),
        mean_error=defined("mean_error", s[E] / n if n else None, "no elements"),
        max_error=defined("max_error", sums.worst if sums.worst >= 0 else None, "no element has a finite ratio"),
        max_error_at=worst_at,
        error_share=_error_share(s),
        element_share={cause: count / max(n, 1) for cause, count in nonzero_causes.items()},
        flushed=lost_elements / max(n, 1),
        blocks=scales.blocks,
        scale_zero=scales.zero / blocks,
        scale_lost=scales.lost / blocks,
        scale_subnormal=scales.subnormal / blocks,
        scale_saturated=scales.saturated / blocks,
        occupancy=tuple(int(count) for count in sums.occupancy),
        scale_histogram={str(code): int(scales.histogram[code]) for code in np.flatnonzero(scales.histogram)},
        max_error_in=worst_in,
        undefined=undefined,
    )


def _error_share(s: list[float]) -> dict[str, float]:
    """Shares of sum e^2; rounding is what the other causes leave."""
    if not s[E2] > 0 or not math.isfinite(s[E2]):
        return dict.fromkeys(CAUSES, 0.0)
    named = [s[row] / s[E2] for row in (E2_SCALE_ZERO, E2_OVER, E2_FLUSHED)]
    return dict(zip(CAUSES, [*named, max(0.0, 1.0 - sum(named))], strict=True))
