"""What a matrix unit does with products, scales and accumulator, as frozen data.

A *step* takes ``step`` elements of K. Its products are summed exactly in *groups*; the group sums and C are *aligned*: cut at
a common quantum 2^(anchor - fraction), where the anchor is the largest exponent that takes part; their exact sum is rounded
once to float32 and is the next step's C. Models differ in the numbers and in the corners.

More exactly the quantum is the largest 2^(exponent - bits) of all that anchors, since C may keep other bits than groups do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from fp4sim.errors import UsageError

Cut = Literal["rz", "rne", "rna", "floor"]  # toward zero, nearest even, nearest away, toward minus infinity


@dataclass(frozen=True)
class MmaModel:
    """One model of a matrix unit.

    * ``step``: elements of K a step; ``"block"``: those that share a scale; ``"all"``: all of K in one step.
    * ``group``: products summed exactly before they are aligned; 1 aligns every product by its own exponent.
    * ``order``: whether groups of 16 in a block of 32 are halves, or the even and the odd elements.
    * ``fraction``: bits kept below the anchor; None keeps all. ``c_fraction``: the same for C; ``"same"`` as the groups.
    * ``anchor``: a group's exponent is that of its scales (``"exponent"``) or of its sum's leading bit (``"value"``).
    * ``anchoring``: which groups anchor: those with a nonzero product under nonzero scales (``"products"``), with a nonzero
      sum (``"dots"``), with nonzero scales (``"scales"``), or with a nonzero product under any scales (``"any-scale"``).
    * ``floor``: the least anchor where C is 0; None: none.
    * ``align``, ``result``: how addends are cut to the quantum and the sum to float32.
    * ``c_place``: C is aligned with the groups (``"fused"``), or added to the sum of products once that has been rounded to
      float32 by ``dot`` (``"after"``).
    * ``elements``: with groups of 1, a subnormal element has the format's least exponent (``"native"``) or that of its
      leading bit (``"normalised"``).
    * ``subnormal_scale``, ``subnormal_c``: exponents of subnormals; C may be ``"flushed"`` to 0 as well.
    * ``signed_scale``: bit 7 of UE4M3 is a sign and not ignored.
    * ``flush_result``: subnormal results become 0. ``negative_zero``: a negative result that underflows is -0, not +0.
    """

    name: str
    step: int | Literal["block", "all"] = 64
    group: int = 16
    order: Literal["contiguous", "even-odd"] = "contiguous"
    fraction: int | None = 35
    c_fraction: int | Literal["same"] | None = "same"
    anchor: Literal["exponent", "value"] = "exponent"
    anchoring: Literal["products", "dots", "scales", "any-scale"] = "products"
    floor: int | None = -139
    align: Cut = "rz"
    result: Cut = "rz"
    c_place: Literal["fused", "after"] = "fused"
    dot: Cut = "rz"
    elements: Literal["native", "normalised"] = "native"
    subnormal_scale: Literal["native", "normalised"] = "native"
    subnormal_c: Literal["native", "normalised", "flushed"] = "native"
    signed_scale: bool = False
    flush_result: bool = False
    negative_zero: bool = False

    def __post_init__(self) -> None:
        for name, words in _choices().items():
            if getattr(self, name) not in words:
                raise UsageError(
                    f"model {self.name!r}: {name} is {getattr(self, name)!r}, not one of {', '.join(words)}"
                )
        if not isinstance(self.step, int) and self.step not in ("block", "all"):
            raise UsageError(f"model {self.name!r}: step is {self.step!r}, not a number, block or all")
        if self.group not in (1, 16, 32, 64):
            raise UsageError(f"model {self.name!r}: groups of {self.group}, only 1, 16, 32 and 64 are possible")
        if isinstance(self.step, int) and (self.step < 1 or self.step % self.group):
            raise UsageError(f"model {self.name!r}: steps of {self.step} are not whole groups of {self.group}")
        for bits in (self.fraction, self.window_c):
            if bits is not None and not 1 <= bits <= 64:
                raise UsageError(f"model {self.name!r}: {bits} fraction bits, 1 to 64 are possible")
        if (self.fraction is None) != (self.window_c is None):
            raise UsageError(f"model {self.name!r}: groups and C must both be cut, or neither")

    @property
    def window_c(self) -> int | None:
        """Fraction bits kept of C."""
        return self.fraction if self.c_fraction == "same" else self.c_fraction

    @property
    def flushes(self) -> int:
        """How many numbers of a step may be flushed to 0: C, the result, and the sum of products where C is added after."""
        numbers = (self.subnormal_c == "flushed") + self.flush_result
        return numbers + (numbers > 0 and self.c_place == "after")

    def step_length(self, block: int, k: int) -> int:
        """Elements of a step, for operands of K elements that share scales in blocks."""
        if self.step == "all":
            return max(k, self.group)
        return block if self.step == "block" else self.step


@cache
def _choices() -> dict[str, tuple[Any, ...]]:
    """The fields that are one of some words."""
    hints = get_type_hints(MmaModel)
    return {name: get_args(hint) for name, hint in hints.items() if get_origin(hint) is Literal}
