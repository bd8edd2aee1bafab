"""Codes in the wrong place: nibbles swapped or split as other libraries pack them, transposed, shifted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from fp4sim.verifying.explain.layout_scales import Rearrangement, rolled

if TYPE_CHECKING:
    from numpy.typing import NDArray


def rearrangements(rows: int, length: int, width: int) -> Iterator[Rearrangement]:
    """What may have happened to (rows, length) codes in blocks of ``width``."""
    if length % 2 == 0:
        yield Rearrangement(
            "layout.nibbles_swapped",
            "the nibbles of each byte are swapped: the even element is in the high one",
            lambda c: c.reshape(-1, 2)[:, ::-1].reshape(rows, length),
        )
    for size in dict.fromkeys((width, 16, 32)):
        if size and length % size == 0 and size % 2 == 0:
            yield Rearrangement(
                "layout.nibbles_split",
                f"bytes hold elements j and j + {size // 2} of {size}, as llama.cpp packs them, not neighbours",
                _joined(size, rows, length),
            )
    if length % 2 == 0:
        yield Rearrangement(
            "layout.codes_transposed",
            "the codes are transposed (bytes of two neighbours kept together)",
            lambda c: c.reshape(length // 2, rows, 2).transpose(1, 0, 2).reshape(rows, length),
        )
    yield Rearrangement("layout.codes_transposed", "the codes are transposed", lambda c: c.reshape(length, rows).T)
    if length % 8 == 0:
        yield Rearrangement(
            "layout.codes_byte_order",
            "the four bytes of each 32-bit word are in reverse order",
            lambda c: c.reshape(-1, 4, 2)[:, ::-1].reshape(rows, length),
        )
        yield Rearrangement(
            "layout.codes_byte_order",
            "the eight codes of each 32-bit word are in reverse order",
            lambda c: c.reshape(-1, 8)[:, ::-1].reshape(rows, length),
        )
    if width and length % width == 0:
        yield Rearrangement(
            "layout.codes_reversed",
            "the codes of each block are in reverse order",
            lambda c: c.reshape(-1, width)[:, ::-1].reshape(rows, length),
        )
    yield from _shifts(width)


def _shifts(width: int) -> Iterator[Rearrangement]:
    cause = "layout.codes_shifted"
    for step, which in ((1, "next"), (-1, "previous")):
        yield Rearrangement(cause, f"each element has the code of the {which} element", rolled(step))
        if width:
            yield Rearrangement(cause, f"each block has the codes of the {which} block", rolled(step * width))
        yield Rearrangement(cause, f"each row has the codes of the {which} row", rolled(step, 0))


def _joined(size: int, rows: int, length: int) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Elements j and j + size/2 of a byte back to their places."""
    return lambda codes: codes.reshape(-1, size // 2, 2).transpose(0, 2, 1).reshape(rows, length)
