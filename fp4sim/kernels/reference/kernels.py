"""The reference backend: every primitive in its readable form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fp4sim.kernels.interface import ElementCast, Place
from fp4sim.kernels.reference import blocks
from fp4sim.kernels.reference.choose import choose
from fp4sim.kernels.reference.encode import decode as decode_codes
from fp4sim.kernels.reference.encode import encode as encode_codes
from fp4sim.kernels.reference.products import products
from fp4sim.kernels.reference.rotate import rotate
from fp4sim.randbits import Stream, random_bits
from fp4sim.rounding import Rounding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.floats import FloatFormat

FLT_MAX = np.finfo(np.float32).max
SMALLEST_NORMAL = np.float32(2.0**-126)


class ReferenceKernels:
    """NumPy definitions; see :class:`fp4sim.kernels.interface.Kernels`."""

    name = "reference"
    takes_nonfinite = True
    block_amax = staticmethod(blocks.block_amax)
    pack = staticmethod(blocks.pack)
    unpack = staticmethod(blocks.unpack)
    error_sums = staticmethod(blocks.error_sums)
    rotate = staticmethod(rotate)
    products = staticmethod(products)
    choose = staticmethod(choose)

    @staticmethod
    def dequantize(
        codes: NDArray[np.unsignedinteger], decode: NDArray[np.float64], tile: tuple[int, int], fmt: FloatFormat
    ) -> NDArray[np.float32]:
        """Values of codes, rounded once."""
        with np.errstate(over="ignore", invalid="ignore"):
            return (decode_codes(codes, fmt) * blocks.expand(decode, tile)).astype(np.float32)

    @staticmethod
    def scale(
        x: NDArray[np.float32], factor: NDArray[np.float32], tile: tuple[int, int], *, divides: bool
    ) -> NDArray[np.float32]:
        """Every element by its block's factor."""
        first = blocks.expand(factor, tile)
        with np.errstate(all="ignore"):
            return np.asarray(x / first if divides else x * first)

    @staticmethod
    def histogram(codes: NDArray[np.uint8]) -> NDArray[np.int64]:
        """How often each byte occurs."""
        return np.bincount(codes.ravel(), minlength=256)

    @staticmethod
    def cast(x: NDArray[np.float32], fmt: FloatFormat, rounding: Rounding) -> NDArray[np.unsignedinteger]:
        """Elementwise cast."""
        return encode_codes(x, fmt, rounding)

    @classmethod
    def te_scales(
        cls,
        amax: NDArray[np.float32],
        multiplier: NDArray[np.float32],
        decode: NDArray[np.float32],
        fmt: FloatFormat,
        rounding: Rounding,
    ) -> tuple[NDArray[np.unsignedinteger], NDArray[np.float32]]:
        """s = cast(fmin(fl(a m), FLT_MAX)); factor = fmin(fl(1 / fl(s S_dec)), FLT_MAX)."""
        with np.errstate(all="ignore"):
            codes = cls.cast(np.fmin(amax * multiplier, FLT_MAX), fmt, rounding)
            value = decode_codes(codes, fmt).astype(np.float32)
            return codes, np.fmin(np.float32(1) / (value * decode), FLT_MAX)

    @staticmethod
    def encode(
        x: NDArray[np.float32],
        factor: NDArray[np.float32],
        tile: tuple[int, int],
        cast: ElementCast,
        stream: Stream | None = None,
        place: Place | None = None,
    ) -> NDArray[np.unsignedinteger]:
        """Codes of the scaled panel."""
        scale = blocks.expand(factor, tile)
        with np.errstate(all="ignore"):
            if cast.flush:
                x = np.where(np.abs(x) < SMALLEST_NORMAL, np.copysign(np.float32(0), x), x)
            scaled = np.asarray(x / scale if cast.divides else x * scale, np.float32)
            if cast.policy.nan == "payload":  # of two NaNs torch keeps the factor's
                scaled = np.where(np.isnan(scale), scale, scaled)
        random = None
        if cast.rounding is Rounding.SR:
            random = random_bits(stream or Stream(), element_index(x.shape, place or Place()), cast.random_bits)
        return encode_codes(
            scaled, cast.fmt, cast.rounding, random=random, random_bits=cast.random_bits, policy=cast.policy
        )

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
        """``encode``, then ``pack``."""
        packed = blocks.pack(cls.encode(x, factor, tile, cast, stream, place).astype(np.uint8))
        if out is None:
            return packed
        out[...] = packed
        return out


def element_index(shape: tuple[int, ...], place: Place) -> NDArray[np.int64]:
    """Flat index in the logical tensor of each element of a panel: which random bits it uses."""
    row = (place.row0 + np.arange(shape[0], dtype=np.int64))[:, None]
    col = (place.col0 + np.arange(shape[1], dtype=np.int64))[None, :]
    return (row // place.inner * place.length + col) * place.inner + row % place.inner
