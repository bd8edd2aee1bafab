"""Special cases of the element cast: the sign of zero, NaN, zero blocks, the largest magnitude, the code table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.verifying.explain.hypothesis import Hypothesis

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.verifying.explain.evidence import Evidence

_SEEN = 4  # times that a wrong entry of a table was read: a single code may be wrong for any reason
_Change = Callable[["NDArray[np.int64]"], "NDArray[np.int64]"]


def propose(e: Evidence) -> Iterator[Hypothesis]:
    """Policies on the codes that follow from the kernel's scales."""
    sign = e.spec.element.sign_mask
    low = e.spec.element.max_code
    yield from _zeros(sign)
    yield from _special(e)
    top = e.spec.element.value(low)
    second = e.spec.element.value(low - 1)
    changes: tuple[tuple[str, str, _Change], ...] = (
        (
            "code.saturates_early",
            f"magnitudes saturate at {second:g}: the code of {top:g} is never written",
            lambda c: np.where((c & (sign - 1)) == low, c - 1, c),
        ),
        ("code.sign_lost", "the sign is lost: every code is that of the magnitude", lambda c: c & (sign - 1)),
        ("code.sign_inverted", "the sign bit is inverted", lambda c: c ^ sign),
        (
            "code.twos_complement",
            "negative codes are in two's complement, not sign and magnitude",
            lambda c: np.where(c & sign, (2 * sign - (c & (sign - 1))) & (2 * sign - 1), c),
        ),
        (
            "code.sign_low",
            "the sign is in the lowest bit of the code, not the highest",
            lambda c: ((c << 1) & (2 * sign - 1)) | (c >= sign),
        ),
    )
    for cause, sentence, change in changes:
        yield Hypothesis(cause, sentence, _changed(change))


def _changed(change: _Change) -> Callable[[Evidence], NDArray[np.unsignedinteger]]:
    return lambda e: change(e.follow.astype(np.int64)).astype(e.follow.dtype)


def _zeros(sign: int) -> Iterator[Hypothesis]:
    yield Hypothesis(
        "code.negative_zero_dropped",
        "negative values that round to zero get the code of +0: the sign of zero is dropped",
        _changed(lambda c: np.where(c == sign, 0, c)),
    )
    yield Hypothesis(
        "code.negative_zero_dropped",
        "an input of -0 gets the code of +0; small negative values keep their sign",
        lambda e: np.where((e.follow == sign) & (e.x == 0), 0, e.follow).astype(e.follow.dtype),
    )
    yield Hypothesis(
        "code.negative_zero_added",
        f"zeros get the code 0x{sign:X} of -0, whatever their sign",
        _changed(lambda c: np.where(c == 0, sign, c)),
    )
    yield Hypothesis(
        "code.negative_zero_added",
        f"an input of +0 gets the code 0x{sign:X} of -0",
        lambda e: np.where((e.follow == 0) & (e.x == 0), sign, e.follow).astype(e.follow.dtype),
    )


def _special(e: Evidence) -> Iterator[Hypothesis]:
    """What the kernel writes, always the same, where the input or the block is special."""
    if e.codes is None:
        return
    regions: tuple[tuple[str, str, Callable[[Evidence], NDArray[np.bool_]]], ...] = (
        ("code.nan", "NaN inputs", lambda e: np.isnan(e.x)),
        ("code.inf", "infinite inputs", lambda e: np.isinf(e.x)),
        (
            "code.nan_block",
            "elements of blocks with NaN or Inf",
            lambda e: _wide(~np.isfinite(e.amax), e),
        ),
        ("code.zero_block", "elements of all-zero blocks", lambda e: _wide(e.amax == 0, e)),
        ("code.zero_scale", "elements of blocks whose scale is zero", _under_zero_scale),
    )
    for cause, what, where in regions:
        found = np.unique(e.codes[where(e)])
        if found.size == 1 and (e.codes != e.follow)[where(e)].any():
            sentence = f"{what} get the code 0x{int(found[0]):X}"
            yield Hypothesis(cause, sentence, _constant(where, int(found[0])))


def _wide(blocks: NDArray[np.bool_], e: Evidence) -> NDArray[np.bool_]:
    """One answer a block as one an element."""
    return np.broadcast_to(blocks[:, None], e.x.shape)


def _under_zero_scale(e: Evidence) -> NDArray[np.bool_]:
    if e.spec.scale is None or not e.spec.scale.has_zero:
        return np.zeros(e.x.shape, np.bool_)
    return _wide(e.scale_values == 0, e)


def _constant(
    where: Callable[[Evidence], NDArray[np.bool_]], code: int
) -> Callable[[Evidence], NDArray[np.unsignedinteger]]:
    return lambda e: np.where(where(e), e.follow.dtype.type(code), e.follow)


def propose_table(e: Evidence) -> Iterator[Hypothesis]:
    """A fixed wrong code for each right one: the table that values are looked up in is wrong."""
    if e.codes is None or e.spec.element.bits > 4:
        return
    size = 1 << e.spec.element.bits
    pairs = np.bincount((e.follow.astype(np.int64) * size + e.codes).ravel(), minlength=size * size).reshape(size, size)
    table, total = pairs.argmax(axis=1), pairs.sum(axis=1)
    seen = total > 0
    table = np.where(seen, table, np.arange(size)).astype(np.uint8)
    if (pairs[np.arange(size), table][seen] < 0.95 * total[seen]).any():
        return
    wrong = [k for k in range(size) if table[k] != k]
    changed = [f"0x{k:X} as 0x{int(table[k]):X}" for k in wrong]
    if changed and total[wrong].min() >= _SEEN and np.unique(table[seen]).size > 1:
        text = ", ".join(changed[:4]) + (", …" if len(changed) > 4 else "")
        yield Hypothesis("code.table", f"the code table is wrong: it writes {text}", lambda e: table[e.follow])
