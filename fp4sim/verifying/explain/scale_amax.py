"""A block maximum taken of the wrong elements, without magnitudes, in a narrower type, or mapped to another maximum."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects.target import target_of
from fp4sim.floats import SCALES
from fp4sim.verifying.explain.hypothesis import Hypothesis
from fp4sim.verifying.explain.scale_math import cast_scale, is_float_scale, quantity, scales_from
from fp4sim.verifying.explain.scale_orders import narrowed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.verifying.explain.evidence import Evidence

_Amax = Callable[["Evidence"], "NDArray[np.float32]"]

_PARTS: tuple[tuple[str, Callable[[int], slice]], ...] = (
    ("the last element of each block is left out of amax", lambda n: slice(0, n - 1)),
    ("the first element of each block is left out of amax", lambda n: slice(1, n)),
    ("amax is taken of the first half of each block alone", lambda n: slice(0, n // 2)),
    ("amax is taken of the second half of each block alone", lambda n: slice(n // 2, n)),
    ("amax is taken of the even elements alone", lambda n: slice(0, n, 2)),
    ("amax is taken of the odd elements alone", lambda n: slice(1, n, 2)),
)
_MAXIMA = (4.0, 8.0, 7.0, 1.0, 3.0, 12.0, 448.0)


def propose(e: Evidence) -> Iterator[Hypothesis]:
    """Other statistics, other maxima, other encodings."""
    if e.spec.scale is None:
        return
    yield Hypothesis("scale.max_without_abs", "the block maximum is taken without magnitudes", _of(_signed_max))
    yield Hypothesis(
        "scale.abs_of_max",
        "the magnitude is taken of the block's maximum, not the maximum of magnitudes",
        _of(lambda e: np.abs(e.x.max(axis=1))),
    )
    for sentence, part in _PARTS if e.x.shape[1] > 1 else ():
        yield Hypothesis("scale.partial_amax", sentence, _of(_part(part)))
    for name in ("bfloat16", "float16"):
        sentence = f"amax was rounded to {name} before the scale was computed"
        yield Hypothesis("scale.amax_rounded", sentence, _of(_narrow(name)))
    if is_float_scale(e):
        for maximum in _MAXIMA:
            if maximum != e.spec.element.max:
                ratio = np.float32(target_of(e.spec).element_max / maximum)
                sentence = f"the block's amax is mapped to {maximum:g}, not to {e.spec.element.max:g}"
                yield Hypothesis("scale.element_max", sentence, _mapped(maximum, ratio))
    yield from _encodings(e)


def _of(amax: _Amax) -> Callable[[Evidence], NDArray[np.unsignedinteger]]:
    return lambda e: scales_from(e, amax(e))


def _signed_max(e: Evidence) -> NDArray[np.float32]:
    return np.asarray(np.maximum(e.x.max(axis=1), 0))


def _part(part: Callable[[int], slice]) -> _Amax:
    return lambda e: np.abs(e.x[:, part(e.x.shape[1])]).max(axis=1)


def _narrow(name: str) -> _Amax:
    return lambda e: narrowed(e.amax, name)


def _mapped(maximum: float, ratio: np.float32) -> Callable[[Evidence], NDArray[np.unsignedinteger]]:
    inverse = np.float32(1 / maximum)
    return lambda e: cast_scale(e, e.amax * (e.encode * inverse)) if ratio else e.want_scales


def _encodings(e: Evidence) -> Iterator[Hypothesis]:
    """The bytes of the same quantity in another encoding; a float scale rounded to a power of two."""
    own = e.spec.scale
    assert own is not None
    if own.bits > 8:
        return
    for fmt in SCALES:
        if fmt.bits > 8 or fmt.name == own.name:
            continue
        sentence = f"scales are written as {fmt.name.upper()} bytes, not as {own.name.upper()}"
        for how in ("rceil", "floor", "even") if not fmt.has_zero else ("rn",):
            yield Hypothesis("scale.encoding", sentence, _encoded(fmt.name, how))
    if own.has_zero:
        for how in ("rceil", "floor", "even"):
            sentence = (
                f"scales are rounded to powers of two (rule '{how}') before they are written as {own.name.upper()}"
            )
            yield Hypothesis("scale.power_of_two", sentence, _powers(how))


def _encoded(name: str, how: str) -> Callable[[Evidence], NDArray[np.unsignedinteger]]:
    from fp4sim.dialects.mx import scale_codes
    from fp4sim.floats import scale_format

    fmt = scale_format(name)

    def predict(e: Evidence) -> NDArray[np.unsignedinteger]:
        if fmt.has_zero:
            return cast_scale(e, quantity(e), fmt=fmt)
        return scale_codes(e.amax * e.encode, e.spec.element, how)

    return predict


def _powers(how: str) -> Callable[[Evidence], NDArray[np.unsignedinteger]]:
    from fp4sim.dialects.mx import scale_codes

    def predict(e: Evidence) -> NDArray[np.unsignedinteger]:
        codes = scale_codes(e.amax * e.encode, e.spec.element, how).astype(np.int32)
        power = np.ldexp(np.float32(1), codes - 127)
        return cast_scale(e, np.where(e.amax == 0, np.float32(0), power))

    return predict
