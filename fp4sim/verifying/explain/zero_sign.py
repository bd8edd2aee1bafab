"""Decoded zeros of the other sign: which zeros a kernel writes as +0 or as -0."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.report.verify_model import Finding
from fp4sim.verifying.explain.hypothesis import unequal
from fp4sim.verifying.explain.judge import MOST
from fp4sim.verifying.explain.sentence import sentence_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.verifying.explain.evidence import Evidence
    from fp4sim.verifying.explain.scene import Scene

Mask = "NDArray[np.bool_]"
_Rule = Callable[
    ["NDArray[np.bool_]", "Evidence"], "NDArray[np.bool_]"
]  # from the right signs, which zeros are negative
_RULES: tuple[tuple[str, _Rule], ...] = (
    ("every -0 is written as +0: the sign of zero is dropped", lambda sign, e: np.zeros_like(sign)),
    ("an input of -0 gives +0; small negative values keep their sign", lambda sign, e: sign & (e.x != 0)),
    ("an input of -0 keeps its sign; small negative values give +0", lambda sign, e: sign & (e.x == 0)),
    ("zeros under a block scale of 0 are +0", lambda sign, e: sign & (e.scale_values != 0)[:, None]),
    ("every zero is written as -0", lambda sign, e: np.ones_like(sign)),
    ("an input of +0 gives -0", lambda sign, e: sign | (e.x == 0)),
    ("the sign of zero is inverted", lambda sign, e: ~sign),
)


def explain(scene: Scene) -> Finding | None:
    """Why zeros that were decoded have the other sign, where values are equal but for that."""
    e = scene.evidence
    if not scene.signed or e.values is None or not scene.expected.decodes:
        return None
    found, want = np.signbit(e.values), _right(e)
    zero = (e.values == 0) & (want == 0)
    sign = np.signbit(want)
    count = int(np.count_nonzero((found != sign) & zero))
    if not count:
        return None
    left, sentence = min(
        (
            (_left(rule, sign, found, zero, e), text)
            for text, rule in _RULES
            if e.spec.scale is not None or "scale" not in text
        ),
        key=lambda one: one[0],
    )
    if left > (1 - MOST) * count:
        return Finding(
            "unknown", "dequantized", f"{count:,} zeros have the other sign: no hypothesis says which", 0, count
        )
    text = sentence_of("zero", count - left, count, sentence).replace("mismatching", "wrongly signed")
    return Finding("values.zero_sign", "dequantized", text, count - left, count)


def alone(scene: Scene) -> bool:
    """Whether values differ in the signs of zeros and in nothing else."""
    e = scene.evidence
    return e.values is not None and not unequal(_right(e), e.values).any()


def _left(rule: _Rule, sign: Any, found: Any, zero: Any, e: Evidence) -> int:
    return int(np.count_nonzero((rule(sign, e) != found) & zero))


def _right(e: Evidence) -> NDArray[Any]:
    """What the kernel's codes and scales stand for, fp4sim's own where they were not dumped."""
    codes = e.follow if e.codes is None else e.codes
    return e.decoded(codes, e.want_scales if e.scales is None else e.scales)
