"""Thresholds for CI gates: ``--fail-on 'snr_db<15'``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fp4sim.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fp4sim.report.model import CompareResult, Metrics

_FORM = re.compile(r"\s*(\w+)\s*([<>])\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*")
_SHARES = ("flushed", "scale_lost")


@dataclass(frozen=True)
class Threshold:
    """A bound on a metric of every format's total."""

    metric: str
    sign: str
    value: float

    @classmethod
    def parse(cls, text: str) -> Threshold:
        """Read ``METRIC<VALUE`` or ``METRIC>VALUE``. Raises UsageError."""
        from fp4sim.report.model import METRICS

        match = _FORM.fullmatch(text)
        if not match:
            raise UsageError(f"--fail-on {text!r}: write METRIC<VALUE or METRIC>VALUE, e.g. 'snr_db<15'")
        metric, sign, value = match[1], match[2], float(match[3])
        if metric not in METRICS:
            raise UsageError(f"--fail-on {text!r}: no metric {metric!r}; there are {', '.join(METRICS)}")
        if metric in _SHARES and value > 1:
            raise UsageError(f"--fail-on {text!r}: {metric} is a share of 1: write {value / 100:g} for {value:g} %")
        return cls(metric, sign, value)

    def failure(self, metrics: Metrics) -> str | None:
        """What is wrong with a total, or None.

        Where there is no error at all, an SNR is infinite, and what has no value for all-zero data passes; a metric that
        is undefined for another reason fails.
        """
        value = metrics.value(self.metric)
        if value is None:
            reason = metrics.undefined.get(self.metric, "no value")
            return None if metrics.mse == 0 else f"{self.metric} is undefined ({reason})"
        crossed = value < self.value if self.sign == "<" else value > self.value
        return f"{self.metric} {value:.6g} {self.sign} {self.value:g}" if crossed else None


def failures(result: CompareResult, thresholds: Sequence[Threshold]) -> Iterator[str]:
    """One line for every format and threshold that its total crosses."""
    from fp4sim.report.cells import count_of

    for threshold in thresholds:
        for info, total in zip(result.formats, result.totals, strict=True):
            problem = threshold.failure(total.metrics)
            if problem:
                yield f"{info.short}: {problem} over {count_of(len(result.tensors), 'tensor')}"
