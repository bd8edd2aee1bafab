"""Which model a matrix unit obeys: start from one, change one number or corner at a time, keep what misses fewest outputs.

The result names the best model and what each change of it would miss, so that it can be seen how firmly each property is
held by the outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.mma.model import MmaModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROUNDS = 6


@dataclass(frozen=True)
class Candidate:
    """A model and the mantissa bits that its results keep (23: all of float32's)."""

    model: MmaModel
    kept: int = 23


@dataclass(frozen=True)
class Fit:
    """The best candidate, how many of ``total`` outputs it misses, and what each change of it misses, by its words."""

    best: Candidate
    missed: int
    total: int
    rivals: dict[str, int]

    @property
    def text(self) -> str:
        """The model in words."""
        model = self.best.model
        window = "exact sums" if model.fraction is None else f"cut {model.fraction} bits below the largest exponent"
        place = "C among the addends" if model.c_place == "fused" else f"C added after ({model.dot})"
        kept = "" if self.best.kept == 23 else f", {self.best.kept} mantissa bits kept"
        return f"steps of {model.step}, {window} ({model.align}), {place}, result {model.result}{kept}, floor {model.floor}"

    @property
    def tied(self) -> tuple[str, ...]:
        """Changes that the outputs cannot tell from the best."""
        return tuple(words for words, missed in self.rivals.items() if missed == self.missed)


Predict = Callable[[MmaModel], "NDArray[np.uint32]"]


def fit(words: NDArray[np.uint32], predict: Predict, start: Candidate, steps: tuple[int, ...]) -> Fit:
    """Fit a model to output words; ``predict`` gives a model's words, ``steps``: lengths of a step to try."""
    known: dict[Candidate, int] = {}

    def missed(candidate: Candidate) -> int:
        if candidate not in known:
            mask = np.uint32(0xFFFFFFFF << (23 - candidate.kept) & 0xFFFFFFFF)
            known[candidate] = int(np.count_nonzero((predict(candidate.model) & mask) != words))
        return known[candidate]

    best = start
    for _ in range(_ROUNDS):
        before = best
        for changes in _changes(best, steps).values():
            best = min((best, *changes), key=missed)
        if best == before:
            break
    rivals = {
        _difference(best, other): missed(other) for changes in _changes(best, steps).values() for other in changes
    }
    return Fit(best, missed(best), words.size, rivals)


def _changes(best: Candidate, steps: tuple[int, ...]) -> dict[str, list[Candidate]]:
    """Candidates that differ from the best in one property."""
    model = best.model

    def varied(name: str, values: tuple[Any, ...]) -> list[Candidate]:
        kept = [value for value in values if value != getattr(model, name)]
        return [replace(best, model=replace(model, **{name: value})) for value in kept]

    return {
        "fraction": list(_fractions(best)),
        "step": varied("step", steps),
        "kept": [replace(best, kept=kept) for kept in range(10, 24) if kept != best.kept],
        "align": varied("align", ("rz", "rne", "floor")),
        "result": varied("result", ("rz", "rne", "rna")),
        "c_place": [
            replace(best, model=replace(model, c_place=place, dot=dot))  # type: ignore[arg-type]
            for place, dot in (("fused", "rz"), ("after", "rz"), ("after", "rne"))
            if (place, dot) != (model.c_place, model.dot)
        ],
        "floor": varied("floor", (None, -118, -126, -132, -133, -134, -139)),
        "elements": varied("elements", ("native", "normalised")),
        "subnormal_c": varied("subnormal_c", ("native", "normalised", "flushed")),
        "flush_result": varied("flush_result", (False, True)),
        "negative_zero": varied("negative_zero", (False, True)),
    }


def _fractions(best: Candidate) -> Iterator[Candidate]:
    for bits in (None, *range(11, 41)):
        if bits != best.model.fraction:
            floor = None if bits is None else best.model.floor
            yield replace(best, model=replace(best.model, fraction=bits, floor=floor))


def _difference(best: Candidate, other: Candidate) -> str:
    """What a candidate changes, e.g. ``fraction 24``."""
    if best.kept != other.kept:
        return f"{other.kept} mantissa bits kept"
    old, new = vars(best.model), vars(other.model)
    if old["c_place"] != new["c_place"] or old["dot"] != new["dot"]:
        return f"C {new['c_place']}" + (f" {new['dot']}" if new["c_place"] == "after" else "")
    name = next(name for name in old if old[name] != new[name] and name != "name")
    return f"{name.replace('_', ' ')} {new[name]}"
