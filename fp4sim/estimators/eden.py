"""EDEN's correction: scales are multiplied by S = <z, z> / <z, q>, which makes <x_hat, x> = <x, x> (arXiv 2108.08842).

z are the scaled elements of a group and q the values of their codes; sums as :mod:`fp4sim.kernels.reference.products`
states, S rounded to float32, 1 where <z, q> is 0 or infinite. A corrected scale that its encoding cannot hold is rounded
stochastically, from the block's own random bits: index = the block's flat index in the block matrix.

*MS-EDEN* (arXiv 2601.22813 Algorithm 1): random Hadamard over 128, amax mapped to v = 6 · 16/17 / 0.93, tensor scale
bound 256, S per 16 values. ``:s=128``: the released research kernel, one S a rotation in scaled units (blocks of different
scale are weighted by 1/scale², which leaves a misalignment of 5.6e-4); it divides, rounds ties away from zero and bounds
at 255.99: ``nvfp4@ts:bound=255.99@quartet2+mseden:s=128`` is that kernel but for its random bits.
*EDEN*: the same with FP32 scales (exact) or E8M0 (the power of two above or below). Under ``@quartet2:torch``
products and sums of S are float32, in the order of :mod:`fp4sim.kernels.reference.float_sums`: with FP32 scales that is the
released EdenSRQuantizer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.estimators.base import Encoded, Info
from fp4sim.kernels.interface import ElementCast, Place
from fp4sim.kernels.reference.blocks import expand
from fp4sim.kernels.reference.encode import decode
from fp4sim.kernels.reference.float_sums import row_sums
from fp4sim.quantizer import first_step
from fp4sim.rounding import Rounding
from fp4sim.transforms import rotation_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.geometry import Cell, Geometry
    from fp4sim.quantizer import Quantizer
    from fp4sim.randbits import Stream
    from fp4sim.spec import Spec


class Eden:
    """The correction, for MS-EDEN and EDEN."""

    def __init__(self, info: Info) -> None:
        self.info = info

    def correct(self, quantizer: Quantizer, cell: Cell, panel: NDArray[np.float32], encoded: Encoded) -> Encoded:
        """Multiply the block scales by S and round them stochastically."""
        scales, fmt = encoded.scales, encoded.scales.fmt
        assert fmt is not None
        with np.errstate(all="ignore"):
            value = decode(scales.codes, fmt).astype(np.float32)
            wanted = np.ascontiguousarray(value * self.factors(quantizer, cell, panel, encoded))
        if fmt.name == "fp32":
            codes = quantizer.kernels.cast(wanted, fmt, Rounding.RN)
        else:
            rows, cols = quantizer.geometry.blocks_of(cell)
            place = Place(rows.start, cols.start, quantizer.geometry.block_matrix[1])
            stochastic, one = ElementCast(fmt, Rounding.SR, 32), np.ones((1, 1), np.float32)
            stream = scale_stream(quantizer.stream)
            codes = quantizer.kernels_for(scales).encode(wanted, one, wanted.shape, stochastic, stream, place)
        if not scales.finite:
            codes = np.where(np.isfinite(wanted), codes, scales.codes)
        return replace(encoded, scales=replace(scales, codes=codes))

    def factors(
        self, quantizer: Quantizer, cell: Cell, panel: NDArray[np.float32], encoded: Encoded
    ) -> NDArray[np.float32]:
        """S of each block, float32."""
        tile, group = quantizer.geometry.tile(cell), correction_group(quantizer.spec)
        kernels = quantizer.kernels_for(encoded.scales)
        codes, scales = encoded.codes.astype(np.uint8, copy=False), encoded.scales
        blocks = max(group // tile[1], 1)
        if quantizer.arithmetic.eager:
            s = _float_correction(quantizer, panel, encoded, tile, group)
            return s if blocks == 1 else s.repeat(blocks, axis=1)
        if quantizer.spec.has("mseden") or blocks == 1:
            square, product = kernels.products(panel, codes, scales.factor, tile, quantizer.cast_of(), group)
        else:  # in x's units: blocks of different scale count by their energy
            sums = kernels.products(panel, codes, scales.factor, tile, quantizer.cast_of(), tile[1])
            with np.errstate(all="ignore"):
                weighted = (sums * scales.decode**2).reshape(2, panel.shape[0], -1, blocks)
            square, product = weighted.cumsum(axis=3)[..., -1]
        s = correction(square, product)
        return s if blocks == 1 else s.repeat(blocks, axis=1)


def correction(square: NDArray[np.float64], product: NDArray[np.float64]) -> NDArray[np.float32]:
    """S = <z, z> / <z, q>, 1 where nothing is left to correct or z overflowed under a scale that rounded to zero."""
    usable = (product > 0) & (square < np.inf)
    with np.errstate(all="ignore"):
        return np.where(usable, square / np.where(usable, product, 1.0), 1.0).astype(np.float32)


def _float_correction(
    quantizer: Quantizer, panel: NDArray[np.float32], encoded: Encoded, tile: tuple[int, int], group: int
) -> NDArray[np.float32]:
    """S as eager PyTorch computes it, in scaled units."""
    divides = quantizer.cast_of().divides
    first, factor = first_step(panel, encoded.scales, tile, quantizer.kernels, divides=divides)
    with np.errstate(all="ignore"):
        z = np.asarray(first / expand(factor, tile), np.float32).reshape(panel.shape[0], -1, group)
        q = decode(encoded.codes, quantizer.spec.element).astype(np.float32).reshape(z.shape)
        s = row_sums(z * z) / row_sums(z * q)
    return np.where(np.isnan(s), np.float32(1), s)


def scale_stream(stream: Stream) -> Stream:
    """The random bits of block scales; block i of the block matrix, row-major, is element i of this stream."""
    return stream.aside("block scale")


def correction_group(spec: Spec) -> int:
    """Values that share one S: by default 16 for MS-EDEN, the rotation (or the block) for EDEN."""
    if spec.has("mseden"):
        return int(spec.step("mseden").get("s", 16))
    return int(spec.step("eden").get("s", 0)) or max(rotation_size(spec), spec.block.cols)


def check(spec: Spec) -> None:
    """Raise UsageError for formats that the correction does not fit."""
    name = "mseden" if spec.has("mseden") else "eden"
    example = "nvfp4+mseden" if name == "mseden" else "e2m1/128@fp32+eden, mxfp4+eden"
    if spec.scale is None or spec.block.kind != "tile" or spec.block.rows > 1:
        raise UsageError(f"{spec.short}: +{name} corrects the scales of row blocks, e.g. {example}")
    if name == "mseden" and not (spec.scale.has_zero and spec.scale.bits <= 8):
        raise UsageError(
            f"{spec.short}: +mseden needs 8-bit float scales (e.g. nvfp4+mseden); for others there is +eden"
        )
    if spec.rounding is Rounding.SR:
        raise UsageError(f"{spec.short}: +{name} rounds elements deterministically and scales stochastically: drop +sr")
    group, block = correction_group(spec), spec.block.cols
    if group % block:
        raise UsageError(f"{spec.short}: s={group} does not hold whole /{spec.block} blocks")
    size = rotation_size(spec)
    if size and size % group:
        raise UsageError(f"{spec.short}: s={group} does not divide the rotation of {size}")


def check_fit(spec: Spec, geometry: Geometry) -> None:
    """Raise UsageError where groups that share one S do not divide a tensor's rows; a rotation's length always does."""
    group = correction_group(spec)
    widths = geometry.padded_length, geometry.padded(geometry.cells[0])[1], geometry.padded(geometry.pieces[0])[1]
    if any(width % group for width in widths):
        raise UsageError(
            f"{spec.short}: s={group} does not divide axis {geometry.axis} of length {geometry.length} of shape"
            f" {geometry.shape}; choose a smaller s or pad the tensor"
        )


MSEDEN = Eden(
    Info(
        "mseden",
        "MS-EDEN",
        "unbiased in the limit",
        "Random Hadamard over 128; nearest rounding with amax at 6.0721 (clipping a little); each E4M3 scale is multiplied"
        " by S = <z,z>/<z,q> of its 16 values and rounded stochastically. Exactly aligned a block, but unbiased only as the"
        " rotation grows: sparse inputs keep a floor. :s=128 the released research kernel, :posthoc the CUDA kernels.",
        "arXiv 2601.22813 Algorithm 1; IST-DASLab/Quartet-II 8776a90",
        "nvfp4+mseden",
    )
)
EDEN = Eden(
    Info(
        "eden",
        "EDEN",
        "unbiased in the limit",
        "Random Hadamard over 128; nearest rounding with amax at 6/0.96 (FP32 scales) or 6/0.91 within floor's range"
        " (E8M0); scales multiplied by S = <z,z>/<z,q>, kept exactly in FP32, rounded stochastically in E8M0.",
        "arXiv 2108.08842; arXiv 2601.22813 §3, EdenSRQuantizer of IST-DASLab/Quartet-II 8776a90",
        "e2m1/128@fp32+eden",
    )
)
