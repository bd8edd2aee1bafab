"""The CPU backend: numba kernels where they are fast, the reference where a case is rare."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.kernels.cpu import (
    amax,
    cast,
    choose,
    dequantize,
    encode,
    errors,
    packing,
    products,
    rotate,
    scales,
    stochastic,
)
from fp4sim.kernels.interface import Criterion, ElementCast, Place
from fp4sim.kernels.reference import blocks
from fp4sim.kernels.reference.kernels import SMALLEST_NORMAL, ReferenceKernels
from fp4sim.randbits import Stream
from fp4sim.rounding import Rounding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.floats import FloatFormat
    from fp4sim.stats.sums import PanelSums


class CpuKernels:
    """See :class:`fp4sim.kernels.interface.Kernels`. Panels are C-contiguous."""

    name = "cpu"
    takes_nonfinite = False
    block_amax = staticmethod(amax.block_amax)
    pack = staticmethod(packing.pack)
    unpack = staticmethod(blocks.unpack)
    histogram = staticmethod(packing.histogram)
    rotate = staticmethod(rotate.rotate)
    scale = staticmethod(ReferenceKernels.scale)

    @staticmethod
    def error_sums(
        x: NDArray[np.float32],
        codes: NDArray[np.uint8],
        factor: NDArray[np.float32],
        decode: NDArray[np.float64],
        amax: NDArray[np.float32],
        tile: tuple[int, int],
        cast: ElementCast,
        valid: tuple[int, int],
        cell_rows: int,
    ) -> list[PanelSums]:
        """Float64 sums of the panel's cells."""
        run = errors.error_sums if cast.fmt.bits <= 8 else ReferenceKernels.error_sums
        return run(x, codes, factor, decode, amax, tile, cast, valid, cell_rows)

    @staticmethod
    def cast(x: NDArray[np.float32], fmt: FloatFormat, rounding: Rounding) -> NDArray[np.unsignedinteger]:
        """Elementwise cast."""
        if cast.can_cast(fmt, rounding):
            return cast.cast_scale(x, fmt, rounding)
        return ReferenceKernels.cast(x, fmt, rounding)

    @staticmethod
    def dequantize(
        codes: NDArray[np.unsignedinteger], decode: NDArray[np.float64], tile: tuple[int, int], fmt: FloatFormat
    ) -> NDArray[np.float32]:
        """Values of codes, rounded once."""
        run = dequantize.dequantize if fmt.bits <= 8 else ReferenceKernels.dequantize
        return run(codes, decode, tile, fmt)

    @staticmethod
    def products(
        x: NDArray[np.float32],
        codes: NDArray[np.uint8],
        factor: NDArray[np.float32],
        tile: tuple[int, int],
        cast: ElementCast,
        group: int,
    ) -> NDArray[np.float64]:
        """EDEN's inner products."""
        run = products.products if products.can_multiply(tile, group) else ReferenceKernels.products
        return run(x, codes, factor, tile, cast, group)

    @staticmethod
    def choose(
        x: NDArray[np.float32],
        codes: tuple[NDArray[np.uint8], NDArray[np.uint8]],
        scales: tuple[NDArray[np.float32], NDArray[np.float32]],
        group: tuple[NDArray[np.float32], np.float32],
        tile: tuple[int, int],
        fmt: FloatFormat,
        criterion: Criterion,
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """The encoding of less error, block by block."""
        run = choose.choose if choose.can_choose(tile) else ReferenceKernels.choose
        return run(x, codes, scales, group, tile, fmt, criterion)

    @staticmethod
    def te_scales(
        amax: NDArray[np.float32],
        multiplier: NDArray[np.float32],
        decode: NDArray[np.float32],
        fmt: FloatFormat,
        rounding: Rounding,
    ) -> tuple[NDArray[np.unsignedinteger], NDArray[np.float32]]:
        """The default dialect's scale stage."""
        if scales.can_scale(fmt, rounding):
            return scales.te_scales(np.ascontiguousarray(amax), multiplier, decode, fmt)
        return ReferenceKernels.te_scales(amax, multiplier, decode, fmt, rounding)

    @classmethod
    def encode(
        cls,
        x: NDArray[np.float32],
        factor: NDArray[np.float32],
        tile: tuple[int, int],
        cast: ElementCast,
        stream: Stream | None = None,
        place: Place | None = None,
    ) -> NDArray[np.unsignedinteger]:
        """Codes of the scaled panel."""
        if not _is_plain(x, cast, factor):
            return ReferenceKernels.encode(x, factor, tile, cast, stream, place)
        out = np.empty(x.shape, np.uint8)
        if cast.flush:
            x = np.where(np.abs(x) < SMALLEST_NORMAL, np.copysign(np.float32(0), x), x)
        if cast.rounding is Rounding.SR:
            stochastic.encode_stochastic(x, factor, tile, cast, stream or Stream(), place or Place(), out)
        elif encode.can_encode_nearest(cast, tile):
            encode.encode_nearest_even(x, factor, tile, cast.fmt, out)
        else:
            encode.encode_thresholds(x, factor, tile, cast, out)
        if cast.policy.negative_zero != "keep":
            _mend_zeros(out, x, factor, tile, cast)
        return out

    @classmethod
    def encode_packed(
        cls,
        x: NDArray[np.float32],
        factor: NDArray[np.float32],
        tile: tuple[int, int],
        cast: ElementCast,
        stream: Stream | None = None,
        place: Place | None = None,
        out: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.uint8]:
        """``encode``, then ``pack``, in one pass where that is fast."""
        target = np.empty((x.shape[0], x.shape[1] // 2), np.uint8) if out is None else out
        direct = encode.can_encode_nearest(cast, tile) and not cast.flush and cast.policy.negative_zero == "keep"
        if direct and _is_plain(x, cast, factor) and target.flags.c_contiguous:
            encode.encode_nearest_even(x, factor, tile, cast.fmt, target)
        else:
            target[...] = packing.pack(cls.encode(x, factor, tile, cast, stream, place).astype(np.uint8, copy=False))
        return target


def _is_plain(x: NDArray[np.float32], cast: ElementCast, factor: NDArray[np.float32]) -> bool:
    """Whether the compiled paths cover a cast: narrow signed format, saturating, no NaN among the products.

    A finite factor means a finite amax or a rule that ignores it; non-finite x is then still possible and is caught by
    the caller, which knows the amax, unless a NaN has its own policy. Stochastic rounding looks for itself: it is given
    scales as well, and quotients of zeros. Zeros' signs are mended afterwards.
    """
    unsigned = cast.rounding is Rounding.SR and cast.fmt.has_zero  # block scales are rounded stochastically too
    narrow = (cast.fmt.signed or unsigned) and cast.fmt.bits <= 8
    looks = cast.policy.nan != "hardware" or cast.rounding is Rounding.SR
    nan = looks and (np.isnan(x.max()) or (cast.divides and factor.min() == 0))
    return bool(narrow and cast.policy.overflow == "saturate" and not nan and np.isfinite(factor.max()))


def _mend_zeros(
    codes: NDArray[np.uint8],
    x: NDArray[np.float32],
    factor: NDArray[np.float32],
    tile: tuple[int, int],
    cast: ElementCast,
) -> None:
    """Give codes that are zeros the sign that the policy wants, in place."""
    sign, policy = np.uint8(cast.fmt.sign_mask), cast.policy.negative_zero
    if policy == "never":
        codes[codes == sign] = 0
        return
    row, col = np.nonzero(codes == (sign if policy == "drop" else 0))
    scale, value = factor[row // tile[0], col // tile[1]], x[row, col]
    with np.errstate(all="ignore"):
        exact = (value / scale if cast.divides else value * scale) == 0
    codes[row[exact], col[exact]] = 0 if policy == "drop" else sign
