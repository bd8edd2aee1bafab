"""A finding in one sentence: how many of what, which way they are off, what follows, and the cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fp4sim.verifying.explain.evidence import Evidence

_NOUNS = {"scales": "scale", "codes": "code", "dequantized": "value", "tensor_scale": "tensor scale"}


def sentence_of(
    part: str, explained: int, count: int, cause: str, evidence: Evidence | None = None, beside: str = ""
) -> str:
    """For example: all 12 mismatching scales are one step low and every code follows: the scale was truncated."""
    noun = _NOUNS.get(part, part)
    plural = noun + "s" * (count != 1)
    if not explained:
        return f"{count:,} mismatching {plural}: {cause}" + (f"; {beside}" if beside else "")
    if explained == count:
        head = f"all {count:,} mismatching {plural}" if count > 1 else f"the one mismatching {noun}"
    else:
        head = f"{explained:,} of {count:,} mismatching {plural}"
    steps = _steps(evidence)
    if steps:
        head += f" {'is' if count == 1 else 'are'} {steps}"
        return f"{head} and {beside}: {cause}" if beside else f"{head}: {cause}"
    return f"{head}: {cause}" + (f"; {beside}" if beside else "")


def _steps(evidence: Evidence | None) -> str:
    """Which way all scales are off, where it is the same for all."""
    if evidence is None or evidence.scales is None:
        return ""
    wrong = evidence.scales != evidence.want_scales
    delta = np.unique(evidence.scales[wrong].astype(np.int64) - evidence.want_scales[wrong].astype(np.int64))
    if delta.size != 1 or not -9 < delta[0] < 9:
        return ""
    steps = "one step" if abs(delta[0]) == 1 else f"{abs(int(delta[0]))} steps"
    return f"{steps} {'high' if delta[0] > 0 else 'low'}"
