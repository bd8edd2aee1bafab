"""Deterministic encoding: nearest-even by integer arithmetic, every other mode by its threshold table.

Formats with few exponents take the shorter of two ways to nearest-even. The axis of codes is a concave function of the
value, so it is the least of its linear pieces; each piece is rounded by the float adder (adding 1.5 * 2^23 leaves an
integer in the low bits), and the least of the rounded pieces is the code, because rounding is monotone. Ties go to the
even code as long as pieces start at even codes, which one mantissa bit ensures.

For the others: a positive float's bits are linear in the axis of codes between two powers of two, so nearest-even to a
format with m mantissa bits is: subtract the difference of biases, add half (less one if the kept part is even), shift out
23-m bits. Below the target's smallest normal the quantum is constant, and the float adder rounds as above.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.kernels.cpu.jit import bits_of, float_of, kernel
from fp4sim.rounding import Rounding, thresholds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.floats import FloatFormat
    from fp4sim.kernels.interface import ElementCast

LANES = 16
SPAN = 256
MOST_PIECES = 4


def can_encode_nearest(cast: ElementCast, tile: tuple[int, int]) -> bool:
    """Whether the integer path covers this cast: nearest-even products in blocks of whole 16-element groups."""
    fmt = cast.fmt
    return cast.rounding is Rounding.RN and fmt.signed and fmt.bits <= 8 and not cast.divides and tile[1] % LANES == 0


def encode_nearest_even(
    x: NDArray[np.float32], factor: NDArray[np.float32], tile: tuple[int, int], fmt: FloatFormat, out: NDArray[np.uint8]
) -> None:
    """Fill ``out`` with codes of fl(x * factor): (rows, cols), or (rows, cols/2) for packed nibbles.

    x and factor must be finite: a NaN would keep its sign.
    """
    packed = out.shape[1] < x.shape[1]
    build = _pieces_kernel if fmt.mantissa_bits >= 1 and _pieces(fmt) <= MOST_PIECES else _nearest_kernel
    build(fmt, packed=packed)(x, factor, *tile, out)


def encode_thresholds(
    x: NDArray[np.float32],
    factor: NDArray[np.float32],
    tile: tuple[int, int],
    cast: ElementCast,
    out: NDArray[np.uint8],
) -> None:
    """Fill ``out`` (rows, cols) with codes by the threshold tables of ``cast.rounding``."""
    fmt = cast.fmt
    positive = thresholds(fmt, cast.rounding, negative=False).view(np.int32)
    negative = thresholds(fmt, cast.rounding, negative=True).view(np.int32)
    nan = fmt.nan_code if fmt.nan_code is not None else fmt.max_code
    _thresholds(x, factor, *tile, cast.divides, positive, negative, fmt.sign_mask, nan, out)


def _pieces(fmt: FloatFormat) -> int:
    """Linear pieces of the axis of codes: subnormals and the first binade share one."""
    return max(1, (1 << fmt.exponent_bits) - 1)


@lru_cache(maxsize=64)
def _pieces_kernel(fmt: FloatFormat, *, packed: bool) -> Any:
    """The kernel of a format with few linear pieces: slope and start of each are compiled in."""
    pieces = _pieces(fmt)
    quantum = 2.0 ** (1 - fmt.bias - fmt.mantissa_bits)
    slopes = tuple(np.float32(1 / (quantum * 2.0**piece)) for piece in range(pieces))
    starts = tuple(np.float32(piece << fmt.mantissa_bits) for piece in range(pieces))
    magic = np.float32(1.5 * 2.0**23)
    magic_bits = magic.view(np.int32)
    largest = np.float32(fmt.max)
    sign_shift, sign_mask = np.int32(31 - fmt.magnitude_bits), np.int32(fmt.sign_mask)

    @kernel
    def nearest(x: Any, factor: Any, rows: Any, cols: Any, out: Any) -> None:
        codes = np.empty(16, np.uint8)
        for row in range(x.shape[0]):
            line, target, scales = x[row], out[row], factor[row // rows]
            block, left = -1, 0
            for group in range(line.size // 16):  # indexed so that numba sees non-negative offsets and vectorizes
                if left == 0:
                    block, left = block + 1, cols // 16
                    scale = scales[block]
                left -= 1
                for j in range(16):
                    z = line[group * 16 + j] * scale
                    magnitude = abs(z)
                    magnitude = magnitude if magnitude < largest else largest
                    least = magnitude * slopes[0] + magic
                    for piece in range(1, pieces):
                        other = (magnitude * slopes[piece] + magic) + starts[piece]
                        least = least if least < other else other
                    codes[j] = np.uint8((bits_of(least) - magic_bits) | ((bits_of(z) >> sign_shift) & sign_mask))
                if packed:
                    for j in range(8):
                        target[group * 8 + j] = codes[2 * j] | (codes[2 * j + 1] << np.uint8(4))
                else:
                    for j in range(16):
                        target[group * 16 + j] = codes[j]

    return nearest


@lru_cache(maxsize=64)
def _nearest_kernel(fmt: FloatFormat, *, packed: bool) -> Any:
    """The kernel with one format's numbers compiled in (as arguments they cost half of the speed)."""
    shift = np.int32(23 - fmt.mantissa_bits)
    half = np.int32((1 << (22 - fmt.mantissa_bits)) - 1)
    rebias = np.int32((127 - fmt.bias) << 23)
    largest = np.float32(fmt.max).view(np.int32)
    min_normal = np.float32(fmt.min_normal).view(np.int32)
    magic = np.float32(1.5 * 2.0**23 * fmt.min_normal * 2.0**-fmt.mantissa_bits)
    magic_bits = magic.view(np.int32)
    sign_shift, sign_mask = np.int32(31 - fmt.magnitude_bits), np.int32(fmt.sign_mask)
    one, all_but_sign = np.int32(1), np.int32(0x7FFFFFFF)

    @kernel
    def nearest(x: Any, factor: Any, rows: Any, cols: Any, out: Any) -> None:
        codes = np.empty(16, np.uint8)
        for row in range(x.shape[0]):
            line, target, scales = x[row], out[row], factor[row // rows]
            block, left = -1, 0
            for group in range(line.size // 16):  # indexed so that numba sees non-negative offsets and vectorizes
                if left == 0:
                    block, left = block + 1, cols // 16
                    scale = scales[block]
                left -= 1
                for j in range(16):
                    bits = bits_of(line[group * 16 + j] * scale)
                    clamped = min(bits & all_but_sign, largest)
                    normal = clamped - rebias
                    normal = (normal + half + ((normal >> shift) & one)) >> shift
                    subnormal = bits_of(float_of(clamped) + magic) - magic_bits
                    code = subnormal if clamped < min_normal else normal
                    codes[j] = np.uint8(code | ((bits >> sign_shift) & sign_mask))
                if packed:
                    for j in range(8):
                        target[group * 8 + j] = codes[2 * j] | (codes[2 * j + 1] << np.uint8(4))
                else:
                    for j in range(16):
                        target[group * 16 + j] = codes[j]

    return nearest


@kernel
def _thresholds(
    x: Any,
    factor: Any,
    rows: int,
    cols: int,
    divides: bool,
    positive: Any,
    negative: Any,
    sign: int,
    nan: int,
    out: Any,
) -> None:
    bits, count = np.empty(SPAN, np.int32), np.empty(SPAN, np.int32)
    for row in range(x.shape[0]):
        line, scales = x[row], factor[row // rows]
        for start in range(0, line.size, SPAN):
            size = min(SPAN, line.size - start)
            for j in range(size):
                scale = scales[(start + j) // cols]
                bits[j] = bits_of(line[start + j] / scale if divides else line[start + j] * scale)
                count[j] = 0
            for k in range(positive.size):
                above, below = positive[k], negative[k]
                for j in range(size):
                    threshold = below if bits[j] < 0 else above
                    count[j] += np.int32((bits[j] & np.int32(0x7FFFFFFF)) >= threshold)
            for j in range(size):
                is_nan = (bits[j] & np.int32(0x7FFFFFFF)) > np.int32(0x7F800000)
                signed = count[j] | (sign if bits[j] < 0 else 0)
                out[row, start + j] = np.uint8(nan if is_nan else signed)
