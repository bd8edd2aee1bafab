"""Stochastic encoding: the exact position between two codes plus the element's random bits, as integer carries.

The fraction of the position is scaled to the top of 32 bits, cut to the bits in use, and the random word (cut alike) is
added: the carry out is the decision to round away from zero (``cvt.rs``, PTX ISA 9.0). Random words follow
:mod:`fp4sim.randbits`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.kernels.cpu.jit import bits_of, float_of, inlined, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.floats import FloatFormat
    from fp4sim.kernels.interface import ElementCast, Place
    from fp4sim.randbits import Stream

SPAN = 256
_LOW, _32 = np.uint64(0xFFFFFFFF), np.uint64(32)
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)


def encode_stochastic(
    x: NDArray[np.float32],
    factor: NDArray[np.float32],
    tile: tuple[int, int],
    cast: ElementCast,
    stream: Stream,
    place: Place,
    out: NDArray[np.uint8],
) -> None:
    """Fill ``out`` (rows, cols) with codes of fl(x * factor) or fl(x / factor); both must be finite."""
    origin = np.array([place.row0, place.col0, place.length, place.inner], np.int64)
    key = np.array([*stream.key, stream.name, stream.draw], np.uint64)
    _round_kernel(cast.fmt)(x, factor, *tile, cast.divides, cast.random_bits, key, origin, out)


@inlined
def _round(a: Any, b: Any, c: Any, d: Any, key0: Any, key1: Any) -> Any:
    product0 = (a & _LOW) * _M0
    product1 = (c & _LOW) * _M1
    return (product1 >> _32) ^ b ^ key0, product1 & _LOW, (product0 >> _32) ^ d ^ key1, product0 & _LOW


@inlined
def _philox(counter: Any, k0: Any, k1: Any, name: Any, draw: Any) -> Any:
    """Ten rounds, unrolled by hand: as a loop the surrounding loop over counters is not vectorized."""
    a, b, c, d = counter & _LOW, counter >> _32, name, draw
    a, b, c, d = _round(a, b, c, d, k0, k1)
    a, b, c, d = _round(a, b, c, d, (k0 + _W0) & _LOW, (k1 + _W1) & _LOW)
    a, b, c, d = _round(a, b, c, d, (k0 + np.uint64(2) * _W0) & _LOW, (k1 + np.uint64(2) * _W1) & _LOW)
    a, b, c, d = _round(a, b, c, d, (k0 + np.uint64(3) * _W0) & _LOW, (k1 + np.uint64(3) * _W1) & _LOW)
    a, b, c, d = _round(a, b, c, d, (k0 + np.uint64(4) * _W0) & _LOW, (k1 + np.uint64(4) * _W1) & _LOW)
    a, b, c, d = _round(a, b, c, d, (k0 + np.uint64(5) * _W0) & _LOW, (k1 + np.uint64(5) * _W1) & _LOW)
    a, b, c, d = _round(a, b, c, d, (k0 + np.uint64(6) * _W0) & _LOW, (k1 + np.uint64(6) * _W1) & _LOW)
    a, b, c, d = _round(a, b, c, d, (k0 + np.uint64(7) * _W0) & _LOW, (k1 + np.uint64(7) * _W1) & _LOW)
    a, b, c, d = _round(a, b, c, d, (k0 + np.uint64(8) * _W0) & _LOW, (k1 + np.uint64(8) * _W1) & _LOW)
    return _round(a, b, c, d, (k0 + np.uint64(9) * _W0) & _LOW, (k1 + np.uint64(9) * _W1) & _LOW)


@kernel
def _draw(first: Any, size: int, inner: Any, random_bits: Any, key: Any, words: Any, out: Any) -> None:
    """Fill out[:size] with the random words of elements first, first + inner, ..., their bits at the top.

    A function of its own, which every format's kernel calls a span at a time: compiling ten rounds takes seconds.
    """
    k0, k1, name, draw = key[0], key[1], key[2], key[3]
    if inner == 1:
        per_call = 16 if random_bits == 8 else 4
        base, offset = first // per_call, first % per_call
        for call in range((offset + size + per_call - 1) // per_call):
            a, b, c, d = _philox(np.uint64(base) + np.uint64(call), k0, k1, name, draw)
            words[4 * call] = np.uint32(a)
            words[4 * call + 1] = np.uint32(b)
            words[4 * call + 2] = np.uint32(c)
            words[4 * call + 3] = np.uint32(d)
        if random_bits == 8:
            lane_bytes = words.view(np.uint8)[offset : offset + size]
            for j in range(size):
                out[j] = np.uint32(lane_bytes[j]) << np.uint32(24)
        else:
            drawn = words[offset : offset + size]
            for j in range(size):
                out[j] = drawn[j]
    else:
        for j in range(size):
            i = first + j * inner
            quad = _philox(np.uint64(i // 16 if random_bits == 8 else i // 4), k0, k1, name, draw)
            if random_bits == 8:
                chosen = quad[(i // 4) % 4] >> np.uint64(8 * (i % 4))
                out[j] = np.uint32(chosen & np.uint64(0xFF)) << np.uint32(24)
            else:
                out[j] = np.uint32(quad[i % 4])


@lru_cache(maxsize=64)
def _round_kernel(fmt: FloatFormat) -> Any:
    """The kernel with one format's numbers compiled in."""
    shift, up_shift = np.int32(23 - fmt.mantissa_bits), np.uint32(9 + fmt.mantissa_bits)
    rebias = np.int32((127 - fmt.bias) << 23)
    largest = np.float32(fmt.max).view(np.int32)
    min_normal = np.float32(fmt.min_normal).view(np.int32)
    per_quantum = np.float32(2.0**fmt.mantissa_bits / fmt.min_normal)
    sign_shift, sign_mask = np.int32(31 - fmt.magnitude_bits), np.int32(fmt.sign_mask)
    half_word = np.float32(65536)

    @kernel
    def stochastic(
        x: Any, factor: Any, rows: Any, cols: Any, divides: Any, random_bits: Any, key: Any, origin: Any, out: Any
    ) -> None:
        mask = np.uint32((0xFFFFFFFF << (32 - random_bits)) & 0xFFFFFFFF)
        row0, col0, length, inner = origin[0], origin[1], origin[2], origin[3]
        words = np.empty(SPAN + 32, np.uint32)
        scaled, word = np.empty(SPAN, np.float32), np.empty(SPAN, np.uint32)
        for row in range(x.shape[0]):
            line, scales = x[row], factor[row // rows]
            position = row0 + row
            block, left = -1, 0
            for start in range(0, line.size, SPAN):
                size = min(SPAN, line.size - start)
                first = ((position // inner) * length + col0 + start) * inner + position % inner
                _draw(first, size, inner, random_bits, key, words, word)
                piece, target = line[start : start + size], out[row, start : start + size]
                done = 0
                while done < size:
                    if left == 0:
                        block, left = block + 1, cols
                    scale, run = scales[block], min(left, size - done)
                    part, scaled_part = piece[done : done + run], scaled[done : done + run]
                    if divides:
                        for j in range(run):
                            scaled_part[j] = part[j] / scale
                    else:
                        for j in range(run):
                            scaled_part[j] = part[j] * scale
                    done, left = done + run, left - run
                for j in range(size):
                    bits = bits_of(scaled[j])
                    clamped = np.int32(min(bits & np.int32(0x7FFFFFFF), largest))
                    normal = np.int32(clamped - rebias)
                    fraction_normal = np.uint32(np.uint32(normal) << up_shift)
                    quanta = float_of(clamped) * per_quantum
                    lower_subnormal = np.int32(quanta)
                    high = (quanta - np.float32(lower_subnormal)) * half_word
                    whole = np.int32(high)
                    rest = np.int32((high - np.float32(whole)) * half_word)
                    fraction_subnormal = np.uint32(np.uint32(np.uint32(whole) << np.uint32(16)) | np.uint32(rest))
                    is_subnormal = clamped < min_normal
                    lower = lower_subnormal if is_subnormal else np.int32(normal >> shift)
                    fraction = np.uint32((fraction_subnormal if is_subnormal else fraction_normal) & mask)
                    carried = np.uint32(fraction + np.uint32(word[j] & mask))
                    code = np.int32(lower + np.int32(carried < fraction))
                    target[j] = np.uint8(code | ((bits >> sign_shift) & sign_mask))

    return stochastic
