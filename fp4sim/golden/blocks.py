"""What stimuli need to know of a spec, and matrices made block by block."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects.target import FLT_MAX, target_of
from fp4sim.errors import UsageError
from fp4sim.geometry import Geometry
from fp4sim.transforms import rotation_size
from fp4sim.verifying.blocks import to_matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.spec import Spec

_LEAST_WIDTH = 64
_UNIT = 2.0**-6  # of tensors with a tensor scale: exact in every operation, and not 1
_MOST_SCALES = 256


@dataclass(frozen=True, eq=False)
class Facts:
    """``width``: columns of whole blocks, rotations and tensor-scale groups; ``size``: elements of a block.

    ``magnitudes``: of the element; ``scales``: positive values of the block scale times the tensor scale that the stimuli
    give it, the largest last (1 alone where there are no block scales); ``unit``: that tensor scale.
    """

    spec: Spec
    width: int
    size: int
    magnitudes: NDArray[np.float64]
    scales: NDArray[np.float64]
    unit: float

    @property
    def per_tensor(self) -> bool:
        """Whether some scale is one over the whole tensor, so that one tensor shows one amax."""
        return self.spec.tensor_scale.mode == "tensor" or self.spec.block.kind == "tensor"


def facts_of(spec: Spec) -> Facts:
    """The facts of a spec. Raises UsageError for elements of more than 8 bits, whose codes nobody can list."""
    if spec.element.bits > 8:
        raise UsageError(f"{spec.short}: golden packs are for elements of up to 8 bits")
    cols = spec.block.cols if spec.block.kind == "tile" else 32
    step = math.lcm(cols, spec.tensor_scale.span or 1, rotation_size(spec) or 1)
    width = -(-_LEAST_WIDTH // step) * step
    size = spec.block.rows * cols if spec.block.kind == "tile" else width
    unit = 1.0 if spec.tensor_scale.mode == "none" else _UNIT
    scales = _scale_values(spec) * unit
    return Facts(spec, width, size, spec.element.magnitudes(), scales[scales * spec.element.max <= FLT_MAX], unit)


def _scale_values(spec: Spec) -> NDArray[np.float64]:
    """Positive block scales up to the bound that amax maps to; a spread of them where the encoding is wide."""
    if spec.scale is None:
        return np.ones(1)
    if spec.scale.bits > 8:
        return np.asarray(np.exp2(np.arange(-24.0, 25.0)))
    values = spec.scale.magnitudes()
    bound = target_of(spec).bound if spec.tensor_scale.mode != "none" else np.inf
    return np.asarray(values[(values > 0) & (values <= bound)][-_MOST_SCALES:])


def spread(values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """At most ``count`` of the values, evenly chosen, the last one included."""
    if values.size <= count:
        return values
    places = np.linspace(0, values.size - 1, count).round().astype(np.int64)
    return np.asarray(values[places])


def around(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Each value rounded to float32, with its neighbours one ulp below and above, flat."""
    exact = values.astype(np.float32).reshape(-1)
    with np.errstate(over="ignore"):
        below, above = np.nextafter(exact, np.float32(0)), np.nextafter(exact, np.float32(np.inf))
    return np.asarray(np.minimum(np.stack([below, exact, above], axis=-1).reshape(-1), FLT_MAX))


def pinned(values: NDArray[np.float32], amax: float, size: int) -> NDArray[np.float32]:
    """Blocks of ``size`` that hold the values, each block led by ``amax``; the rest is zero."""
    count = -(-values.size // (size - 1))
    blocks = np.zeros((count, size - 1), np.float32)
    blocks.reshape(-1)[: values.size] = values
    return np.concatenate([np.full((count, 1), amax, np.float32), blocks], axis=1)


def matrix_of(blocks: NDArray[np.float32], facts: Facts) -> NDArray[np.float32]:
    """Blocks (count, size) side by side in rows of ``width``, blocks of zeros filling the last row."""
    block = facts.spec.block
    if block.kind != "tile":
        return blocks
    across = facts.width // block.cols
    down = -(-blocks.shape[0] // across)
    whole = np.zeros((down * across, facts.size), np.float32)
    whole[: blocks.shape[0]] = blocks
    return to_matrix(whole, Geometry.for_spec((down * block.rows, facts.width), -1, facts.spec))
