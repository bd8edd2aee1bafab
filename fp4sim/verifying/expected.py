"""What a correct kernel writes, block by block: fp4sim's own quantization, and the quantities that it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.estimators.pipeline import prepare
from fp4sim.fpmode import ieee_mode
from fp4sim.geometry import Geometry
from fp4sim.io.source import ArrayTensor
from fp4sim.kernels.reference.encode import decode
from fp4sim.packed import round_once
from fp4sim.packing import quantize_tensor
from fp4sim.panels import Panels
from fp4sim.parallel import thread_count
from fp4sim.randbits import Stream
from fp4sim.verifying import arithmetic
from fp4sim.verifying.blocks import to_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.dialects.base import BlockScales, TensorFactors
    from fp4sim.packed import PackedTensor
    from fp4sim.spec import Spec
    from fp4sim.statistic import Statistic


@dataclass(frozen=True, eq=False)
class Expected:
    """A tensor quantized, arranged in blocks as :mod:`fp4sim.verifying.blocks` does.

    ``x``: (blocks, elements), float32, rotated where the spec rotates. ``amax``: of each block, ``group``: of what shares
    its tensor scale, ``given``: the caller's decode multipliers (blocks,) or None. ``codes``, ``scales``: what is stored.
    ``plain``: no estimator changed the format's own scales and codes, so ``arithmetic`` gives them.
    """

    spec: Spec
    packed: PackedTensor
    geometry: Geometry
    x: NDArray[np.float32]
    amax: NDArray[np.float32]
    group: NDArray[np.float32]
    given: NDArray[np.float32] | None
    factors: TensorFactors
    blocks: BlockScales
    codes: NDArray[np.unsignedinteger]
    scales: NDArray[np.unsignedinteger]
    plain: bool

    @property
    def dtype(self) -> str:
        """The dtype that scales are computed for: the tensor's own, float32 once it is rotated."""
        return "float32" if self.packed.signs is not None else self.packed.dtype

    @property
    def decodes(self) -> bool:
        """Whether codes and scales alone give the values: nothing corrects them, and nothing rotates them back."""
        return self.plain and self.packed.signs is None

    @property
    def stored(self) -> NDArray[np.float32]:
        """The decode multiplier of each block, (blocks,)."""
        return per_block(self.packed.tensor_scale, self.geometry)

    def divisors(self) -> NDArray[np.float32]:
        """The tensor scales as a kernel stores them when it stores divisors, flat."""
        encode = np.broadcast_to(self.factors.encode, self.amax.shape)
        if self.packed.tensor_scale.ndim == 0:
            return np.asarray(encode[:1], np.float32)
        step = encode.size // self.packed.tensor_scale.size
        return np.asarray(encode[::step], np.float32)


def per_block(tensor_scale: NDArray[np.float32], geometry: Geometry) -> NDArray[np.float32]:
    """Tensor scales of shape (), (rows,) or (rows, groups) as one a block."""
    count = int(np.prod(geometry.block_shape)) if geometry.block.kind != "none" else 1
    if tensor_scale.size == 1:
        return np.full(count, tensor_scale.reshape(-1)[0], np.float32)
    if tensor_scale.ndim == 1:
        return tensor_scale.repeat(count // tensor_scale.size)
    across = geometry.block_shape[-1]
    wide = tensor_scale.repeat(geometry.span // geometry.block.cols, axis=1)[:, :across]
    return np.ascontiguousarray(wide).reshape(-1)


@ieee_mode()
def expect(
    x: NDArray[Any],
    spec: Spec,
    *,
    axis: int = -1,
    given: NDArray[np.float32] | None = None,
    seed: int = 0,
    name: str = "",
    threads: int | None = None,
) -> Expected:
    """Quantize ``x``; NaN and Inf propagate. Raises UsageError for a spec that does not fit."""
    tensor = ArrayTensor(name, x)
    packed = quantize_tensor(
        tensor, spec, axis=axis, seed=seed, tensor_scale=given, nonfinite="propagate", threads=threads
    )
    geometry = Geometry.for_spec(x.shape, axis, spec)
    panels, stream, workers = Panels(tensor, geometry.axis), Stream.of(seed, name), thread_count(threads)
    pipeline = prepare(panels, spec, geometry, stream, given=given, nonfinite="propagate", threads=workers)
    assert pipeline.quantizer.statistic is not None
    blocks = to_blocks(pipeline.panels.whole(), geometry)
    amax = _block_amax(blocks)
    group = _group_amax(spec, geometry, pipeline.quantizer.statistic, amax)
    per = None if given is None else per_block(given, geometry)
    factors = arithmetic.factors_of(spec, group, per)
    dtype = "float32" if pipeline.rotation is not None else x.dtype.name
    found = arithmetic.scales_of(spec, amax, factors, dtype)
    matrix = np.moveaxis(packed.codes, geometry.axis, -1).reshape(geometry.rows, geometry.length)
    scales = packed.block_scale.reshape(-1)
    return Expected(
        spec,
        packed,
        geometry,
        blocks,
        amax,
        group,
        per,
        factors,
        found,
        to_blocks(matrix, geometry),
        scales if spec.scale is not None else found.codes,
        pipeline.is_plain,
    )


def _block_amax(blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    from fp4sim.statistic import default_kernels

    if blocks.shape[1] % 16:
        with np.errstate(invalid="ignore"):
            return np.asarray(np.abs(blocks).max(axis=1))
    return np.asarray(default_kernels().block_amax(blocks.reshape(1, -1), (1, blocks.shape[1]))[0])


def _group_amax(spec: Spec, geometry: Geometry, statistic: Statistic, amax: NDArray[np.float32]) -> NDArray[np.float32]:
    mode = spec.tensor_scale.mode
    if mode == "row":
        return statistic.row_amax.repeat(amax.size // statistic.row_amax.size)
    if mode == "blocks":
        across, group = geometry.block_shape[-1], geometry.span // geometry.block.cols
        padded = np.zeros((amax.size // across, -(-across // group) * group), np.float32)
        padded[:, :across] = amax.reshape(-1, across)
        most = padded.reshape(padded.shape[0], -1, group).max(axis=-1)
        return np.ascontiguousarray(most.repeat(group, axis=1)[:, :across]).reshape(-1)
    return np.asarray(statistic.amax, np.float32)


def decoded(
    spec: Spec,
    codes: NDArray[np.unsignedinteger],
    scales: NDArray[np.unsignedinteger],
    stored: NDArray[np.float32],
    dtype: np.dtype[Any] | type = np.float32,
) -> NDArray[Any]:
    """What blocks of codes stand for, (blocks, elements): the float64 product rounded once."""
    step = stored.astype(np.float64)
    if spec.scale is not None:
        magnitude = scales & scales.dtype.type((1 << spec.scale.magnitude_bits) - 1)
        with np.errstate(all="ignore"):
            step = decode(magnitude, spec.scale) * step
    out = np.empty(codes.shape, dtype)
    rows = max(1, (1 << 20) // codes.shape[1])
    for start in range(0, codes.shape[0], rows):  # float64 in between only for a piece
        part = slice(start, start + rows)
        with np.errstate(all="ignore"):
            out[part] = round_once(decode(codes[part], spec.element) * step[part, None], np.dtype(dtype))
    return out
