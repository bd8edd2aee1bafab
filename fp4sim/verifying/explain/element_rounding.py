"""How a scaled element was rounded: ties, truncation, twice, to integers, or stochastically where it should not be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.rounding import Rounding
from fp4sim.verifying import arithmetic
from fp4sim.verifying.explain.hypothesis import Hypothesis
from fp4sim.verifying.explain.scale_orders import narrowed
from fp4sim.verifying.fractions import neighbours

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.verifying.explain.evidence import Evidence

_MODES = {
    Rounding.RN: ("code.nearest_even", "codes were rounded to nearest, ties to even"),
    Rounding.RNA: ("code.ties_away", "ties were rounded away from zero"),
    Rounding.RNZ: ("code.ties_zero", "ties were rounded toward zero"),
    Rounding.RZ: ("code.truncated", "codes were truncated toward zero"),
    Rounding.RU: ("code.rounded_up", "codes were rounded toward +Inf, ties and all"),
    Rounding.RD: ("code.rounded_down", "codes were rounded toward -Inf, ties and all"),
}
_TIES = {  # where the spec's own rounding takes ties
    Rounding.RN: "to the even code",
    Rounding.RNA: "away from zero",
    Rounding.RNZ: "toward zero",
    Rounding.RNU: "toward +Inf",
}
_DIRECTED = {
    Rounding.RZ: "truncated",
    Rounding.RU: "rounded toward +Inf",
    Rounding.RD: "rounded toward -Inf",
}


def propose(e: Evidence) -> Iterator[Hypothesis]:
    """Every other rounding, on the same scaled values."""
    own = arithmetic.cast_of(e.spec).rounding
    for mode, (cause, sentence) in _MODES.items():
        if mode is not own:
            yield Hypothesis(cause, _unlike(sentence, own), _rounded(mode))
    if own is not Rounding.RNU:
        yield Hypothesis("code.ties_up", _unlike("ties were rounded toward +Inf", own), _ties_up)
    if e.spec.element.name == "e2m1":
        yield Hypothesis("code.int4", "codes are 4-bit integers (sign and magnitude), not E2M1", _integers(False))
        yield Hypothesis("code.int4", "codes are 4-bit integers (two's complement), not E2M1", _integers(True))
        for where, wrapped in (("with its sign", _wrapped(True)), ("without its sign", _wrapped(False))):
            yield Hypothesis("code.wraps", f"magnitudes beyond the maximum wrap around {where}: no saturation", wrapped)


def _unlike(sentence: str, own: Rounding) -> str:
    """A sentence about a rounding beside what the spec's own does."""
    if sentence.startswith("ties"):
        if own in _TIES:
            return f"{sentence}, not {_TIES[own]}"
        return f"codes were rounded to nearest, {sentence.replace('were rounded ', '')}, not {_DIRECTED[own]}"
    return f"{sentence}, not {_DIRECTED.get(own, 'rounded')}" if "truncated" in sentence else sentence


def propose_narrow(e: Evidence) -> Iterator[Hypothesis]:
    """Something rounded to 16 bits; where few codes differ, another order of operations does the same and is likelier."""
    for name in ("bfloat16", "float16"):
        sentence = f"scaled values were rounded to {name} before their cast: rounded twice"
        yield Hypothesis("code.double_rounding", sentence, _twice(name))
        sentence = f"the input was rounded to {name} before it was scaled"
        yield Hypothesis("code.input_rounded", sentence, _input(name))
        sentence = f"the factor on x was rounded to {name}"
        yield Hypothesis("code.factor_rounded", sentence, _factor(name))


