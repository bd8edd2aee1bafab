"""Blocks that the kernel did not write: all zero or all poison, everywhere, at the end, or here and there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.report.verify_model import Finding
from fp4sim.verifying.explain.judge import MOST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.verifying.explain.scene import Scene


def unwritten(scene: Scene) -> Finding | None:
    """The finding that nearly all mismatches lie in blocks that were not written, or None."""
    e = scene.evidence
    if e.codes is None:
        return _zero_values(scene)
    wrong = scene.bad_codes.sum(axis=1)
    mismatches = int(wrong.sum()) + int(np.count_nonzero(scene.bad_scales))
    if not wrong.any():
        return _zero_scales(scene)
    if not e.codes.any():
        sentence = "every code is zero: the kernel wrote nothing"
        return Finding("output.all_zero", "codes", sentence, mismatches, mismatches)
    dead = _constant(e.codes) & (wrong > 0) & (wrong >= 0.4 * e.codes.shape[1])
    if e.scales is not None and dead.any():
        odd = dead & (scene.bad_scales | (e.codes == 0).all(axis=1))
        dead &= odd
    if not dead.any():
        return None
    inside = int(wrong[dead].sum()) + int(np.count_nonzero(scene.bad_scales & dead))
    if inside < MOST * mismatches:
        return None
    what = _what(e.codes[dead])
    place, cause = _place(dead.reshape(-1, e.across), scene)
    sentence = f"{np.count_nonzero(dead):,} blocks hold {what} alone, {place}: they were not written"
    return Finding(cause, "codes", sentence, inside, mismatches)


def lanes(scene: Scene) -> Finding | None:
    """The finding that the same elements of every block, such as all odd ones, were not written."""
    e = scene.evidence
    if e.codes is None:
        return None
    wrong = scene.unfollowed.sum(axis=0)
    total = int(wrong.sum())
    zero = ~e.codes.any(axis=0) & (wrong > 0)
    if not zero.any() or zero.all() or wrong[zero].sum() < MOST * total or e.x.shape[0] < 4:
        return None
    index = np.flatnonzero(zero)
    odd, even = np.arange(1, zero.size, 2), np.arange(0, zero.size, 2)
    if np.array_equal(index, odd):
        which = "the odd elements (high nibbles)"
    elif np.array_equal(index, even):
        which = "the even elements (low nibbles)"
    else:
        which = f"elements {index[0]} to {index[-1]}" if index[-1] - index[0] == index.size - 1 else "some elements"
    sentence = f"{which} of each block are always zero: they were not written"
    return Finding("output.lanes", "codes", sentence, int(wrong[zero].sum()), total)


def _zero_values(scene: Scene) -> Finding | None:
    if scene.values is None or scene.scales is not None:
        return _zero_scales(scene)
    if scene.values.any() or not scene.expected.codes.any():
        return None
    count = int(np.count_nonzero(scene.expected.x))
    return Finding("output.all_zero", "dequantized", "every value is zero: the kernel wrote nothing", count, count)


def _zero_scales(scene: Scene) -> Finding | None:
    count = int(np.count_nonzero(scene.bad_scales))
    if scene.scales is None or scene.scales.any() or not count:
        return None
    return Finding("output.zero_scales", "scales", "every scale is zero: the scales were not written", count, count)


def _constant(codes: NDArray[np.unsignedinteger]) -> NDArray[np.bool_]:
    """Blocks that repeat one byte; in blocks of fewer than two bytes there is nothing to repeat."""
    if codes.shape[1] < 4:
        return np.zeros(codes.shape[0], np.bool_)
    even, odd = codes[:, 0::2], codes[:, 1::2]
    return np.asarray((even == even[:, :1]).all(axis=1) & (odd == odd[:, :1]).all(axis=1))


def _what(codes: NDArray[np.unsignedinteger]) -> str:
    if not codes.any():
        return "zeros"
    bytes_found = np.unique(codes[:, 0] | codes[:, 1] << np.uint8(4))
    return f"the byte 0x{int(bytes_found[0]):02X}" if bytes_found.size == 1 else "one repeated byte"


def _place(dead: NDArray[np.bool_], scene: Scene) -> tuple[str, str]:
    """Where they lie, and the name of the cause."""
    flat = dead.reshape(-1)
    first = int(flat.argmax())
    if flat[first:].all():
        return ("all of them" if first == 0 else "the last of the tensor"), "output.tail"
    codes_wrong = np.asarray(scene.bad_codes.any(axis=1))
    wrong = (codes_wrong | scene.bad_scales).reshape(dead.shape)
    count = int(np.count_nonzero(dead.any(axis=0)))
    tail = wrong[:, dead.shape[1] - count :]
    at_end = count < dead.shape[1] and not dead[:, : dead.shape[1] - count].any()
    nearly_all = np.count_nonzero(dead) >= MOST * np.count_nonzero(tail) > 0.5 * tail.size
    if at_end and nearly_all:
        return ("the last of each row" if count == 1 else f"the last {count} of each row"), "output.tail"
    return "here and there", "output.blocks"
