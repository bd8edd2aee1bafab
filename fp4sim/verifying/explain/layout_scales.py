"""Block scales in the wrong place: swizzled or not, transposed, shifted, in another byte order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.layouts import Layout, offsets, padded_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Rearrangement:
    """What undoes a wrong layout: the kernel's matrix to the one it meant."""

    cause: str
    sentence: str
    undo: Callable[[NDArray[Any]], NDArray[Any]]


def rearrangements(rows: int, cols: int, read_as: Layout) -> Iterator[Rearrangement]:
    """What may have happened to a (rows, cols) scale matrix that was read in the layout ``read_as``."""
    yield from _swizzles(rows, cols, read_as)
    yield Rearrangement("layout.scales_transposed", "the scales are transposed", lambda s: s.reshape(cols, rows).T)
    yield from _shifts()
    if rows * cols % 4 == 0:
        yield Rearrangement(
            "layout.scales_byte_order",
            "the four scales of each 32-bit word are in reverse order",
            lambda s: s.reshape(-1, 4)[:, ::-1].reshape(rows, cols),
        )
    for group in (2, 4, 8):
        if rows % group == 0:
            yield Rearrangement(
                "layout.scales_interleaved",
                f"the scale rows are interleaved in {group} groups",
                _deinterleaved(group),
            )


def _swizzles(rows: int, cols: int, read_as: Layout) -> Iterator[Rearrangement]:
    names: tuple[Layout, ...] = ("128x4", "8x4")
    size = int(np.prod(padded_shape(rows, cols, read_as)))
    for name in names:
        if name != read_as and int(np.prod(padded_shape(rows, cols, name))) == size == rows * cols:
            sentence = f"the scales are swizzled ({name}), they were read as {read_as}"
            yield Rearrangement("layout.scales_swizzled", sentence, _reread(rows, cols, read_as, name))
    if read_as != "linear" and size == rows * cols:
        sentence = f"the scales are linear, not swizzled: they were read as {read_as}"
        yield Rearrangement("layout.scales_linear", sentence, _reread(rows, cols, read_as, "linear"))
    for name in names:
        if int(np.prod(padded_shape(rows, cols, name))) == rows * cols:
            sentence = f"the scales were swizzled ({name}) once too often"
            once = _reread(rows, cols, "linear", name)
            yield Rearrangement("layout.scales_swizzled_twice", sentence, _twice(once))
            sentence = f"the scales were unswizzled ({name}) once too often"
            yield Rearrangement("layout.scales_unswizzled", sentence, _swizzled(rows, cols, name))


def _reread(rows: int, cols: int, read_as: Layout, name: Layout) -> Callable[[NDArray[Any]], NDArray[Any]]:
    def undo(scales: NDArray[Any]) -> NDArray[Any]:
        buffer = np.empty(rows * cols, scales.dtype)
        buffer[offsets(rows, cols, read_as)] = scales
        return buffer[offsets(rows, cols, name)]

    return undo


def _twice(once: Callable[[NDArray[Any]], NDArray[Any]]) -> Callable[[NDArray[Any]], NDArray[Any]]:
    return lambda scales: once(once(scales))


def _swizzled(rows: int, cols: int, name: Layout) -> Callable[[NDArray[Any]], NDArray[Any]]:
    def undo(scales: NDArray[Any]) -> NDArray[Any]:
        buffer = np.empty(rows * cols, scales.dtype)
        buffer[offsets(rows, cols, name)] = scales
        return buffer.reshape(rows, cols)

    return undo


def _shifts() -> Iterator[Rearrangement]:
    for step, which in ((1, "next"), (-1, "previous")):
        sentence = f"each block has the scale of the {which} block"
        yield Rearrangement("layout.scales_shifted", sentence, rolled(step))
        yield Rearrangement("layout.scales_shifted", f"{sentence} of its row", rolled(step, 1))
        sentence = f"each row has the scales of the {which} row"
        yield Rearrangement("layout.scales_shifted", sentence, rolled(step, 0))


def rolled(step: int, axis: int | None = None) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Undo a shift: along an axis, or flat."""
    return lambda matrix: np.roll(matrix, step, axis=axis)


def _deinterleaved(group: int) -> Callable[[NDArray[Any]], NDArray[Any]]:
    return lambda s: s.reshape(s.shape[0] // group, group, s.shape[1]).transpose(1, 0, 2).reshape(s.shape)
