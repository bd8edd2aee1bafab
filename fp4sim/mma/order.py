"""In which order the steps of K are added: one chain, or partial sums of slices that are added afterwards.

``chain``: every step after the other. ``split-k:4``: four slices of equally many steps, the last one shorter, as CUTLASS
cuts them. ``stream-k:3:10``: slices that end before steps 3 and 10 and at the end, as a tile whose work is shared out among
persistent blocks. Every slice is a chain from +0 of its own; the partial sums are added one after the other in float32, rounded
to nearest even as FADD does, from the first on, or from the last on with ``:backward``. C is where the first slice's chain
starts; with ``:c-last`` it is added to the sum, after all partial sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.fpmode import ieee_mode
from fp4sim.kernels.reference import mma as reference
from fp4sim.mma.model import MmaModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Order:
    """How K is cut and how partial sums are added.

    ``parts``: as many slices of equal length; or ``cuts``: the steps at which slices after the first begin. ``backward``:
    partial sums are added from the last on. ``c_last``: C is added after them, and does not start the first slice's chain.
    """

    parts: int = 1
    cuts: tuple[int, ...] = ()
    backward: bool = False
    c_last: bool = False

    def __post_init__(self) -> None:
        if self.parts < 1 or (self.parts > 1 and self.cuts):
            raise UsageError(f"an order of {self.parts} parts and cuts {self.cuts}: at least one part, or cuts")
        if any(cut < 1 for cut in self.cuts) or list(self.cuts) != sorted(set(self.cuts)):
            raise UsageError(f"an order with cuts at steps {self.cuts}: they must grow from 1 on")

    def slices(self, steps: int) -> list[slice]:
        """Slices of ``steps`` steps, first to last; none is empty."""
        length = max(1, -(-steps // self.parts))
        starts = [0, *self.cuts] if self.cuts else list(range(0, max(steps, 1), length))
        inside = [start for start in starts if start < steps] or [0]
        return [slice(start, stop) for start, stop in zip(inside, [*inside[1:], steps], strict=True)]

    def __str__(self) -> str:
        kind = f"stream-k:{':'.join(map(str, self.cuts))}" if self.cuts else f"split-k:{self.parts}"
        flags = (":backward" if self.backward else "") + (":c-last" if self.c_last else "")
        return "chain" if self == CHAIN else kind + flags


CHAIN = Order()
_PLAIN = MmaModel("plain")


def order_named(order: str | Order) -> Order:
    """The order of a spelling; an order is returned as it is. Raises UsageError."""
    if isinstance(order, Order):
        return order
    name, *words = order.lower().split(":") if isinstance(order, str) else ("",)
    flags = {word for word in words if word in ("backward", "c-last")}
    numbers = [int(word) for word in words if word.isascii() and word.isdigit()]
    if len(flags) + len(numbers) == len(words):
        backward, c_last = "backward" in flags, "c-last" in flags
        if name == "chain" and not words:
            return CHAIN
        if name == "split-k" and len(numbers) == 1:
            return Order(numbers[0], (), backward, c_last)
        if name == "stream-k" and numbers:
            return Order(1, tuple(numbers), backward, c_last)
    raise UsageError(f"order {order!r}: chain, split-k:N or stream-k:STEP:STEP…, and :backward and :c-last")


def add_up(partial: Sequence[NDArray[np.uint32]], order: Order, *, by_definition: bool) -> NDArray[np.uint32]:
    """Float32 bits of the sum of partial sums, in the order's direction; NaN has the bits 0x7fffffff."""
    first, *others = reversed(partial) if order.backward else partial
    for other in others:
        first = reference.add(first, other, _PLAIN) if by_definition else _add(first, other)
    return first


def _add(x: NDArray[np.uint32], y: NDArray[np.uint32]) -> NDArray[np.uint32]:
    with ieee_mode(), np.errstate(over="ignore", invalid="ignore"):
        total = x.view(np.float32) + y.view(np.float32)
    return np.where(np.isnan(total), np.uint32(reference.NAN), total.view(np.uint32))
