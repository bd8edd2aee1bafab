"""The closed list of fused kernels: one pass from the data to scales and codes (or values), each equal to the general path.

te's NVFP4 (a given tensor scale, none, or the tensor's own), 1x16 and 16x16, nearest or stochastic; four over six; MXFP4 under
floor, ceil, rceil and even, nearest or stochastic. Blocks must be whole and the axis the last one. Kernels raise a flag at NaN
and Inf, and the tensor then goes the general way, which says what is wrong or propagates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.dialects.operations import given as given_factors
from fp4sim.dialects.target import target_of
from fp4sim.estimators.four_over_six import is_fast, metric_of
from fp4sim.floats import E2M1
from fp4sim.kernels.cuda import load
from fp4sim.kernels.cuda.arguments import stream_numbers
from fp4sim.kernels.cuda.arrays import empty, is_aligned, on_device, on_host, zeros
from fp4sim.rounding import Rounding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.geometry import Geometry
    from fp4sim.gpu.arrays import DeviceArray
    from fp4sim.randbits import Stream
    from fp4sim.spec import Spec

_INPUTS = {"float32": 0, "bfloat16": 1, "float16": 2}
_RULES = ("floor", "ceil", "rceil", "even")
_METRICS = ("mse", "mae", "absmax")
_AMAX_THREADS = 256 * 2048
_IN_FLIGHT = 64  # 32-bit words of data that a thread loads before it starts to work
_MOST_BLOCKS = 4


@dataclass(frozen=True)
class Fused:
    """What a spec's kernel is compiled for; see cuda/scheme.cuh for the macros."""

    block: int
    scales: int
    random: int = 0
    tile: int = 0
    adapt: int = 0

    def defines(self, dtype: str, unroll: int) -> tuple[str, ...]:
        """The macros for an input dtype."""
        names = {
            "BLOCK": self.block,
            "SCALES": self.scales,
            "RANDOM": self.random,
            "TILE": self.tile,
            "ADAPT": self.adapt,
        }
        return (f"INPUT={_INPUTS[dtype]}", *(f"{name}={value}" for name, value in names.items()), f"UNROLL={unroll}")


def fused_of(spec: Spec) -> Fused | None:
    """The kernel of a spec, or None where there is none."""
    names = {step.name for step in spec.steps}
    if spec.element != E2M1 or spec.block.kind != "tile" or spec.dialect != "te" or names - {"rn", "sr", "4over6"}:
        return None
    random = spec.random_bits if spec.rounding is Rounding.SR else 0
    shape, scale = (spec.block.rows, spec.block.cols), spec.scale
    if scale is not None and scale.name == "e8m0" and spec.rule in _RULES and shape == (1, 32):
        plain = spec.tensor_scale.mode == "none" and "4over6" not in names
        return Fused(32, 1 + _RULES.index(spec.rule), random) if plain else None
    whole = scale is not None and scale.name == "e4m3" and spec.rule == "rn" and shape in ((1, 16), (16, 16))
    if not whole or spec.tensor_scale.mode not in ("tensor", "given", "none"):
        return None
    if "4over6" not in names:
        return Fused(16, 0, random, tile=int(shape == (16, 16)))
    if random or shape != (1, 16) or is_fast(spec):
        return None
    return Fused(16, 0, adapt=1 + _METRICS.index(metric_of(spec)))


def fits(fused: Fused, geometry: Geometry, array: DeviceArray, given: NDArray[np.float32] | None) -> bool:
    """Whether a tensor's layout is what the kernel reads: whole blocks along the last axis, aligned, one tensor scale."""
    raw = array.raw
    whole = geometry.length % fused.block == 0 and (not fused.tile or geometry.matrix_rows % 16 == 0)
    lanes = not fused.tile or raw.size // 16 % 32 == 0
    plain = array.dtype in _INPUTS and geometry.axis == raw.ndim - 1 and is_aligned(raw)
    return whole and lanes and plain and (given is None or given.shape == ())


