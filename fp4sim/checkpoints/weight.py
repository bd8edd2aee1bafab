"""A quantized weight of a checkpoint: what it is called, how it is stored, and its exact values."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fp4sim.checkpoints.blocks import row_count
from fp4sim.checkpoints.encodings import CODE_VALUES
from fp4sim.errors import UnreadableError
from fp4sim.fpmode import ieee_mode
from fp4sim.io.files import shown
from fp4sim.io.source import Tensor, TensorInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from fp4sim.checkpoints.blocks import BlockReader
    from fp4sim.checkpoints.config import Config
    from fp4sim.checkpoints.encodings import ScaleEncoding

Role = Literal["multiplier", "divisor"]
Tensors = "Mapping[str, Tensor]"


@dataclass(frozen=True, eq=False)
class GlobalScale:
    """The float32 scale over a tensor, or over each of its experts, and whether it multiplies or divides."""

    tensor: Tensor
    role: Role


@dataclass(frozen=True, eq=False)
class QuantizedWeight:
    """A weight in codes and scales. ``shape`` is the logical one, blocks run along its last axis.

    ``parts``: the stored tensors by what they are for. The value of an element is code * scale, times or over the global
    scale, rounded once to float32.
    """

    name: str
    layout: str
    shape: tuple[int, ...]
    block: int
    encoding: ScaleEncoding
    blocks: BlockReader
    global_scale: GlobalScale | None
    parts: Mapping[str, str]

    @property
    def rows(self) -> int:
        """All axes but the last."""
        return row_count(self.shape)

    @property
    def length(self) -> int:
        """Elements of a row."""
        return self.shape[-1]

    @property
    def format(self) -> str:
        """NVFP4 or MXFP4 where it is one, else the parts."""
        known = {("e4m3", 16): "NVFP4", ("e8m0", 32): "MXFP4"}
        return known.get(
            (self.encoding.format, self.block), f"E2M1 in blocks of {self.block} under {self.encoding.name}"
        )

    @property
    def convention(self) -> str:
        """What the global scale does to a value."""
        return "none" if self.global_scale is None else self.global_scale.role

    @cached_property
    def globals(self) -> NDArray[np.float32]:
        """The stored global scales, one or one an expert; 1 where there is none."""
        if self.global_scale is None:
            return np.ones(1, np.float32)
        return self.global_scale.tensor.read_all().reshape(-1).astype(np.float32)

    @ieee_mode()
    def dequantize(self, start: int, stop: int) -> NDArray[np.float32]:
        """Rows [start, stop) as float32. Raises UnreadableError where the file is damaged."""
        codes, scales = self.blocks.read(start, stop)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            wide = self.encoding.values[scales].repeat(self.block, axis=1)[:, : self.length]
            values = CODE_VALUES[codes] * wide  # exact: 2 bits times 4
            if self.global_scale is not None:
                factors = self.globals.repeat(self.rows // len(self.globals))[start:stop, None]
                values = values * factors if self.global_scale.role == "multiplier" else values / factors
            return np.asarray(values, np.float32)


@dataclass(frozen=True)
class Fault:
    """Tensors that look like a quantized weight and are none: ``rule`` of the lint, and what is wrong."""

    rule: str
    tensor: str
    message: str


@dataclass(frozen=True)
class Found:
    """What a layout found: weights, faults, and the names of all tensors that belong to either."""

    weights: tuple[QuantizedWeight, ...] = ()
    faults: tuple[Fault, ...] = ()
    names: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True)
class Layout:
    """A way of storing quantized weights. ``fused``: runtimes join q, k, v and gate, up under one global scale.

    ``nibbles``: the order of codes in a byte. ``source``: where the layout is stated.
    """

    name: str
    title: str
    nibbles: str
    fused: bool
    source: str
    find: Callable[[Mapping[str, Tensor], Config], Found]


class DecodedTensor(Tensor):
    """A quantized weight seen as the float32 values that it stands for."""

    def __init__(self, weight: QuantizedWeight) -> None:
        super().__init__(TensorInfo(weight.name, weight.shape, "float32"))
        self.weight = weight
        self.note = f"dequantized from {weight.format} ({weight.layout})"

    def _read(self, start: int, stop: int) -> NDArray[Any]:
        length = self.weight.length
        if start == stop:
            return np.empty(0, np.float32)
        first, last = start // length, -(-stop // length)
        values = self.weight.dequantize(first, last).reshape(-1)
        return values[start - first * length : stop - first * length]


class FaultyTensor(Tensor):
    """A weight that cannot be decoded; reading it says why."""

    def __init__(self, fault: Fault, label: str) -> None:
        super().__init__(TensorInfo(fault.tensor, (), "undecodable (see fp4sim lint)"))
        self._message = f"{label}: tensor '{shown(fault.tensor, 80)}': {fault.message}"

    def _read(self, start: int, stop: int) -> NDArray[Any]:
        raise UnreadableError(self._message)


def join(found: Sequence[Found]) -> Found:
    """Several findings as one."""
    return Found(
        tuple(weight for one in found for weight in one.weights),
        tuple(fault for one in found for fault in one.faults),
        frozenset().union(*(one.names for one in found)),
    )
