"""What draws of estimators mean: which are biased and where, what would decide, and which scatters least."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fp4sim.report.cells import count_of, tensor_name
from fp4sim.report.summary.sentence import Link, Sentence, named, of_all, row_name
from fp4sim.report.summary.thresholds import THRESHOLDS

if TYPE_CHECKING:
    from fp4sim.report.bias_model import Bias, BiasResult

_NAME_LIMIT = 60


def bias_sentences(result: BiasResult) -> tuple[Sentence, ...]:
    """The sentences of a bias report. The verdicts' own threshold is the result's ``margin``, at 95 % confidence."""
    found: list[Sentence] = []
    for index in range(len(result.estimators)):
        found += _verdicts(result, index)
        found += _rounding(result, index)
    return (*found, *_scatter(result))


def _link(result: BiasResult, tensor: int, index: int) -> Link:
    return Link(tensor_name(result.label(result.tensors[tensor]), _NAME_LIMIT), row_name(tensor, index))


def _judged(result: BiasResult, index: int) -> dict[int, Bias]:
    """The tensors on which something was measured."""
    rows = ((i, tensor.results[index]) for i, tensor in enumerate(result.tensors))
    return {i: bias for i, bias in rows if bias.relative_bias is not None}


def _verdicts(result: BiasResult, index: int) -> Iterator[Sentence]:
    rows, name = _judged(result, index), result.estimators[index].short
    margin = result.settings.get("margin")
    within = f" to {margin:g} of |x|" if isinstance(margin, float) else ""
    for verdict in ("biased", "unbiased", "undecided"):
        having = [i for i, bias in rows.items() if bias.verdict == verdict]
        if not having:
            continue
        where = of_all(len(having), len(rows), "tensor")
        ids = tuple(row_name(i, index) for i in having)
        if verdict == "unbiased":
            yield Sentence((f"{name} is unbiased{within} on {where}.",), ids)
        elif verdict == "biased":
            sizes = {i: bias.relative_bias.estimate for i, bias in rows.items() if i in having and bias.relative_bias}
            worst = max(sizes, key=lambda i: sizes[i])
            text = f"{name} is biased on {where}, by {sizes[worst]:.3g} of |x|"
            tail = (".",) if len(having) == 1 == len(rows) else (" at most, on ", _link(result, worst, index), ".")
            yield Sentence((text, *tail), ids, warning=True)
        else:
            needed = [rows[i].draws_needed for i in having]
            most = max((count for count in needed if count), default=None)
            more = f"; about {most:,} draws would decide" if most else ""
            yield Sentence((f"Whether {name} is biased is undecided on {where}{more}.",), ids)


def _rounding(result: BiasResult, index: int) -> Iterator[Sentence]:
    limit = THRESHOLDS["rounding test"].value
    checks = {i: tensor.results[index].rounding for i, tensor in enumerate(result.tensors)}
    failing = [
        i for i, check in checks.items() if check is not None and check.p_value is not None and check.p_value < limit
    ]
    if failing:
        links = [_link(result, i, index) for i in failing]
        text = f"{result.estimators[index].short} does not round up as often as the positions between codes say, on "
        rows = tuple(link.row for link in links)
        yield Sentence((text, *named(links), "."), rows, ("rounding test",), warning=True)


def _scatter(result: BiasResult) -> Iterator[Sentence]:
    """Of the random estimators that are nowhere biased, the one that scatters least and what the others have more."""
    variances: dict[int, float] = {}
    for index in range(len(result.estimators)):
        rows = _judged(result, index).values()
        known = [bias.variance.estimate for bias in rows if bias.variance and bias.verdict == "unbiased"]
        if rows and len(known) == len(rows) and min(known) > 0:
            variances[index] = statistics.median(known)
    if len(variances) < 2:
        return
    least = min(variances, key=lambda i: variances[i])
    ratios = {i: value / variances[least] for i, value in variances.items() if i != least}
    if min(ratios.values()) < THRESHOLDS["variance ratio"].value:
        return
    others = ", ".join(f"{result.estimators[i].short} {ratio:.2g} times as much" for i, ratio in ratios.items())
    middle = "" if len(result.tensors) == 1 else f" (medians over {count_of(len(result.tensors), 'tensor')})"
    text = f"Of the unbiased estimators {result.estimators[least].short} scatters least, {others}{middle}."
    rows_of = tuple(row_name(i, index) for index in variances for i in range(len(result.tensors)))
    yield Sentence((text,), rows_of, ("variance ratio",))
