"""What every renderer shares: how a number is written, and names from outside made harmless."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fp4sim.io.files import shown
from fp4sim.report.model import METRICS, Metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

UNDEFINED = "–"
TOTAL_METRICS = ("rel_mse", "snr_db", "effective_bits", "cosine", "alignment", "max_error", "flushed", "scale_lost")
TENSOR_METRICS = ("snr_db", "rel_mse", "cosine", "max_error", "flushed", "scale_lost")

_SIGNIFICANT = ("mse", "mean_error")  # no natural size: significant digits instead of decimals
_MOST_DECIMALS = 12


def metric_text(name: str, metrics: Metrics) -> str:
    """A metric of one row as its column shows it; a dash where it is undefined."""
    return number_text(name, getattr(metrics, name))


def number_text(name: str, value: float | None) -> str:
    """A value of the metric ``name`` with its factor and digits: never a misleading 0 or 1 by rounding alone."""
    if value is None:
        return UNDEFINED
    info = METRICS[name]
    scaled = value * info.factor
    if name in _SIGNIFICANT:
        return f"{scaled:.{info.digits}g}"
    decimals = info.digits
    if info.name == "cosine":
        decimals = _decimals_near_one(scaled, decimals)
    text = f"{scaled:.{decimals}f}"
    if scaled and float(text) == 0:
        return f"{scaled:.1e}"
    return text if len(text) < 12 + info.digits else f"{scaled:.3e}"


def best_rows(name: str, rows: Sequence[Metrics]) -> set[int]:
    """Indexes of the rows that are best by a metric as it is shown; none where all look alike or stand alone."""
    goodness = METRICS[name].goodness
    scored = {i: goodness(getattr(row, name)) for i, row in enumerate(rows) if getattr(row, name) is not None}
    texts = [metric_text(name, row) for row in rows]
    if not scored or len(set(texts)) == 1:
        return set()
    winner = texts[max(scored, key=lambda i: scored[i])]
    return {i for i in scored if texts[i] == winner}


def _decimals_near_one(value: float, decimals: int) -> int:
    """Enough decimals that a value just off 1 is not written as 1."""
    gap = abs(1.0 - value)
    if gap == 0 or round(value, decimals) != 1:
        return decimals
    return min(_MOST_DECIMALS, math.ceil(-math.log10(gap)) + 1)


def percent(share: float) -> str:
    """A share of 1 in percent, with a small one told apart from none."""
    text = f"{100 * share:.2f}"
    return f"{100 * share:.1e}" if share and float(text) == 0 else text


def safe_name(name: str, limit: int = 0) -> str:
    """A name from a file on one line: control and invisible characters escaped, the middle cut out beyond ``limit``."""
    text = shown(name, len(name))
    return middle_cut(text, limit) if limit else text


def middle_cut(text: str, limit: int) -> str:
    """``text`` in at most ``limit`` characters: its two ends around an ellipsis."""
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 2
    return text[: limit - 1 - tail] + "…" + text[len(text) - tail :]


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape as 4096×4096."""
    return "×".join(map(str, shape)) or "scalar"


def count_of(number: int, noun: str) -> str:
    """A count with its noun: 1 tensor, 2 tensors."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def settings_text(settings: dict[str, object]) -> str:
    """The settings that a report repeats, on one line."""
    return ", ".join(f"{key} {value}" for key, value in settings.items())
