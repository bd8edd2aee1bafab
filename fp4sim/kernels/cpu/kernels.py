"""The CPU backend: numba kernels where they are fast, the reference where a case is rare."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.kernels.cpu import amax, cast, encode, errors, stochastic
from fp4sim.kernels.interface import ElementCast, Place
from fp4sim.kernels.reference import blocks
from fp4sim.kernels.reference.kernels import ReferenceKernels
from fp4sim.randbits import Stream
from fp4sim.rounding import HARDWARE, Rounding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.formats import FloatFormat


class CpuKernels:
    """See :class:`fp4sim.kernels.interface.Kernels`. Panels are C-contiguous."""

    name = "cpu"
    block_amax = staticmethod(amax.block_amax)
    pack = staticmethod(blocks.pack)
    unpack = staticmethod(blocks.unpack)
    error_sums = staticmethod(errors.error_sums)

    @staticmethod
    def cast(x: NDArray[np.float32], fmt: FloatFormat, rounding: Rounding) -> NDArray[np.unsignedinteger]:
        """Elementwise cast."""
        if cast.can_cast(fmt, rounding):
            return cast.cast_scale(x, fmt, rounding)
        return ReferenceKernels.cast(x, fmt, rounding)

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
        if not _is_plain(cast, factor):
            return ReferenceKernels.encode(x, factor, tile, cast, stream, place)
        out = np.empty(x.shape, np.uint8)
        if cast.rounding is Rounding.SR:
            stochastic.encode_stochastic(x, factor, tile, cast, stream or Stream(), place or Place(), out)
        elif encode.can_encode_nearest(cast, tile):
            encode.encode_nearest_even(x, factor, tile, cast.fmt, out)
        else:
            encode.encode_thresholds(x, factor, tile, cast, out)
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
    ) -> NDArray[np.uint8]:
        """``encode``, then ``pack``, in one pass where that is fast."""
        if _is_plain(cast, factor) and encode.can_encode_nearest(cast, tile):
            out = np.empty((x.shape[0], x.shape[1] // 2), np.uint8)
            encode.encode_nearest_even(x, factor, tile, cast.fmt, out)
            return out
        return blocks.pack(cls.encode(x, factor, tile, cast, stream, place).astype(np.uint8))


def _is_plain(cast: ElementCast, factor: NDArray[np.float32]) -> bool:
    """Whether the compiled paths cover a cast: narrow signed format, default policy, no NaN among the products.

    A finite factor means a finite amax or a rule that ignores it; non-finite x is then still possible and is caught by
    the caller, which knows the amax.
    """
    narrow = cast.fmt.signed and cast.fmt.bits <= 8
    return bool(narrow and cast.policy == HARDWARE and np.isfinite(factor).all())
