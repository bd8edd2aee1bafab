"""What a comparison means: which format loses how much on how many tensors, and which tensors suffer from what."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fp4sim.report.cells import tensor_name
from fp4sim.report.summary.sentence import Link, Sentence, named, of_all, row_name
from fp4sim.report.summary.thresholds import THRESHOLDS

if TYPE_CHECKING:
    from fp4sim.report.model import CompareResult, Metrics

_NAME_LIMIT = 60


@dataclass(frozen=True)
class _Rule:
    """Tensors whose ``value`` is above a threshold are told of; {} in the texts is the threshold.

    ``systematic``: a single draw of a stochastic format does not tell.
    """

    threshold: str
    value: Callable[[Metrics], float | None]
    many: str
    one: str
    systematic: bool = False


_RULES = (
    _Rule(
        "scale underflow",
        lambda m: m.scale_lost,
        "lose more than {} of their blocks to scale underflow",
        "loses more than {} of its blocks to scale underflow",
    ),
    _Rule(
        "subnormal scales",
        lambda m: m.scale_subnormal,
        "have more than {} of their block scales in the subnormal range, where scales are coarse",
        "has more than {} of its block scales in the subnormal range, where scales are coarse",
    ),
    _Rule(
        "clipping",
        lambda m: m.error_share.get("over_maximum"),
        "owe more than {} of their squared error to elements beyond the largest code",
        "owes more than {} of its squared error to elements beyond the largest code",
    ),
    _Rule(
        "flushed",
        lambda m: m.flushed,
        "have more than {} of their elements flushed to zero",
        "has more than {} of its elements flushed to zero",
    ),
    _Rule(
        "shrinkage",
        lambda m: None if m.alignment is None else 1 - m.alignment,
        "come back more than {} too small",
        "comes back more than {} too small",
        systematic=True,
    ),
    _Rule(
        "shrinkage",
        lambda m: None if m.alignment is None else m.alignment - 1,
        "come back more than {} too large",
        "comes back more than {} too large",
        systematic=True,
    ),
)


def compare_sentences(result: CompareResult) -> tuple[Sentence, ...]:
    """The sentences of a comparison, the most telling first."""
    if not result.tensors or not result.formats:
        return ()
    found = [*_nonfinite(result), *_against_best(result)]
    for rule in _RULES:
        found += _suffering(result, rule)
    for index in range(len(result.formats)):
        found += _outliers(result, index)
    return tuple(found)


def _link(result: CompareResult, tensor: int, index: int) -> Link:
    return Link(tensor_name(result.label(result.tensors[tensor]), _NAME_LIMIT), row_name(tensor, index))


def _nonfinite(result: CompareResult) -> Iterator[Sentence]:
    rows = [i for i, tensor in enumerate(result.tensors) if tensor.nonfinite]
    if rows:
        elements = sum(result.tensors[i].nonfinite for i in rows)
        links = [_link(result, i, 0) for i in rows]
        who = of_all(len(rows), len(result.tensors), "tensor")
        verb = "hold" if len(rows) > 1 else "holds"
        text = f"{_capital(who)} {verb} NaN or Inf, {elements:,} elements in all: "
        yield Sentence((text, *named(links), "."), tuple(link.row for link in links), warning=True)


def _against_best(result: CompareResult) -> Iterator[Sentence]:
    """Each format against the one with the largest total SNR."""
    totals = [total.metrics.value("snr_db") for total in result.totals]
    known = [i for i, value in enumerate(totals) if value is not None]
    if len(known) < 2:
        return
    best = max(known, key=lambda i: totals[i] or 0.0)
    for index in known:
        if index != best:
            yield from _pair(result, best, index)


def _pair(result: CompareResult, best: int, other: int) -> Iterator[Sentence]:
    losses: dict[int, float] = {}
    for i, tensor in enumerate(result.tensors):
        high, low = tensor.results[best].snr_db, tensor.results[other].snr_db
        if high is not None and low is not None:
            losses[i] = high - low
    if not losses:
        return
    step = THRESHOLDS["snr difference"].value
    loses = [i for i, loss in losses.items() if loss > step]
    alike = [i for i, loss in losses.items() if abs(loss) <= step]
    names = (result.formats[best].short, result.formats[other].short)
    used = ("snr difference", "agreement")
    having = "" if len(losses) == len(result.tensors) else " that have an SNR"
    if _agree(len(loses), len(losses)):
        loss = statistics.median(losses[i] for i in loses)
        where = of_all(len(loses), len(losses), "tensor") + having
        middle = "" if len(loses) == 1 else " in the median"
        text = f"{names[1]} loses {loss:.2f} dB{middle} against {names[0]} on {where}{_price(result, best, other)}"
        exceptions = [_link(result, i, other) for i in losses if i not in loses]
        yield Sentence((text, *_exceptions(exceptions), "."), tuple(row_name(i, other) for i in loses), used)
    elif _agree(len(alike), len(losses)):
        where = of_all(len(alike), len(losses), "tensor") + having
        text = f"{names[1]} and {names[0]} are within {step:g} dB of each other on {where}"
        exceptions = [_link(result, i, other) for i in losses if i not in alike]
        yield Sentence((text, *_exceptions(exceptions), "."), tuple(row_name(i, other) for i in alike), used)


def _agree(count: int, total: int) -> bool:
    if total < THRESHOLDS["few tensors"].value:
        return count == total
    return count >= THRESHOLDS["agreement"].value * total


def _exceptions(links: Sequence[Link]) -> Iterator[str | Link]:
    if links:
        yield "; the exceptions are " if len(links) > 1 else "; the exception is "
        yield from named(links)


def _price(result: CompareResult, best: int, other: int) -> str:
    more, less = result.formats[best].bits_per_element, result.formats[other].bits_per_element
    return "" if more == less else f", at {less:g} instead of {more:g} bits an element"


def _suffering(result: CompareResult, rule: _Rule) -> Iterator[Sentence]:
    """A sentence for every set of tensors above the threshold, with the formats under which it is that set."""
    limit = THRESHOLDS[rule.threshold].value
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, info in enumerate(result.formats):
        if rule.systematic and any(note.startswith("stochastic") for note in info.notes):
            continue
        values = ((i, rule.value(tensor.results[index])) for i, tensor in enumerate(result.tensors))
        above = tuple(i for i, value in values if value is not None and value > limit)
        if above:
            groups.setdefault(above, []).append(index)
    for above, formats in groups.items():
        yield _sufferers(result, rule, above, formats)


def _sufferers(result: CompareResult, rule: _Rule, above: Sequence[int], formats: Sequence[int]) -> Sentence:
    def worst(i: int) -> float:
        return max(rule.value(result.tensors[i].results[index]) or 0.0 for index in formats)

    order = sorted(above, key=lambda i: -worst(i))
    links = [_link(result, i, formats[0]) for i in order]
    says = (rule.many if len(above) > 1 else rule.one).format(THRESHOLDS[rule.threshold].text)
    under = _listed([result.formats[index].short for index in formats])
    who = of_all(len(above), len(result.tensors), "tensor")
    text = f"Under {under}, {who} {says}, up to {100 * worst(order[0]):.3g} %"
    tail = (": ", *named(links), ".") if len(above) < len(result.tensors) or len(above) == 1 else (".",)
    rows = tuple(row_name(i, index) for i in order for index in formats)
    return Sentence((text, *tail), rows, (rule.threshold,), warning=True)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _outliers(result: CompareResult, index: int) -> Iterator[Sentence]:
    """Tensors far below the others: by decibels and by the spread of the others, so that scatter alone names none."""
    values = {i: tensor.results[index].snr_db for i, tensor in enumerate(result.tensors)}
    known = {i: value for i, value in values.items() if value is not None and math.isfinite(value)}
    if len(known) < THRESHOLDS["few tensors"].value:
        return
    middle = statistics.median(known.values())
    spread = statistics.median(abs(value - middle) for value in known.values())
    distance = max(THRESHOLDS["outlier distance"].value, THRESHOLDS["outlier spread"].value * spread)
    below = sorted((i for i, value in known.items() if middle - value > distance), key=lambda i: known[i])
    if below:
        links = [_link(result, i, index) for i in below]
        who = f"{len(below):,} tensors lie" if len(below) > 1 else "1 tensor lies"
        text = f"Under {result.formats[index].short}, {who} more than {distance:.2g} dB below the median of {middle:.1f} dB: "
        used = ("outlier distance", "outlier spread")
        yield Sentence((text, *named(links), "."), tuple(link.row for link in links), used, warning=True)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
