"""Quantizes rotated NVFP4 in two reads: the rotated tensor's amax, then everything else; nothing rotated is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.dialects.target import target_of
from fp4sim.estimators.eden import correction_group, scale_stream
from fp4sim.kernels.cuda.rotate import can_rotate, rotated_amax
from fp4sim.kernels.cuda.rotated import rotate_quantize
from fp4sim.quantizer import Quantizer
from fp4sim.randbits import Stream
from fp4sim.rounding import Rounding
from fp4sim.statistic import Statistic
from fp4sim.transforms import Rotation, rotation_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.geometry import Geometry
    from fp4sim.spec import Spec

_STEPS = {"h", "rht", "mseden", "rn", "max"}


@dataclass(frozen=True)
class Rotated:
    """Codes, two a byte, and block scales, both flat on the device; the decode multiplier of the tensor."""

    packed: Any
    scales: Any
    stored: np.float32
    rotation: Rotation


def is_fused(spec: Spec, geometry: Geometry, matrix: Any) -> bool:
    """Whether a spec is NVFP4 of a rotated tensor that the kernels cover: default arithmetic, one tensor scale."""
    rotation = rotation_of(spec, Stream())  # of any draw
    block, scale = spec.block, spec.scale
    return (
        rotation is not None
        and not rotation.bf16
        and {step.name for step in spec.steps} <= _STEPS
        and not spec.step("mseden").get("posthoc", False)
        and (not spec.has("mseden") or correction_group(spec) == 16)
        and spec.dialect == "te"
        and spec.element.name == "e2m1"
        and scale is not None
        and scale.name == "e4m3"
        and spec.rule == "rn"
        and (block.kind, block.rows, block.cols) == ("tile", 1, 16)
        and spec.tensor_scale.mode in ("tensor", "given")
        and spec.rounding is Rounding.RN
        and geometry.length % 16 == 0
        and matrix.dtype.name in ("float32", "float16", "uint16")
        and can_rotate(matrix, rotation.vector)
    )


def quantize_rotated(
    matrix: Any, spec: Spec, geometry: Geometry, stream: Stream, given: NDArray[np.float32] | None = None
) -> Rotated | None:
    """Quantize a matrix (rows, length) on the device.

    None where a rotated element is not finite: the general path says what is wrong, or drops it.
    """
    rotation = rotation_of(spec, stream)
    assert rotation is not None
    amax = rotated_amax(matrix, rotation.vector)
    if not np.isfinite(amax):
        return None
    statistic = Statistic(amax, np.zeros(0, np.float32), 0, geometry)
    quantizer = Quantizer(spec, geometry, statistic, stream, given)
    factors = quantizer.factors(geometry.pieces[0], np.full((1, 1), amax, np.float32))
    multiplier = np.float32(factors.encode * target_of(spec).inverse)
    eden = scale_stream(stream) if spec.has("mseden") else None
    packed, scales = rotate_quantize(matrix, rotation.vector, multiplier, np.float32(factors.decode), eden)
    return Rotated(packed, scales, np.float32(factors.stored), rotation)
