"""The result model: plain frozen records that commands fill and renderers read. It stands on nothing else.

Undefined numbers are None, with the reason under ``undefined`` by field name: JSON has neither Infinity nor NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from fp4sim.report.block_records import TensorBlocks
from fp4sim.report.result import Result

COMPARE_SCHEMA = "fp4sim.compare/1"
NO_ERROR = "no error at all"  # why an SNR is undefined although it is as good as can be
UNNAMED = "(unnamed)"


@dataclass(frozen=True)
class Metrics:
    """Error of one tensor (or a total) under one format. e = x_hat - x, sums over all elements.

    ``mse``: mean e^2. ``rel_mse``: sum e^2 / sum x^2. ``snr_db``: -10 log10(rel_mse), dB. ``effective_bits``:
    -log2(rel_mse)/2. ``cosine``: <x,x_hat>/(|x||x_hat|). ``alignment``: <x,x_hat>/<x,x>. ``mean_error``: mean e.
    ``max_error``: largest |e| over its block's amax, at ``max_error_at`` (tensor index).
    ``error_share``: share of sum e^2 by cause (scale_zero, over_maximum, flushed, rounding). ``element_share``: share of
    elements by cause, without rounding. ``flushed``: share of all elements with x != 0 and x_hat = 0.
    ``blocks``; ``scale_zero``, ``scale_lost`` (zero although amax > 0), ``scale_subnormal``, ``scale_saturated`` (at the
    encoding's largest value): shares of blocks. ``occupancy``: count by code. ``scale_histogram``: count by scale byte.
    """

    elements: int
    mse: float | None
    rel_mse: float | None
    snr_db: float | None
    effective_bits: float | None
    cosine: float | None
    alignment: float | None
    mean_error: float | None
    max_error: float | None
    max_error_at: tuple[int, ...] | None
    error_share: dict[str, float]
    element_share: dict[str, float]
    flushed: float
    blocks: int
    scale_zero: float
    scale_lost: float
    scale_subnormal: float
    scale_saturated: float
    occupancy: tuple[int, ...]
    scale_histogram: dict[str, int]
    max_error_in: str | None = None
    undefined: dict[str, str] = field(default_factory=dict)

    def value(self, name: str) -> float | None:
        """The metric ``name`` to rank and to show: +infinity where it is None because there is no error at all."""
        found: float | None = getattr(self, name)
        return math.inf if found is None and self.undefined.get(name) == NO_ERROR else found


@dataclass(frozen=True)
class FormatInfo:
    """A format compared: canonical and short spec, storage bits an element, what a reader should know."""

    spec: str
    short: str
    bits_per_element: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TensorResult:
    """One tensor under every format, in the order of ``CompareResult.formats``."""

    name: str
    source: str
    shape: tuple[int, ...]
    dtype: str
    elements: int
    nonfinite: int
    amax: float | None
    results: tuple[Metrics, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Total:
    """A format over all tensors: ratios of sums, and the median over tensors beside."""

    metrics: Metrics
    median: dict[str, float | None]


@dataclass(frozen=True)
class Skipped:
    """A tensor that was not compared, and why."""

    name: str
    source: str
    reason: str


@dataclass(frozen=True)
class CompareResult(Result):
    """What ``compare`` found. ``to_dict`` is its JSON; notebooks show a table.

    ``blocks``: errors by block of the worst tensors under the first formats, where ``report`` measured them.
    """

    formats: tuple[FormatInfo, ...]
    tensors: tuple[TensorResult, ...]
    totals: tuple[Total, ...]
    skipped: tuple[Skipped, ...]
    sources: tuple[str, ...]
    settings: dict[str, Any]
    blocks: tuple[TensorBlocks, ...] = ()
    schema: ClassVar[str] = COMPARE_SCHEMA

    def label(self, tensor: TensorResult) -> str:
        """The name to show: with its source where another tensor has the same name."""
        twins = sum(other.name == tensor.name for other in self.tensors) if len(self.sources) > 1 else 1
        name = tensor.name or UNNAMED
        return name if twins == 1 else f"{tensor.source}: {name}"

    def median(self, index: int, name: str) -> float | None:
        """The median of a format's metric to show: a record has None for infinity, which tensors without error tell."""
        found = self.totals[index].median.get(name)
        exact = any(tensor.results[index].value(name) == math.inf for tensor in self.tensors)
        return math.inf if found is None and exact else found

    def _repr_html_(self) -> str:
        from fp4sim.report.html_table import compare_table

        return compare_table(self)

    def __str__(self) -> str:
        from fp4sim.report.markdown import compare_markdown

        return compare_markdown(self)


@dataclass(frozen=True)
class MetricInfo:
    """How a metric is shown: its column head, arrow, scale and which values are better."""

    name: str
    head: str
    better: str  # "high", "low", "one" (closest to 1) or "zero"
    factor: float = 1.0
    digits: int = 3

    @property
    def arrow(self) -> str:
        """Which way is better, as lm-eval tables show it."""
        return {"high": "↑", "low": "↓"}.get(self.better, "")

    def goodness(self, value: float) -> float:
        """A number that is larger for better values."""
        return {"high": value, "low": -value, "one": -abs(value - 1), "zero": -abs(value)}[self.better]


METRICS: dict[str, MetricInfo] = {
    row.name: row
    for row in (
        MetricInfo("mse", "MSE", "low", digits=4),
        MetricInfo("rel_mse", "relMSE ×1e3", "low", factor=1e3, digits=3),
        MetricInfo("snr_db", "SNR dB", "high", digits=2),
        MetricInfo("effective_bits", "eff. bits", "high", digits=3),
        MetricInfo("cosine", "cosine", "high", digits=6),
        MetricInfo("alignment", "align", "one", digits=5),
        MetricInfo("mean_error", "mean err", "zero", digits=2),
        MetricInfo("max_error", "max err/amax", "low", digits=4),
        MetricInfo("flushed", "flushed %", "low", factor=100, digits=2),
        MetricInfo("scale_lost", "lost blk %", "low", factor=100, digits=2),
    )
}
