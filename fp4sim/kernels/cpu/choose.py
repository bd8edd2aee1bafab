"""Four-over-six, compiled: the errors of both encodings of a block in one pass, in the order of reference/choose.py."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.kernels.cpu.jit import bits_of, float_of, inlined, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.floats import FloatFormat
    from fp4sim.kernels.interface import Criterion

LANES = 16


def can_choose(tile: tuple[int, int]) -> bool:
    """Whether the compiled path covers a tile: 16 columns, and rows that are a power of two."""
    return tile[1] == LANES and tile[0] & (tile[0] - 1) == 0


def choose(
    x: NDArray[np.float32],
    codes: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    scales: tuple[NDArray[np.float32], NDArray[np.float32]],
    group: tuple[NDArray[np.float32], np.float32],
    tile: tuple[int, int],
    fmt: FloatFormat,
    criterion: Criterion,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """See :meth:`fp4sim.kernels.interface.Kernels.choose`."""
    shape = scales[0].shape
    factor = np.ascontiguousarray(np.broadcast_to(group[0], shape), np.float32)
    out, other = np.empty(x.shape, np.uint8), np.empty(shape, np.bool_)
    _kernel(fmt, criterion)(x, *codes, *scales, factor, group[1], tile[0], out, other)
    return out, other


@inlined
def _value(code: Any, shift: Any, rebias: Any, first_normal: Any, quantum: Any, sign_mask: Any, sign_shift: Any) -> Any:
    """The float32 value of a code, put together from its bits, which vectorizes."""
    magnitude = np.int32(code & (sign_mask - np.int32(1)))
    normal = float_of(np.int32(np.int32(magnitude << shift) + rebias))
    value = np.float32(magnitude) * quantum if magnitude < first_normal else normal
    return float_of(np.int32(bits_of(value) | np.int32((code & sign_mask) << sign_shift)))


@inlined
def _term(x: Any, value: Any, scale: Any, factor: Any, reach: Any, exact: bool, scaled: bool, squared: bool) -> Any:
    """An element's share of its block's error."""
    if exact:
        d = abs(((value * scale) * factor) / reach - x)
    elif scaled:
        d = abs(value * scale - x * factor)
    else:
        d = abs(x - value * (scale * factor))
    return d * d if squared else d


@lru_cache(maxsize=16)
def _kernel(fmt: FloatFormat, criterion: Criterion) -> Any:
    """The kernel of one format and criterion. Helpers stand outside: numba's cache takes one among the constants for new."""
    shift = np.int32(23 - fmt.mantissa_bits)
    rebias = np.int32((127 - fmt.bias) << 23)
    first_normal = np.int32(1 << fmt.mantissa_bits)
    quantum = np.float32(fmt.min_normal * 2.0**-fmt.mantissa_bits)
    sign_mask, sign_shift = np.int32(fmt.sign_mask), np.int32(31 - fmt.magnitude_bits)
    squared, largest = criterion.metric == "mse", criterion.metric == "absmax"
    exact, scaled = criterion.order == "exact", criterion.order == "scaled"

    @kernel
    def choose_blocks(
        x: Any,
        first: Any,
        second: Any,
        scale1: Any,
        scale2: Any,
        factor: Any,
        reach: Any,
        rows: Any,
        out: Any,
        other: Any,
    ) -> None:
        by_row1, by_row2 = np.empty(rows, np.float32), np.empty(rows, np.float32)
        term1, term2 = np.empty(16, np.float32), np.empty(16, np.float32)
        for tile in range(other.shape[0]):
            for block in range(other.shape[1]):
                s1, s2, a = scale1[tile, block], scale2[tile, block], factor[tile, block]
                for r in range(rows):
                    line, code1, code2 = x[tile * rows + r], first[tile * rows + r], second[tile * rows + r]
                    for j in range(16):
                        c1, c2 = np.int32(code1[block * 16 + j]), np.int32(code2[block * 16 + j])
                        v1 = _value(c1, shift, rebias, first_normal, quantum, sign_mask, sign_shift)
                        v2 = _value(c2, shift, rebias, first_normal, quantum, sign_mask, sign_shift)
                        term1[j] = _term(line[block * 16 + j], v1, s1, a, reach, exact, scaled, squared)
                        term2[j] = _term(line[block * 16 + j], v2, s2, a, reach, exact, scaled, squared)
                    e1, e2 = np.float32(0), np.float32(0)
                    for j in range(16):
                        e1 = max(e1, term1[j]) if largest else e1 + term1[j]
                        e2 = max(e2, term2[j]) if largest else e2 + term2[j]
                    by_row1[r], by_row2[r] = e1, e2
                width = rows // 2
                while width > 0:
                    for r in range(width):
                        a1, b1 = by_row1[r], by_row1[r + width]
                        a2, b2 = by_row2[r], by_row2[r + width]
                        by_row1[r] = max(a1, b1) if largest else a1 + b1
                        by_row2[r] = max(a2, b2) if largest else a2 + b2
                    width //= 2
                chosen = by_row2[0] < by_row1[0]
                other[tile, block] = chosen
                for r in range(rows):
                    target, code1, code2 = out[tile * rows + r], first[tile * rows + r], second[tile * rows + r]
                    for j in range(16):
                        target[block * 16 + j] = code2[block * 16 + j] if chosen else code1[block * 16 + j]

    return choose_blocks
