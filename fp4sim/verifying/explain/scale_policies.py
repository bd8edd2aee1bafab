"""Special cases of the block scale: zero blocks, underflow, floors and ceilings, NaN, a sign."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.verifying.explain.hypothesis import Hypothesis
from fp4sim.verifying.explain.scale_math import value_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.verifying.explain.evidence import Evidence


def propose(e: Evidence) -> Iterator[Hypothesis]:
    """Policies that the sample suggests."""
    if e.scales is None or e.spec.scale is None:
        return
    yield from _zero_blocks(e, e.scales)
    yield from _bounds(e, e.scales)
    yield from _flushed(e)
    yield Hypothesis(
        "scale.signed", "the scale carries the sign of the block's largest element; scales are unsigned", _signed
    )


def _zero_blocks(e: Evidence, scales: NDArray[np.unsignedinteger]) -> Iterator[Hypothesis]:
    fmt = e.spec.scale
    assert fmt is not None
    zero = e.amax == 0
    found = np.unique(scales[zero])
    if found.size == 1:
        code = int(found[0])

        def predict(e: Evidence) -> NDArray[np.unsignedinteger]:
            return np.where(e.amax == 0, e.want_scales.dtype.type(code), e.want_scales)

        yield Hypothesis(
            "scale.zero_block",
            f"all-zero blocks get the scale {value_text(fmt, code)}, not"
            f" {value_text(fmt, int(e.want_scales[zero][0]))}",
            predict,
        )
    lost = (e.want_scales == 0) & (e.amax > 0)
    found = np.unique(scales[lost])
    if found.size == 1 and fmt.has_zero:
        least = int(found[0])

        def raised(e: Evidence) -> NDArray[np.unsignedinteger]:
            lost = (e.want_scales == 0) & (e.amax > 0)
            return np.where(lost, e.want_scales.dtype.type(least), e.want_scales)

        cause = "scale.floor" if least == 1 else "scale.underflow"  # the smallest scale of all is a floor
        yield Hypothesis(cause, f"scales that underflow to zero are replaced by {value_text(fmt, least)}", raised)


def _bounds(e: Evidence, scales: NDArray[np.unsignedinteger]) -> Iterator[Hypothesis]:
    fmt = e.spec.scale
    assert fmt is not None
    low, high = int(scales.min()), int(scales.max())

    def floored(e: Evidence) -> NDArray[np.unsignedinteger]:
        return np.asarray(np.maximum(e.want_scales, e.want_scales.dtype.type(low)))

    def floored_nonzero(e: Evidence) -> NDArray[np.unsignedinteger]:
        return np.where(e.amax == 0, e.want_scales, floored(e))

    def capped(e: Evidence) -> NDArray[np.unsignedinteger]:
        return np.asarray(np.minimum(e.want_scales, e.want_scales.dtype.type(high)))

    if 0 < low <= fmt.max_code:
        yield Hypothesis("scale.floor", f"scales are clamped from below at {value_text(fmt, low)}", floored)
    nonzero = scales[e.amax > 0]
    if nonzero.size and 0 < nonzero.min() <= fmt.max_code and low == 0:
        low = int(nonzero.min())
        sentence = f"scales of blocks that are not all zero are clamped from below at {value_text(fmt, low)}"
        yield Hypothesis("scale.floor", sentence, floored_nonzero)
    if high < fmt.max_code:
        yield Hypothesis("scale.ceiling", f"scales are clamped from above at {value_text(fmt, high)}", capped)
    if fmt.nan_code is not None:
        nan = fmt.nan_code

        def overflowing(e: Evidence) -> NDArray[np.unsignedinteger]:
            return np.where(e.want_scales == fmt.max_code, e.want_scales.dtype.type(nan), e.want_scales)

        sentence = f"scales at the largest value become {value_text(fmt, nan)}: the cast does not saturate"
        yield Hypothesis("scale.overflow_nan", sentence, overflowing)


def _flushed(e: Evidence) -> Iterator[Hypothesis]:
    fmt = e.spec.scale
    assert fmt is not None
    if not fmt.has_zero:
        return

    def flushed(e: Evidence) -> NDArray[np.unsignedinteger]:
        return np.where(e.want_scales < 1 << fmt.mantissa_bits, e.want_scales.dtype.type(0), e.want_scales)

    yield Hypothesis("scale.flushed", "subnormal scales are flushed to zero", flushed)


def _signed(e: Evidence) -> NDArray[np.unsignedinteger]:
    largest = np.take_along_axis(e.x, np.abs(e.x).argmax(axis=1)[:, None], axis=1)[:, 0]
    if e.want_scales.dtype != np.uint8:
        return e.want_scales
    return np.where(np.signbit(largest), e.want_scales | np.uint8(0x80), e.want_scales)
