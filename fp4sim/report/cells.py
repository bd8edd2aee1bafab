"""What every renderer shares: how a number is written, and names from outside made harmless."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from fp4sim.io.files import shown
from fp4sim.report.model import METRICS, UNNAMED, Metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fp4sim.report.model import CompareResult

UNDEFINED = "–"
INFINITE = "∞"
TOTAL_METRICS = ("rel_mse", "snr_db", "effective_bits", "cosine", "alignment", "max_error", "flushed", "scale_lost")
TENSOR_METRICS = ("snr_db", "rel_mse", "cosine", "max_error", "flushed", "scale_lost")

_SIGNIFICANT = ("mse", "mean_error")  # no natural size: significant digits instead of decimals
_MOST_DECIMALS = 12


def metric_text(name: str, metrics: Metrics) -> str:
    """A metric of one row as its column shows it; a dash where it is undefined, ∞ where there is no error at all."""
    return number_text(name, metrics.value(name))


def number_text(name: str, value: float | None) -> str:
    """A value of the metric ``name`` with its factor and digits: never a misleading 0 or 1 by rounding alone."""
    if value is None:
        return UNDEFINED
    if value == math.inf:
        return INFINITE
    info = METRICS[name]
    scaled = value * info.factor
    if name in _SIGNIFICANT:
        return f"{scaled:.{info.digits}g}"
    decimals = info.digits
    if info.name == "cosine":
        decimals = _decimals_near_one(scaled, decimals)
    text = f"{scaled:z.{decimals}f}"
    if scaled and float(text) == 0:
        return f"{scaled:.1e}"
    return text if len(text) < 12 + info.digits else f"{scaled:.3e}"


def best_rows(name: str, rows: Sequence[Metrics]) -> set[int]:
    """Indexes of the rows that are best by a metric as it is shown; none where all look alike or stand alone."""
    goodness = METRICS[name].goodness
    values = [row.value(name) for row in rows]
    scored = {i: goodness(value) for i, value in enumerate(values) if value is not None}
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


def tensor_name(name: str, limit: int = 0) -> str:
    """A tensor's name as :func:`safe_name` shows it, with a word for the empty one."""
    return safe_name(name or UNNAMED, limit)


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


def note_lines(result: CompareResult) -> list[str]:
    """What was done to tensors before they were compared: a line for each note with the tensors that it concerns."""
    counts = Counter(note for tensor in result.tensors for note in tensor.notes)
    return [f"{note}: {count_of(count, 'tensor')}" for note, count in counts.items()]


def settings_text(settings: dict[str, object]) -> str:
    """The settings that a report repeats, on one line."""
    lists = {key: " ".join(map(str, value)) for key, value in settings.items() if isinstance(value, (list, tuple))}
    return ", ".join(f"{key} {lists.get(key, value)}" for key, value in settings.items())
