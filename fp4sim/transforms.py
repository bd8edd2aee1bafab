"""Rotations as data: a Hadamard transform of groups along the axis, with or without random signs.

The arithmetic is :mod:`fp4sim.kernels.reference.rotate`'s. Random signs depend on seed and draw alone, not on the tensor's
name, because the operands of a GEMM must share them: sign j is minus where the random bit of element j of the stream
named "rotation" is set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.kernels.reference.rotate import butterfly, normalizer
from fp4sim.randbits import Stream, random_bits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.kernels.interface import Kernels
    from fp4sim.spec import Spec

# Transformer Engine's sign vector of the wgrad operands (hadamard_transform, d0067d0)
TE_SIGNS = (1, 1, 1, -1, 1, -1, -1, -1, -1, -1, -1, 1, -1, 1, -1, -1)


@dataclass(frozen=True)
class Rotation:
    """A rotation of ``size`` columns by ``signs`` (+1, -1); ``bf16``: the result is stored as bfloat16, as TE does."""

    signs: tuple[int, ...]
    bf16: bool = False

    @property
    def size(self) -> int:
        """Columns rotated together."""
        return len(self.signs)

    @property
    def vector(self) -> NDArray[np.float32]:
        """The signs as float32."""
        return np.array(self.signs, np.float32)

    def apply(self, panel: NDArray[np.float32], kernels: Kernels) -> NDArray[np.float32]:
        """The rotated panel, a new array; sums that exceed float32 are not finite."""
        whole = panel.shape[1] // self.size * self.size  # a panel may be padded to whole blocks
        if whole < panel.shape[1]:
            rotated = np.zeros_like(panel)
            rotated[:, :whole] = kernels.rotate(panel[:, :whole].copy(), self.vector)
        else:
            rotated = kernels.rotate(panel, self.vector)
        return _as_bf16(rotated) if self.bf16 else rotated

    def undo(self, values: NDArray[np.float32], kernels: Kernels) -> NDArray[np.float32]:
        """The inverse (the transpose) of float32 values (rows, whole groups)."""
        return kernels.rotate(values, self.vector, inverse=True)

    def undo_exact(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same in float64, in the same order of operations: no BLAS, whose sums differ between machines."""
        mixed = butterfly(values.reshape(-1, self.size)) * np.float64(normalizer(self.size))
        return np.asarray((mixed * self.vector.astype(np.float64)).reshape(values.shape))


def rotation_size(spec: Spec) -> int:
    """Columns that a spec rotates together; 0 where it does not rotate."""
    for name, default in (("h", 32), ("rht", 128), ("quest", 32), ("mseden", 128), ("eden", 128)):
        if spec.has(name):
            size = int(spec.step(name).get("size", default))
            return size if size > 1 else 0
    return 0


def check_rotation(spec: Spec) -> None:
    """Raise UsageError for sizes that are no power of two, and for ``:te`` of another size than 16."""
    size = rotation_size(spec)
    if size & (size - 1):
        raise UsageError(f"{spec.short}: a Hadamard transform of size {size} is not defined here, only powers of two")
    for name in ("rht", "h"):
        if spec.step(name).get("te", False) and size != len(TE_SIGNS):
            raise UsageError(f"{spec.short}: Transformer Engine's sign vector has 16 entries; write +{name}:16:te")


def rotation_of(spec: Spec, stream: Stream) -> Rotation | None:
    """The rotation of a spec in one draw, or None."""
    size = rotation_size(spec)
    if not size:
        return None
    if spec.step("rht").get("te", False):
        return Rotation(TE_SIGNS, bf16=True)
    if spec.has("h") or spec.has("quest"):
        return Rotation((1,) * size, bf16=bool(spec.step("h").get("te", False)))
    bits = random_bits(Stream.of(stream.seed, "rotation", stream.draw), np.arange(size), 1)
    return Rotation(tuple(1 - 2 * int(bit) for bit in bits))


def redraws_rotation(spec: Spec) -> bool:
    """Whether each draw rotates differently."""
    random = any(spec.has(name) for name in ("rht", "mseden", "eden"))
    return random and rotation_size(spec) > 0 and not spec.step("rht").get("te", False)


def hadamard(size: int) -> NDArray[np.float64]:
    """The Sylvester matrix of order ``size`` with entries +1 and -1."""
    matrix = np.ones((1, 1))
    while matrix.shape[0] < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix


def _as_bf16(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rounded to bfloat16, nearest-even, kept as float32; in integers, so that it serves CuPy arrays too."""
    bits = values.view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return np.where(values == values, rounded.view(np.float32), values)  # not NaN
