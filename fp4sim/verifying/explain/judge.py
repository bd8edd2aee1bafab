"""Tries hypotheses on a sample of blocks, confirms the best on all, and reports what explains all or nearly all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.verifying.explain.hypothesis import Hypothesis, Part, Propose, alike, differs, remaining

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.verifying.explain.evidence import Evidence

MOST = 0.95  # of the mismatches: what a single cause must reproduce exactly
_SAMPLE = 2048  # blocks that differ, and as many that do not
_CONFIRMED = 6


@dataclass(frozen=True)
class Verdict:
    """A hypothesis confirmed on every block: how many of the ``mismatches`` it leaves, and who leaves the same bits."""

    hypothesis: Hypothesis
    left: int
    mismatches: int
    also: tuple[str, ...] = ()

    @property
    def explained(self) -> int:
        """Mismatches that it reproduces, less what it breaks."""
        return self.mismatches - self.left


def best(
    part: Part, evidence: Evidence, bad: NDArray[np.bool_], mismatches: int, sources: Sequence[Propose], threads: int
) -> Verdict | None:
    """The hypothesis that explains at least ``MOST``, or None. ``bad``: the blocks that differ, (blocks,)."""
    sample = evidence.take(sample_of(bad))
    tried = list(_tried(part, sample, sources))
    tried.sort(key=lambda one: (one[1].loose, one[0]))  # stable: the order of the sources decides between equals
    verdicts: list[Verdict] = []
    for _, hypothesis in tried[:_CONFIRMED]:
        left = remaining(part, hypothesis, evidence, threads)
        verdicts.append(Verdict(hypothesis, left, mismatches))
    good = [verdict for verdict in verdicts if verdict.left <= (1 - MOST) * mismatches]
    if not good:
        return None
    winner = min(good, key=lambda verdict: (verdict.hypothesis.loose and verdict.left > 0, verdict.left))
    also = tuple(
        other.hypothesis.cause
        for other in good
        if other.left == winner.left
        and other.hypothesis.cause != winner.hypothesis.cause
        and not other.hypothesis.loose
        and (not winner.left or alike(part, other.hypothesis, winner.hypothesis, evidence, threads))
    )
    return Verdict(winner.hypothesis, winner.left, mismatches, tuple(dict.fromkeys(also)))


def _tried(part: Part, sample: Evidence, sources: Iterable[Propose]) -> Iterable[tuple[float, Hypothesis]]:
    """Hypotheses that come near enough on the sample, with the share of its mismatches that they leave."""
    before = _before(part, sample)
    if not before:
        return
    for source in sources:
        for hypothesis in source(sample):
            with np.errstate(all="ignore"):
                left = int(np.count_nonzero(differs(part, hypothesis, sample)))
            if left <= (1 - MOST) * 1.5 * before:
                yield left / before, hypothesis


def _before(part: Part, sample: Evidence) -> int:
    """Mismatches of the sample as it is: against fp4sim's scales, or what follows from the kernel's own."""
    expected = Hypothesis("", "", lambda e: e.want_scales if part == "scales" else e.follow)
    return int(np.count_nonzero(differs(part, expected, sample)))


def sample_of(bad: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Blocks to try hypotheses on, spread evenly: those that differ and others."""
    parts = (np.flatnonzero(bad), np.flatnonzero(~bad))
    some = [part[:: max(1, -(-part.size // _SAMPLE))] for part in parts]
    return np.sort(np.concatenate(some))