@dataclass(frozen=True)
class Numbers:
    """What the kernels read: scale constants (``scheme.cuh``), the flag, and the amax where it was taken here."""

    values: Any
    flag: Any
    amax: Any = None

    def finite(self) -> bool:
        """Whether no NaN or Inf was met; waits for the kernels."""
        met = int(on_host(self.flag)[0]) != 0
        return not met and (self.amax is None or int(on_host(self.amax)[0]) < 0x7F800000)


def numbers_of(spec: Spec, array: DeviceArray, given: NDArray[np.float32] | None) -> Numbers:
    """Start what comes before the main kernel: the tensor's amax, or the constants of a scale that is known."""
    flag, target, adapt = zeros((1,), np.uint32), target_of(spec), spec.has("4over6")
    if spec.scale is not None and not spec.scale.has_zero:
        stored = np.float32(1 / target.shrink) if target.shrink != 1.0 else np.float32(1)
        constants = [target.inverse, np.float32(target.shrink), 0, 0, stored, 0]
        return Numbers(on_device(np.array(constants, np.float32)), flag)
    if spec.tensor_scale.mode == "tensor":
        most, values = zeros((1,), np.uint32), empty((6,), np.float32)
        start_amax(array, most)
        bits = (int(target.reach.view(np.uint32)), int(target.inverse.view(np.uint32)), int(adapt))
        load.launch(_amax_kernel("te_numbers", array), 1, (most, values, *bits), block=1)
        return Numbers(values, flag, most)
    factors = given_factors(np.asarray(1 if given is None else given, np.float32))
    first = factors.encode if adapt else factors.encode * target.inverse
    # without a tensor amax four over six compares under the decode multiplier itself, over 1
    near = np.float32(1 if 2.0**-90 <= factors.stored <= 2.0**100 else 0)  # codec.cuh: near_divisor(1, stored)
    constants = [first, factors.decode, factors.stored, 1, factors.stored, near]
    return Numbers(on_device(np.array(constants, np.float32)), flag)


def start_amax(array: DeviceArray, most: Any) -> None:
    """Launch the kernel that raises ``most`` (uint32, 0 on entry) to the bits of the tensor's amax."""
    size = array.raw.nbytes
    threads = max(1, min(_AMAX_THREADS, -(-size // (16 * _MOST_BLOCKS))))
    load.launch(_amax_kernel("tensor_amax", array), threads, (array.raw, most, size // 16, size % 16))


def _amax_kernel(name: str, array: DeviceArray) -> Any:
    return load.kernel("amax.cu", name, (f"INPUT={_INPUTS[array.dtype]}", f"UNROLL={_MOST_BLOCKS}"))


def start_quantize(
    fused: Fused, array: DeviceArray, numbers: Numbers, geometry: Geometry, stream: Stream, packed: Any, scales: Any
) -> None:
    """Launch the kernel that fills ``packed`` (uint8, two codes a byte) and ``scales`` (uint8, one a block or tile)."""
    _start("quantize", fused, array, numbers, geometry, stream, (packed, scales))


def start_fake_quant(
    fused: Fused, array: DeviceArray, numbers: Numbers, geometry: Geometry, stream: Stream, out: Any
) -> None:
    """Launch the kernel that fills ``out``, of the input's shape and dtype, with what the codes mean."""
    _start("fake_quant", fused, array, numbers, geometry, stream, (out,))


def blocks_a_thread(fused: Fused, dtype: str) -> int:
    """Blocks that a thread has in flight, measured on Hopper: more hide latency until registers run short."""
    return min(_MOST_BLOCKS, max(1, _IN_FLIGHT * 4 // (fused.block * (4 if dtype == "float32" else 2))))


def _start(
    name: str,
    fused: Fused,
    array: DeviceArray,
    numbers: Numbers,
    geometry: Geometry,
    stream: Stream,
    outputs: tuple[Any, ...],
) -> None:
    blocks = array.raw.size // fused.block
    unroll = blocks_a_thread(fused, array.dtype)
    kernel = load.kernel(f"{name}.cu", name, fused.defines(array.dtype, unroll))
    sizes = (blocks, geometry.length // fused.block, *stream_numbers(stream))
    load.launch(kernel, -(-blocks // unroll), (array.raw, *outputs, numbers.values, numbers.flag, *sizes))
