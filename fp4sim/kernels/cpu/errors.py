"""The error pass: from x and its codes to float64 sums in 16 lanes, without storing what the codes decode to.

The order of additions is :mod:`fp4sim.stats.sums`'s. A unit of 32 columns is the fast path; units at a row's end, in
lost blocks or with blocks that are not whole 16-column halves take the slow one, which adds in the same order.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.kernels.cpu.jit import bits_of, float_of, inlined, kernel
from fp4sim.stats.sums import LANES, PanelSums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.floats import FloatFormat
    from fp4sim.kernels.interface import ElementCast

SPAN = 2048  # columns decoded at a time, whole units


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
    """See :meth:`fp4sim.kernels.interface.Kernels.error_sums`."""
    rows, cols = valid
    cells = -(-rows // cell_rows)
    sums, counts = np.zeros((cells, 8, LANES)), np.zeros((cells, 3, LANES), np.int32)
    worst, where = np.full(cells, -1.0), np.full(cells, -1, np.int64)
    with np.errstate(divide="ignore"):
        per_amax = np.where(amax > 0, 1.0 / amax.astype(np.float64), 0.0)
    run = _error_kernel(cast.fmt, divides=cast.divides)
    found = (sums.reshape(cells, -1), counts.reshape(cells, -1), worst, where)
    run(x, codes, factor, decode, per_amax, *tile, rows, cols, cell_rows, *found)
    parts = []
    for cell in range(cells):
        start = cell * cell_rows
        size = min(cell_rows, rows - start)
        occupancy = _occupancy(codes[start : start + size], cols, cast.fmt)
        index = int(where[cell]) - start * x.shape[1] if where[cell] >= 0 else -1
        parts.append(PanelSums.from_lanes(size * cols, sums[cell], counts[cell], occupancy, float(worst[cell]), index))
    return parts


@inlined
def _decode(
    code: Any, shift: Any, rebias: Any, first_normal: Any, quantum: Any, sign_mask: Any, sign_shift: Any
) -> Any:
    """The float32 value of a code of up to 8 bits."""
    magnitude = np.int32(code & (sign_mask - np.int32(1)))
    normal = float_of(np.int32(np.int32(magnitude << shift) + rebias))
    plain = np.float32(magnitude) * quantum if magnitude < first_normal else normal
    return float_of(np.int32(bits_of(plain) | np.int32((code & sign_mask) << sign_shift)))


@inlined
def _decode_span(
    codes: Any, value: Any, shift: Any, rebias: Any, first_normal: Any, quantum: Any, sign_mask: Any, sign_shift: Any
) -> None:
    for j in range(codes.size):
        value[j] = _decode(np.int32(codes[j]), shift, rebias, first_normal, quantum, sign_mask, sign_shift)


@kernel
def _occupancy_pairs(pairs: Any, cols: int, bins: Any) -> None:
    for row in range(pairs.shape[0]):
        line = pairs[row]
        for j in range(cols):
            bins[line[j]] += 1


def _occupancy(codes: NDArray[np.uint8], cols: int, fmt: FloatFormat) -> NDArray[np.int64]:
    """Count codes, two at a time where they are nibbles: half as many increments of the same few bins."""
    occupancy = np.zeros(1 << fmt.bits, np.int64)
    even = cols & ~1 if occupancy.size == 16 and codes.shape[1] % 2 == 0 else 0
    if even:
        bins = np.zeros((16, 256), np.int64)
        _occupancy_pairs(codes.view(np.uint16), even // 2, bins.reshape(-1))
        occupancy += bins.sum(axis=0)[:16] + bins.sum(axis=1)
    if even < cols:
        occupancy += np.bincount(codes[:, even:cols].ravel(), minlength=occupancy.size)
    return occupancy


def _adder(divides: bool) -> Any:
    """The function that adds a span; of no format, because compiling it takes longer than a format's own kernel."""

    @kernel
    def add(
        line: Any, value: Any, start: int, size: int, cols: int, scales: Any, decodes: Any, inverses: Any,
        largest: Any, acc: Any, count: Any, part: Any,
    ) -> None:  # fmt: skip
        """Add columns ``start``, ... of a row; ``value`` holds what their codes decode to, before the block's scale."""
        block = start // cols
        left = (cols - start % cols) // 16  # of the unit's two halves; counted, because two divisions a unit are slow
        for unit in range((size + 31) // 32):
            whole = unit * 32 + 32 <= size and cols % 16 == 0
            if whole:
                block0 = block
                left -= 1
                if left == 0:
                    block, left = block + 1, cols // 16
                block1 = block
                left -= 1
                if left == 0:
                    block, left = block + 1, cols // 16
                whole = decodes[block0] != 0.0 and decodes[block1] != 0.0
            if whole:
                s0, d0, i0 = scales[block0], decodes[block0], inverses[block0]
                s1, d1, i1 = scales[block1], decodes[block1], inverses[block1]
                for j in range(16):
                    f0, f1 = line[unit * 32 + j], line[unit * 32 + 16 + j]
                    x0, x1 = np.float64(f0), np.float64(f1)
                    v0, v1 = np.float64(value[unit * 32 + j]) * d0, np.float64(value[unit * 32 + 16 + j]) * d1
                    e0, e1 = v0 - x0, v1 - x1
                    q0, q1 = e0 * e0, e1 * e1
                    z0 = abs(f0 / s0 if divides else f0 * s0)
                    z1 = abs(f1 / s1 if divides else f1 * s1)
                    over0, over1 = z0 > largest, z1 > largest
                    acc[j] += x0 * x0 + x1 * x1
                    acc[16 + j] += x0 * v0 + x1 * v1
                    acc[32 + j] += v0 * v0 + v1 * v1
                    acc[48 + j] += e0 + e1
                    acc[64 + j] += q0 + q1
                    acc[96 + j] += (q0 if over0 else 0.0) + (q1 if over1 else 0.0)
                    acc[112 + j] += (q0 if v0 == 0.0 else 0.0) + (q1 if v1 == 0.0 else 0.0)
                    r0, r1 = abs(e0) * i0, abs(e1) * i1
                    r = r0 if r0 > r1 else r1
                    acc[128 + j] = r if r > acc[128 + j] else acc[128 + j]
                for j in range(16):
                    f0, f1 = line[unit * 32 + j], line[unit * 32 + 16 + j]
                    z0 = abs(f0 / s0 if divides else f0 * s0)
                    z1 = abs(f1 / s1 if divides else f1 * s1)
                    zero0 = np.int32(value[unit * 32 + j] == np.float32(0)) & np.int32(f0 != np.float32(0))
                    zero1 = np.int32(value[unit * 32 + 16 + j] == np.float32(0)) & np.int32(f1 != np.float32(0))
                    count[16 + j] += np.int32(z0 > largest) + np.int32(z1 > largest)
                    count[32 + j] += np.int32(zero0) + np.int32(zero1)
            else:
                for k in range(8):
                    for j in range(32):
                        part[k, j] = 0.0
                for j in range(min(32, size - unit * 32)):
                    col = unit * 32 + j
                    at = (start + col) // cols
                    scale, step, inverse = scales[at], decodes[at], inverses[at]
                    xj, v = np.float64(line[col]), np.float64(value[col]) * step
                    e = v - xj
                    z = abs(line[col] / scale if divides else line[col] * scale)
                    part[0, j], part[1, j], part[2, j] = xj * xj, xj * v, v * v
                    part[3, j], part[4, j] = e, e * e
                    lane = j & 15
                    if step == 0.0:
                        part[5, j] = e * e
                        count[lane] += np.int32(xj != 0.0)
                    elif z > largest:
                        part[6, j] = e * e
                        count[16 + lane] += np.int32(1)
                    elif v == 0.0:
                        part[7, j] = e * e
                        count[32 + lane] += np.int32(xj != 0.0)
                    r = abs(e) * inverse
                    acc[128 + lane] = r if r > acc[128 + lane] else acc[128 + lane]
                for k in range(8):
                    for j in range(16):
                        acc[k * 16 + j] += part[k, j] + part[k, 16 + j]

    return add


_add_divided, _add_multiplied = _adder(True), _adder(False)


@kernel
def _found(line: Any, value: Any, start: int, size: int, cols: int, decodes: Any, inverses: Any, worst: Any) -> int:
    """The first column of a span whose error over its block's amax is ``worst``, or -1."""
    for j in range(size):
        block = (start + j) // cols
        if abs(np.float64(value[j]) * decodes[block] - np.float64(line[j])) * inverses[block] == worst:
            return start + j
    return -1


@lru_cache(maxsize=64)
def _error_kernel(fmt: FloatFormat, *, divides: bool) -> Any:
    """The kernel with one format's numbers compiled in; it fills sums, counts, worst and where, one row a cell."""
    shift = np.int32(23 - fmt.mantissa_bits)
    rebias = np.int32((127 - fmt.bias) << 23)
    first_normal = np.int32(1 << fmt.mantissa_bits)
    quantum = np.float32(fmt.min_normal * 2.0**-fmt.mantissa_bits)
    sign_mask, sign_shift = np.int32(fmt.sign_mask), np.int32(31 - fmt.magnitude_bits)
    largest = np.float32(fmt.max)

    @kernel
    def errors(
        x: Any, codes: Any, factor: Any, decode: Any, per_amax: Any, rows: int, cols: int, valid_rows: int,
        valid_cols: int, cell_rows: int, sums: Any, counts: Any, worst: Any, where: Any,
    ) -> None:  # fmt: skip
        # Sums (0..127) and highest ratios (128..143) in one array: two would have to be proved disjoint for each short loop.
        acc, count, value = np.zeros(144, np.float64), np.zeros(48, np.int32), np.zeros(SPAN, np.float32)
        part = np.zeros((8, 32), np.float64)
        worst_row = -1
        for row in range(valid_rows):
            cell = row // cell_rows
            if row % cell_rows == 0:
                for j in range(128):
                    acc[j] = 0.0
                for j in range(48):
                    count[j] = 0
            for j in range(128, 144):
                acc[j] = -1.0
            of_blocks = factor[row // rows], decode[row // rows], per_amax[row // rows]
            for start in range(0, valid_cols, SPAN):
                size = min(SPAN, valid_cols - start)
                line, piece = x[row, start : start + size], codes[row, start : start + size]
                _decode_span(piece, value, shift, rebias, first_normal, quantum, sign_mask, sign_shift)
                if divides:
                    _add_divided(line, value, start, size, cols, *of_blocks, largest, acc, count, part)
                else:
                    _add_multiplied(line, value, start, size, cols, *of_blocks, largest, acc, count, part)
            for j in range(16):
                if acc[128 + j] > worst[cell]:
                    worst[cell], worst_row = acc[128 + j], row
            if row + 1 == valid_rows or (row + 1) % cell_rows == 0:
                for j in range(128):
                    sums[cell, j] = acc[j]
                for j in range(48):
                    counts[cell, j] = count[j]
                if worst[cell] >= 0.0:
                    # Look again at the one row that holds the worst element: which column was it?
                    there = decode[worst_row // rows], per_amax[worst_row // rows]
                    for start in range(0, valid_cols, SPAN):
                        size = min(SPAN, valid_cols - start)
                        line, piece = x[worst_row, start : start + size], codes[worst_row, start : start + size]
                        _decode_span(piece, value, shift, rebias, first_normal, quantum, sign_mask, sign_shift)
                        col = _found(line, value, start, size, cols, *there, worst[cell])
                        if col >= 0:
                            where[cell] = worst_row * x.shape[1] + col
                            break

    return errors
