"""The rounding or the rule of the block scale: truncated, raised, another E8M0 rule, a step off everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.rounding import Rounding
from fp4sim.spec_names import POW2_RULES
from fp4sim.verifying.explain.hypothesis import Hypothesis, Predict
from fp4sim.verifying.explain.scale_math import cast_scale, is_float_scale, quantity, scales_by_rule

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.verifying.explain.evidence import Evidence

_ROUNDINGS = {
    "rn": ("scale.rounded", "the scale was rounded to nearest"),
    "down": ("scale.truncated", "the scale was truncated"),
    "up": ("scale.rounded_up", "the scale was rounded up"),
}
_OWN = {  # by the spec's rule and the kernel's: what it did not do
    ("rn", "down"): "rounded",
    ("rn", "up"): "to nearest",
    ("down", "rn"): "truncated",
    ("down", "up"): "truncated",
    ("up", "rn"): "up",
    ("up", "down"): "rounded up",
}
_TIES = (
    (Rounding.RNA, "scale.ties_away", "away from zero"),
    (Rounding.RNZ, "scale.ties_zero", "toward zero"),
)


def propose(e: Evidence) -> Iterator[Hypothesis]:
    """Every other rule; a constant step that the sample shows."""
    if e.spec.scale is None:
        return
    own = e.spec.rule or "rn"
    if is_float_scale(e):
        for rule, (cause, sentence) in _ROUNDINGS.items():
            if rule != own:
                yield Hypothesis(cause, f"{sentence}, not {_OWN[own, rule]}", _by_rule(rule))
        for rounding, cause, where in _TIES:
            sentence = f"ties of the scale are rounded {where}, not to even"
            if own != "rn":
                sentence = f"the scale was rounded to nearest, ties {where}, not {_OWN[own, 'rn']}"
            yield Hypothesis(cause, sentence, _by_rounding(rounding))
    else:
        for rule in POW2_RULES:
            if rule != e.spec.rule:
                sentence = f"the scale follows the rule '{rule}', not '{e.spec.rule}'"
                yield Hypothesis(f"scale.rule.{rule}", sentence, _by_rule(rule))
        yield Hypothesis(
            "scale.log2_inexact",
            "the exponent is taken from a float32 log2, which is wrong next to powers of two",
            _float_log2,
        )
    yield from _steps(e)


def _by_rule(rule: str) -> Predict:
    return lambda e: scales_by_rule(e, rule)


def _by_rounding(rounding: Rounding) -> Predict:
    return lambda e: cast_scale(e, quantity(e), rounding)


def _float_log2(e: Evidence) -> NDArray[np.unsignedinteger]:
    """ceil or floor of a float32 logarithm, as compiled from log2 in a kernel (pytorch#179570, ao#4725)."""
    assert e.spec.scale is not None
    amax = np.where(e.amax > 0, e.amax, np.float32(2.0**-126))
    if e.spec.rule == "rceil":
        exponent = np.ceil(np.log2(amax / np.float32(e.spec.element.max)))
    elif e.spec.rule == "log2":
        exponent = np.round(np.log2(amax / np.float32(e.spec.element.max)))
    else:
        rounded = np.ceil(np.log2(amax)) if e.spec.rule == "ceil" else np.floor(np.log2(amax))
        exponent = rounded - e.spec.element.emax
    codes = np.clip(exponent + 127, 0, 254).astype(np.uint8)
    return np.where(e.amax > 0, codes, e.want_scales)


def _steps(e: Evidence) -> Iterator[Hypothesis]:
    """Every scale the same number of steps off."""
    fmt = e.spec.scale
    assert fmt is not None
    if e.scales is None:
        return
    wrong = (e.scales != e.want_scales) & (e.amax > 0)
    if not wrong.any():
        return
    delta = e.scales[wrong].astype(np.int64) - e.want_scales[wrong].astype(np.int64)
    step = int(np.median(delta))
    if not step:
        return

    def shifted(e: Evidence) -> NDArray[np.unsignedinteger]:
        moved = np.clip(e.want_scales.astype(np.int64) + step, 0, fmt.max_code).astype(e.want_scales.dtype)
        return np.where(e.amax == 0, e.want_scales, moved)

    def all_shifted(e: Evidence) -> NDArray[np.unsignedinteger]:
        return np.clip(e.want_scales.astype(np.int64) + step, 0, fmt.max_code).astype(e.want_scales.dtype)

    steps = f"{abs(step)} step{'s' * (abs(step) > 1)} too {'high' if step > 0 else 'low'}"
    sentence = f"every scale is {steps}" + (": the exponent's bias is wrong" if not fmt.has_zero else "")
    yield Hypothesis("scale.offset", sentence, shifted)
    yield Hypothesis("scale.offset", sentence, all_shifted)