def propose_stochastic(e: Evidence) -> Iterator[Hypothesis]:
    """Codes that are one of the two neighbours, as often up as their position says."""
    if e.codes is None:
        return
    low, fraction, above = neighbours(e.scaled, e.spec.element)
    magnitude = e.codes & e.codes.dtype.type((1 << e.spec.element.magnitude_bits) - 1)
    inside = (fraction > 0) & (fraction < 1) & ~above
    tested = np.count_nonzero(inside)
    went_up = inside & (magnitude == low + 1)
    if tested < 64 or np.count_nonzero(inside & (magnitude != low) & (magnitude != low + 1)) > 0.01 * tested:
        return
    expected = float(fraction[inside].sum())
    spread = float(np.sqrt((fraction[inside] * (1 - fraction[inside])).sum()))
    far = inside & (np.abs(fraction - 0.5) > 0.2)
    against = np.count_nonzero(went_up[far] != (fraction[far] > 0.5))
    if abs(np.count_nonzero(went_up) - expected) > 6 * spread or against < 0.08 * np.count_nonzero(far):
        return

    def predict(e: Evidence) -> NDArray[np.unsignedinteger]:
        assert e.codes is not None
        low, fraction, above = neighbours(e.scaled, e.spec.element)
        magnitude = e.codes & e.codes.dtype.type((1 << e.spec.element.magnitude_bits) - 1)
        fits = ((magnitude == low) | ((magnitude == low + 1) & (fraction > 0))) & ~above
        return np.where(fits, e.codes, e.follow)

    sentence = (
        "codes were rounded stochastically: each is a neighbour, up as often as its position between the two says"
    )
    yield Hypothesis("code.stochastic", sentence, predict, loose=True)


def _rounded(mode: Rounding) -> Callable[[Evidence], NDArray[np.unsignedinteger]]:
    return lambda e: arithmetic.encode(e.start, e.factor, replace(arithmetic.cast_of(e.spec), rounding=mode))


def _cast(e: Evidence, scaled: NDArray[np.float32]) -> NDArray[np.unsignedinteger]:
    return arithmetic.cast_codes(scaled, arithmetic.cast_of(e.spec))


def _ties_up(e: Evidence) -> NDArray[np.unsignedinteger]:
    cast = arithmetic.cast_of(e.spec)
    away = arithmetic.cast_codes(e.scaled, replace(cast, rounding=Rounding.RNA))
    zero = arithmetic.cast_codes(e.scaled, replace(cast, rounding=Rounding.RNZ))
    return np.where(np.signbit(e.scaled), zero, away)


def _twice(name: str) -> Callable[[Evidence], NDArray[np.unsignedinteger]]:
    return lambda e: _cast(e, narrowed(e.scaled, name))


def _input(name: str) -> Callable[[Evidence], NDArray[np.unsignedinteger]]:
    return lambda e: arithmetic.encode(narrowed(e.x, name), e.factor, arithmetic.cast_of(e.spec))


def _factor(name: str) -> Callable[[Evidence], NDArray[np.unsignedinteger]]:
    return lambda e: arithmetic.encode(e.start, narrowed(e.factor, name), arithmetic.cast_of(e.spec))


def _integers(twos_complement: bool) -> Callable[[Evidence], NDArray[np.unsignedinteger]]:
    def predict(e: Evidence) -> NDArray[np.unsignedinteger]:
        number = np.clip(np.nan_to_num(np.rint(e.scaled)), -7, 7).astype(np.int8)
        if twos_complement:
            return np.asarray(number & 0xF, np.uint8)
        return np.asarray(np.where(np.signbit(e.scaled), np.abs(number) | 8, number), np.uint8)

    return predict


def _wrapped(keep_sign: bool) -> Callable[[Evidence], NDArray[np.unsignedinteger]]:
    """From 7 on, a magnitude rounds to the code after the last one, whose bits run into the sign."""

    def predict(e: Evidence) -> NDArray[np.unsignedinteger]:
        sign = np.signbit(e.scaled).astype(np.uint8) << 3
        over = np.abs(e.scaled) >= 7
        return np.where(over, sign if keep_sign else sign ^ 8, _cast(e, e.scaled)).astype(np.uint8)

    return predict
