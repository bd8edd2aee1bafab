"""The GPU backend: every primitive for every format, rounding and policy, by the kernels of cuda/panel.cu.

Arrays of elements (panels, codes) are CuPy's and stay on the device. Arrays of blocks (maxima, factors, scales), a 16th or
less of the data, are NumPy's, so that one scale stage, the dialects', serves every backend; a kernel's results of that kind
are copied back. NaN and Inf need no detour here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.kernels.cuda import errors, load, products, rotate
from fp4sim.kernels.cuda.arguments import (
    cast_numbers,
    format_numbers,
    place_numbers,
    rounding_number,
    stream_numbers,
)
from fp4sim.kernels.cuda.arrays import empty, on_device, on_host, zeros
from fp4sim.kernels.interface import ElementCast, Place
from fp4sim.kernels.reference.kernels import ReferenceKernels
from fp4sim.randbits import Stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.floats import FloatFormat
    from fp4sim.kernels.interface import Criterion
    from fp4sim.rounding import Rounding

_SOURCE = "panel.cu"
_RUN, _SEGMENT, _MOST_ROWS = 8, 64, 128
_KINDS = ("float32", "uint16", "float16", "float64")  # bfloat16 by its bits
_METRICS, _ORDERS = ("mse", "mae", "absmax"), ("exact", "scaled", "product")


class CudaKernels:
    """See :class:`fp4sim.kernels.interface.Kernels` and the module's first lines for which arrays lie where."""

    name = "cuda"
    takes_nonfinite = True
    rotate = staticmethod(rotate.rotate)
    products = staticmethod(products.products)
    error_sums = staticmethod(errors.error_sums)

    @staticmethod
    def block_amax(x: Any, tile: tuple[int, int], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Block maxima, on the host."""
        cupy, (rows, cols) = load.get_cupy(), x.shape
        found = zeros((rows // tile[0], cols // tile[1]), cupy.uint32)
        threads = rows * (cols // tile[1]) * -(-tile[1] // _SEGMENT)
        load.launch(load.kernel(_SOURCE, "block_amax"), threads, (x, found, rows, cols, *tile))
        maxima = on_host(found).view(np.float32)
        if out is None:
            return maxima
        out[...] = maxima
        return out

    @classmethod
    def cast(cls, x: NDArray[np.float32], fmt: FloatFormat, rounding: Rounding) -> NDArray[np.unsignedinteger]:
        """Elementwise cast of block scales, which lie on the host."""
        flat, one = np.ascontiguousarray(x).reshape(1, -1), np.ones((1, 1), np.float32)
        return on_host(cls.encode(flat, one, flat.shape, ElementCast(fmt, rounding))).reshape(x.shape)

    @staticmethod
    def scale(x: Any, factor: NDArray[np.float32], tile: tuple[int, int], *, divides: bool) -> Any:
        """Every element by its block's factor."""
        out = empty(x.shape, x.dtype)
        args = (x, on_device(factor, np.float32), out, x.size, x.shape[1], *tile, 32 if divides else 0)
        load.launch(load.kernel(_SOURCE, "scale_panel"), -(-x.size // _RUN), args)
        return out

    @staticmethod
    def te_scales(
        amax: NDArray[np.float32],
        multiplier: NDArray[np.float32],
        decode: NDArray[np.float32],
        fmt: FloatFormat,
        rounding: Rounding,
    ) -> tuple[NDArray[np.unsignedinteger], NDArray[np.float32]]:
        """The default dialect's scale stage, there and back."""
        cupy, blocks = load.get_cupy(), amax.size
        shape = np.broadcast_shapes(multiplier.shape, decode.shape)
        if shape not in ((), (1, 1), (amax.shape[0], 1)):
            shape = amax.shape
        both = [on_device(np.broadcast_to(part, shape), np.float32) for part in (multiplier, decode)]
        codes, factors = empty(amax.shape, fmt.code_dtype), empty(amax.shape, cupy.float32)
        arguments = (blocks, blocks // both[0].size, fmt.code_dtype.itemsize, *format_numbers(fmt))
        args = (on_device(amax), *both, codes, factors, *arguments, rounding_number(rounding))
        load.launch(load.kernel(_SOURCE, "te_scales"), blocks, args)
        return on_host(codes), on_host(factors)

    @staticmethod
    def dequantize(codes: Any, decode: NDArray[np.float64], tile: tuple[int, int], fmt: FloatFormat) -> Any:
        """Values of codes, rounded once."""
        out = empty(codes.shape, np.float32)
        dequantize_into(out, codes, on_device(decode), codes.shape[1], tile, codes.dtype.itemsize, fmt)
        return out

    @classmethod
    def encode(
        cls,
        x: Any,
        factor: NDArray[np.float32],
        tile: tuple[int, int],
        cast: ElementCast,
        stream: Stream | None = None,
        place: Place | None = None,
    ) -> Any:
        """Codes of the scaled panel; of block scales on the host, which estimators round, on the host."""
        out = empty(x.shape, cast.fmt.code_dtype)
        cls._encode(on_device(x), factor, tile, cast, stream, place, out, cast.fmt.code_dtype.itemsize)
        return on_host(out) if isinstance(x, np.ndarray) else out

    @classmethod
    def encode_packed(
        cls,
        x: Any,
        factor: NDArray[np.float32],
        tile: tuple[int, int],
        cast: ElementCast,
        stream: Stream | None = None,
        place: Place | None = None,
        out: Any = None,
    ) -> Any:
        """``encode``, then ``pack``, in one pass."""
        cupy = load.get_cupy()
        target = empty((x.shape[0], x.shape[1] // 2), cupy.uint8) if out is None else out
        direct = target if target.flags.c_contiguous else empty(target.shape, cupy.uint8)
        cls._encode(x, factor, tile, cast, stream, place, direct, 0)
        if direct is not target:
            target[...] = direct
        return target

    @staticmethod
    def _encode(
        x: Any,
        factor: NDArray[np.float32],
        tile: tuple[int, int],
        cast: ElementCast,
        stream: Stream | None,
        place: Place | None,
        out: Any,
        width: int,
    ) -> None:
        head = (x, on_device(factor, np.float32), out, x.size, x.shape[1], *tile, width)
        bits = (*format_numbers(cast.fmt), *cast_numbers(cast))
        random = (*stream_numbers(stream or Stream()), *place_numbers(place or Place()))
        load.launch(load.kernel(_SOURCE, "encode_panel"), -(-x.size // _RUN), (*head, *bits, *random))

    @staticmethod
    def choose(
        x: Any,
        codes: tuple[Any, Any],
        scales: tuple[NDArray[np.float32], NDArray[np.float32]],
        group: tuple[NDArray[np.float32], np.float32],
        tile: tuple[int, int],
        fmt: FloatFormat,
        criterion: Criterion,
    ) -> tuple[Any, NDArray[np.bool_]]:
        """The encoding of less error, block by block: codes on the device, the choice on the host."""
        if tile[0] > _MOST_ROWS:
            host = ReferenceKernels.choose(
                on_host(x), (on_host(codes[0]), on_host(codes[1])), scales, group, tile, fmt, criterion
            )
            return on_device(host[0]), host[1]
        cupy, shape = load.get_cupy(), scales[0].shape
        factor = on_device(np.broadcast_to(group[0], shape), np.float32)
        out, other = empty(x.shape, cupy.uint8), empty(shape, cupy.bool_)
        head = (x, *codes, on_device(scales[0]), on_device(scales[1]), factor, out, other)
        how = (_METRICS.index(criterion.metric), _ORDERS.index(criterion.order))
        reach = int(np.float32(group[1]).view(np.uint32))
        args = (*head, other.size, x.shape[1], *tile, 1, reach, *how, *format_numbers(fmt))
        load.launch(load.kernel(_SOURCE, "choose_blocks"), other.size, args)
        return out, on_host(other)

    @staticmethod
    def pack(codes: Any) -> Any:
        """Two 4-bit codes a byte along the last axis."""
        return codes[..., 0::2] | codes[..., 1::2] << np.uint8(4)

    @staticmethod
    def unpack(packed: Any) -> Any:
        """The inverse of ``pack``."""
        halves = load.get_cupy().stack([packed & np.uint8(15), packed >> np.uint8(4)], axis=-1)
        return halves.reshape(*packed.shape[:-1], -1)

    @staticmethod
    def histogram(codes: Any) -> NDArray[np.int64]:
        """How often each byte occurs, on the host."""
        counts = zeros((256,), load.get_cupy().uint64)
        load.launch(
            load.kernel(_SOURCE, "histogram"), -(-codes.size // _SEGMENT), (on_device(codes), counts, codes.size)
        )
        return on_host(counts).astype(np.int64)


def widened(x: Any, dtype: str, to: Any = np.float32) -> Any:
    """Floats on the device as float32 (from float64 rounded once) or, from narrower ones, as float64; bfloat16 by its bits.

    CuPy compiles its own casts and arithmetic to flush float32 subnormals, so they have no part in this.
    """
    flat, out = on_device(x), empty(x.shape, to)
    kind = _KINDS.index("uint16" if dtype == "bfloat16" else dtype)
    load.launch(load.kernel(_SOURCE, "widen_floats"), x.size, (flat, out, x.size, kind, int(out.dtype == np.float64)))
    return out


def dequantize_into(
    out: Any, codes: Any, decode: Any, cols: int, tile: tuple[int, int], width: int, fmt: FloatFormat
) -> None:
    """Fill ``out``, (rows, cols) of float32, float16, float64 or bfloat16 as uint16, in one rounding; all on the device.

    ``width``: bytes a code takes in ``codes``, 0 for two codes a byte.
    """
    args = (codes, decode, out, out.size, cols, *tile, width, _KINDS.index(out.dtype.name), *format_numbers(fmt))
    load.launch(load.kernel(_SOURCE, "dequantize_panel"), -(-out.size // _RUN), args)
