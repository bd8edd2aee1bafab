"""What the error of a product means: where it comes from, which format loses, and which models a recording obeys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fp4sim.report.cells import count_of, percent
from fp4sim.report.summary.sentence import Link, Sentence, row_name
from fp4sim.report.summary.thresholds import THRESHOLDS

if TYPE_CHECKING:
    from fp4sim.report.gemm_fit_model import FitResult
    from fp4sim.report.gemm_model import GemmErrors, GemmPart

_PARTS = {
    "accumulation": "comes from accumulation in the matrix unit",
    "cast": "comes from the cast of the output alone: a wider output would be better",
}


def gemm_sentences(result: GemmErrors) -> tuple[Sentence, ...]:
    """The formats against the best, parts beside the operands' that matter, and what no instruction multiplies."""
    found = [*_against_best(result)]
    for name, says in _PARTS.items():
        for i, row in enumerate(result.formats):
            share = _share(getattr(row, name), row.total)
            if share is not None and share > THRESHOLDS[name].value:
                parts = (Link(row.short, row_name(i)), f": {percent(share)} % of the squared error {says}.")
                found.append(Sentence(parts, (row_name(i),), (name,), warning=True))
    lost = [(i, row) for i, row in enumerate(result.formats) if row.overflows]
    for i, row in lost:
        text = f": {count_of(row.overflows, 'output')} left the range of the output's dtype."
        found.append(Sentence((Link(row.short, row_name(i)), text), (row_name(i),), warning=True))
    return tuple(found)


def _share(part: GemmPart | None, total: GemmPart) -> float | None:
    if part is None or part.rel_mse is None or not total.rel_mse:
        return None
    return part.rel_mse / total.rel_mse


def _against_best(result: GemmErrors) -> Iterator[Sentence]:
    known = {
        i: row.total.snr_db for i, row in enumerate(result.formats) if row.total.snr_db is not None and not row.reason
    }
    if len(known) < 2:
        return
    best = max(known, key=lambda i: known[i] or 0.0)
    for i, value in known.items():
        loss = (known[best] or 0.0) - (value or 0.0)
        if i != best and loss > THRESHOLDS["product difference"].value:
            text = f" loses {loss:.2f} dB against {result.formats[best].short} on this product."
            parts = (Link(result.formats[i].short, row_name(i)), text)
            yield Sentence(parts, (row_name(i), row_name(best)), ("product difference",))


def fit_sentences(result: FitResult) -> tuple[Sentence, ...]:
    """Which models give every recorded word, or that none does."""
    words = sum(case.compared for case in result.cases)
    if not result.models or not words:
        return ()
    obeyed = [(i, model) for i, model in enumerate(result.models) if not model.differing]
    if not obeyed:
        nearest = result.models[0]
        text = f" is the nearest model: {nearest.differing:,} of {nearest.compared:,} words differ. None gives all."
        return (Sentence((Link(nearest.names[0], row_name(0)), text), (row_name(0),), ("explained",), warning=True),)
    parts = [part for i, model in obeyed for part in (Link(" = ".join(model.names), row_name(i)), ", ")][:-1]
    text = " gives every word that was recorded." if len(obeyed) == 1 else " give every word that was recorded."
    return (Sentence((*parts, text), tuple(row_name(i) for i, _ in obeyed), ("explained",)),)
