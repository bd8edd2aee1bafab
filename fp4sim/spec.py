"""What a block-scaled format is: a frozen record of element, block, scale, tensor scale, dialect and steps.

``parse`` (in :mod:`fp4sim.grammar`) reads the spec string; ``str(spec)`` writes it back with every field spelled, so that
``parse(str(spec)) == spec`` and specs of equal meaning compare equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fp4sim.floats import FloatFormat, scale_format
from fp4sim.rounding import Rounding
from fp4sim.spec_names import DEFAULT_DIALECT, STEP_ROWS, Value


@dataclass(frozen=True)
class Block:
    """The elements that share a scale: ``rows`` x ``cols`` along the axis, a whole row, the tensor, or none at all."""

    kind: Literal["none", "tile", "row", "tensor"]
    rows: int = 1
    cols: int = 0

    def __str__(self) -> str:
        if self.kind == "tile":
            return f"{self.cols}" if self.rows == 1 else f"{self.rows}x{self.cols}"
        return self.kind


@dataclass(frozen=True)
class TensorScale:
    """The second-level scale: which amax it is taken from, and the largest block scale it is matched to.

    ``mode``: ``none``, ``tensor`` (one), ``row`` (one a row), ``blocks`` (one per ``span`` elements of a row) or
    ``given`` by the caller. ``bound``: the block scale that amax maps to; None means the encoding's maximum.
    """

    mode: Literal["none", "tensor", "row", "blocks", "given"] = "none"
    span: int = 0
    bound: float | None = None

    def __str__(self) -> str:
        text = f"ts:{self.span if self.mode == 'blocks' else self.mode}"
        return text if self.bound is None else f"{text}:bound={decimal(self.bound)}"


@dataclass(frozen=True)
class Step:
    """One step of an estimator with the parameters that differ from its defaults, the positional one first."""

    name: str
    parameters: tuple[tuple[str, Value], ...] = ()

    def __str__(self) -> str:
        return "+" + ":".join([self.name, *(_spell(self.name, name, value) for name, value in self.parameters)])

    def get(self, name: str, default: Value) -> Value:
        """The value of a parameter, or ``default``."""
        return dict(self.parameters).get(name, default)


@dataclass(frozen=True)
class Spec:
    """A block-scaled format and how it is computed. Build one with :func:`fp4sim.parse`."""

    element: FloatFormat
    block: Block
    scale: FloatFormat | None = None
    rule: str | None = None
    tensor_scale: TensorScale = TensorScale()
    dialect: str = DEFAULT_DIALECT
    dialect_flags: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()

    def __str__(self) -> str:
        return self.base + "".join(map(str, self.steps))

    @property
    def base(self) -> str:
        """The string without its steps."""
        text = self.element.name
        if self.block.kind != "none":
            text += f"/{self.block}"
        if self.scale is not None:
            text += f"@{scale_name(self.scale)}@{self.rule}"
        if self.tensor_scale != TensorScale() or default_tensor_scale(self.scale) != TensorScale():
            text += f"@{self.tensor_scale}"
        if self.dialect != DEFAULT_DIALECT or self.dialect_flags:
            text += "@" + ":".join([self.dialect, *self.dialect_flags])
        return text

    @property
    def short(self) -> str:
        """The shortest string that parses to this spec: an alias with what differs from it."""
        from fp4sim.grammar import shorten

        return shorten(self)

    @property
    def slug(self) -> str:
        """``short`` in letters, digits, ``-._``: safe in file names and URLs, different for different specs."""
        table = {"/": "_", "@": "-", "+": "--", ":": ".", "=": "-eq-"}
        return "".join(table.get(char, char) for char in self.short)

    @property
    def rounding(self) -> Rounding:
        """The element rounding."""
        for step in self.steps:
            if step.name in {mode.value for mode in Rounding}:
                return Rounding(step.name)
        return Rounding.RN

    @property
    def random_bits(self) -> int:
        """Random bits an element under ``+sr``."""
        return int(self.step("sr").get("bits", 32)) if self.rounding is Rounding.SR else 0

    def step(self, name: str) -> Step:
        """The named step, or one without parameters where the spec has none of that name."""
        return next((step for step in self.steps if step.name == name), Step(name))

    def has(self, name: str) -> bool:
        """Whether the named step is part of the spec."""
        return any(step.name == name for step in self.steps)

    @property
    def bits_per_element(self) -> float:
        """Storage: element bits plus the block's share; not counted: the tensor scale, OCC's residual (it depends on data)."""
        if self.scale is None or self.block.kind != "tile":
            return float(self.element.bits)
        index = 8 if self.has("mxplus") else 0  # where the block's maximum is
        return self.element.bits + (self.scale.bits_stored + index) / (self.block.rows * self.block.cols)


def scale_name(scale: FloatFormat) -> str:
    """How a scale encoding is spelled, its maximum included where that is not the default."""
    default = scale_format(scale.name)
    return scale.name if scale == default else f"{scale.name}:max={scale.max:.0f}"


def default_tensor_scale(scale: FloatFormat | None) -> TensorScale:
    """An 8-bit float scale brings a tensor scale; powers of two and wide floats have the range to go without."""
    narrow = scale is not None and scale.bits <= 8 and scale.has_zero
    return TensorScale("tensor") if narrow else TensorScale()


def decimal(value: Value) -> str:
    """A number as the grammar reads it: no exponent, no trailing zeros."""
    return f"{value:.9f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _spell(step: str, name: str, value: Value) -> str:
    if value is True:
        return name
    positional = any(row.name == name and row.positional for row in STEP_ROWS[step].parameters)
    number = decimal(value)
    return number if positional else f"{name}={number}"
