"""MS-EDEN as the CUDA kernels compute it: the range is aligned after the correction, so that the data is read once.

Pass 1, a block of 16 with largest magnitude a: p = fl(a · fl(1/v)) cut to 4 mantissa bits, codes = cast(fl(y · fl(1/p)))
(all zero where p = 0), S = <z, z> / <z, q>, pseudo-scale = bf16(fl(p S)). Pass 2, with t = max pseudo-scale / 256:
scale = SR_E4M3(fl(pseudo · fl(1/t))), t the tensor scale. Scales below E4M3's smallest normal are rounded to nearest, and
the stochastic rounding sees the upper 16 of the 20 bits that are cut (IST-DASLab/Quartet-II 8776a90, kernels/
rht128_eden.cu). 1/p and 1/t are rounded correctly here; the GPU's rcp.approx may differ by an ulp.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.dialects.target import FLT_MAX, target_of
from fp4sim.errors import UsageError
from fp4sim.estimators.base import Encoded
from fp4sim.estimators.eden import MSEDEN, correction, scale_stream
from fp4sim.floats import scale_format
from fp4sim.quantizer import CellScales
from fp4sim.randbits import random_bits
from fp4sim.rounding import Rounding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.geometry import Cell
    from fp4sim.quantizer import Quantizer
    from fp4sim.spec import Spec

BOUND = np.float32(256)
_CUT = 20  # bits below E4M3's mantissa in float32
_SEEN = 16  # of which the kernel's noise reaches the upper ones


class Posthoc:
    """MS-EDEN's two passes: ``measure`` is the first over the whole tensor, ``encode`` repeats it and does the second."""

    info = MSEDEN.info

    def measure(self, quantizer: Quantizer, cell: Cell, panel: NDArray[np.float32]) -> np.float32:
        """The largest pseudo-scale of a cell."""
        return np.float32(self._first(quantizer, cell, panel)[2].max())

    def encode(self, quantizer: Quantizer, cell: Cell, panel: NDArray[np.float32]) -> Encoded:
        """Codes, and scales aligned to the tensor's largest pseudo-scale."""
        codes, factor, pseudo = self._first(quantizer, cell, panel)
        assert quantizer.measured is not None
        t = np.float32(quantizer.measured / BOUND) or np.float32(1)
        with np.errstate(all="ignore"):
            wanted = np.asarray(pseudo * np.fmin(np.float32(1) / t, FLT_MAX), np.float32)
        random = random_bits(scale_stream(quantizer.stream), _block_index(quantizer, cell, wanted.shape), 16)
        scale = quantizer.spec.scale
        assert scale is not None
        scale_codes = quantizer.kernels.cast(_noised(wanted, random), scale, Rounding.RN)
        amax = quantizer.block_amax(cell, panel)
        return Encoded(codes, CellScales(scale_codes, factor, amax, np.asarray(t), scale))

    @staticmethod
    def _first(
        quantizer: Quantizer, cell: Cell, panel: NDArray[np.float32]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
        """Codes, the factor of each block and its pseudo-scale."""
        amax, target = quantizer.block_amax(cell, panel), target_of(quantizer.spec)
        with np.errstate(all="ignore"):
            p = np.asarray(amax * target.inverse, np.float32)
            p = (p.view(np.uint32) & np.uint32(0xFFF80000)).view(np.float32)
            factor = np.where(p == 0, np.float32(0), np.fmin(np.float32(1) / p, FLT_MAX))
        scales = CellScales(np.zeros(p.shape, np.uint8), factor, amax, np.asarray(np.float32(1)), None)
        codes = quantizer.encode(cell, panel, scales).astype(np.uint8, copy=False)
        tile, cast = quantizer.geometry.tile(cell), quantizer.cast_of()
        square, product = quantizer.kernels_for(scales).products(panel, codes, factor, tile, cast, tile[1])
        with np.errstate(all="ignore"):
            return codes, factor, _to_bf16(np.asarray(p * correction(square, product), np.float32))


def _block_index(quantizer: Quantizer, cell: Cell, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Flat index of a cell's blocks in the block matrix: which random bits each scale uses."""
    rows, cols = quantizer.geometry.blocks_of(cell)
    width = quantizer.geometry.block_matrix[1]
    row = np.arange(rows.start, rows.start + shape[0])[:, None]
    return np.asarray(row * width + np.arange(cols.start, cols.start + shape[1])[None, :])


def _noised(wanted: NDArray[np.float32], random: NDArray[np.uint32]) -> NDArray[np.float32]:
    """All bits that E4M3 cuts set or cleared by the draw: rounding to nearest then goes up or down."""
    bits = wanted.view(np.uint32)
    low = np.uint32((1 << _CUT) - 1)
    up = (bits & low) > (random << np.uint32(_CUT - _SEEN))
    moved = np.where(up, bits | low, bits & ~low).astype(np.uint32).view(np.float32)
    smallest, largest = np.float32(scale_format("e4m3").min_normal), np.float32(scale_format("e4m3").max)
    return np.where((wanted < smallest) | (wanted > largest), wanted, moved)


def _to_bf16(values: NDArray[np.float32]) -> NDArray[np.float32]:
    import ml_dtypes

    return values.astype(ml_dtypes.bfloat16).astype(np.float32)


def check(spec: Spec) -> None:
    """Raise UsageError for what the kernels do not have."""
    e4m3 = spec.scale is not None and spec.scale.name == "e4m3"
    if (
        not e4m3
        or spec.block.cols != 16
        or spec.tensor_scale.mode != "tensor"
        or spec.step("mseden").get("s", 16) != 16
        or spec.dialect != "te"
        or spec.rule != "rn"
    ):
        raise UsageError(f"{spec.short}: the kernels' range alignment is defined for nvfp4+mseden:posthoc alone")


ESTIMATOR = Posthoc()
