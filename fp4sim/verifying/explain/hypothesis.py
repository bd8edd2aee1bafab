"""A hypothesis about a kernel, and how far it is right: a prediction of the scales or of the codes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fp4sim.parallel import run_all
from fp4sim.verifying import arithmetic
from fp4sim.verifying.explain.evidence import Evidence

if TYPE_CHECKING:
    from numpy.typing import NDArray

Part = Literal["scales", "codes"]
Predict = Callable[[Evidence], "NDArray[np.unsignedinteger]"]
_PIECE = 1 << 15


@dataclass(frozen=True)
class Hypothesis:
    """One assumption about a kernel.

    ``cause``: a stable name. ``sentence``: what it did, as the end of "… are explained: ". ``predict``: the scale codes
    (blocks,) or the codes (blocks, elements) that such a kernel writes. ``loose``: it fits itself to the kernel's own
    output and so comes last. ``implied``: what the tensor scale's encode factor was multiplied by, under which codes too
    should be looked at.
    """

    cause: str
    sentence: str
    predict: Predict
    loose: bool = False
    implied: float | None = None


Propose = Callable[[Evidence], Iterable[Hypothesis]]


def predicted_codes(evidence: Evidence, scales: NDArray[np.unsignedinteger]) -> NDArray[np.unsignedinteger]:
    """The codes that follow from other scales."""
    factor = arithmetic.factor_for(evidence.spec, scales, evidence.amax, evidence.factors)
    return arithmetic.encode(evidence.start, factor, arithmetic.cast_of(evidence.spec))


def differs(part: Part, hypothesis: Hypothesis, evidence: Evidence) -> NDArray[np.bool_]:
    """Where what the kernel wrote differs from the prediction: by block for dumped scales, else by element."""
    found = hypothesis.predict(evidence)
    if part == "scales" and evidence.scales is not None:
        return np.asarray(found != evidence.scales)
    scales = found if part == "scales" else evidence.want_scales if evidence.scales is None else evidence.scales
    codes = predicted_codes(evidence, scales) if part == "scales" else found
    if evidence.codes is not None:
        return np.asarray(codes != evidence.codes)
    assert evidence.values is not None
    return unequal(evidence.decoded(codes, scales), evidence.values, signed=evidence.signed)


def alike(part: Part, one: Hypothesis, other: Hypothesis, evidence: Evidence, threads: int) -> bool:
    """Whether two hypotheses predict the same of every block."""

    def piece(start: int) -> bool:
        seen = evidence.take(slice(start, start + _PIECE))
        with np.errstate(all="ignore"):
            return np.array_equal(one.predict(seen), other.predict(seen))

    return all(run_all(piece, range(0, evidence.amax.size, _PIECE), threads))


def remaining(part: Part, hypothesis: Hypothesis, evidence: Evidence, threads: int) -> int:
    """How many items still differ under a hypothesis, over all blocks of the evidence."""

    def piece(start: int) -> int:
        with np.errstate(all="ignore"):
            return int(np.count_nonzero(differs(part, hypothesis, evidence.take(slice(start, start + _PIECE)))))

    return sum(run_all(piece, range(0, evidence.amax.size, _PIECE), threads))


def unequal(a: NDArray[Any], b: NDArray[Any], *, signed: bool = False) -> NDArray[np.bool_]:
    """Where values differ; NaN equals NaN, and the sign of zero counts only if ``signed``."""
    with np.errstate(invalid="ignore"):
        wrong = np.asarray((a != b) & ~((a != a) & (b != b)))
        if signed:
            wrong |= (a == 0) & (b == 0) & (np.signbit(a) != np.signbit(b))
    return wrong
