"""How the operands of ``mma.sync`` lie in the registers of a warp.

PTX ISA, "Matrix fragments for mma.m16n8k64" (E2M1, eight codes a register) and "… m16n8k32" (one code a byte, four a
register), and "Block scaling for mma.sync". A row of A and a column of B are eight 32-bit words in both. With lane =
4 group + place:

* A, register r: row group + 8 (r mod 2), word place + 4 (r div 2); B, register r: column group, word place + 4 r;
* C and D, register r: row group + 8 (r div 2), column 2 place + r mod 2;
* scales, a word a row: of A in the lanes of even place for row group and of odd place for row group + 8, of B in all four
  lanes of column group. The instruction reads two lanes (one lane) of each four, which its selectors choose; all hold the same.

In a word the first element or scale has the lowest bits. In a byte of its own an E2M1 code has bits 5 to 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Words = NDArray[np.uint32]

ROWS, COLUMNS, LANES, WORDS = 16, 8, 32, 8

_LANE = np.arange(LANES)
_GROUP, _PLACE = _LANE // 4, _LANE % 4


def words_of(rows: NDArray[np.uint8]) -> Words:
    """Bytes (…, 4 n), packed codes or scales, as words (…, n), the first byte lowest."""
    return np.ascontiguousarray(rows).view("<u4").astype(np.uint32)


def in_bytes(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """E2M1 codes (…, K) as the bytes that ``kind::mxf8f6f4`` takes."""
    return np.asarray(codes << np.uint8(2), np.uint8)


def pack_a(words: Words) -> Words:
    """(…, 16 rows, 8 words) as registers (…, 32 lanes, 4)."""
    register = np.arange(4)
    return words[..., _GROUP[:, None] + 8 * (register % 2), _PLACE[:, None] + 4 * (register // 2)]


def pack_b(words: Words) -> Words:
    """(…, 8 columns, 8 words) as registers (…, 32 lanes, 2)."""
    return words[..., _GROUP[:, None], _PLACE[:, None] + 4 * np.arange(2)]


def pack_c(c: Words) -> Words:
    """(…, 16, 8) as registers (…, 32 lanes, 4)."""
    return c[(..., *_places_of_c())]


def unpack_d(registers: Words) -> Words:
    """The inverse of :func:`pack_c`."""
    d = np.empty((*registers.shape[:-2], ROWS, COLUMNS), registers.dtype)
    d[(..., *_places_of_c())] = registers
    return d


def pack_scale_a(words: Words) -> Words:
    """A scale word a row, (…, 16), as registers (…, 32 lanes)."""
    return words[..., _GROUP + 8 * (_PLACE % 2)]


def pack_scale_b(words: Words) -> Words:
    """A scale word a column, (…, 8), as registers (…, 32 lanes)."""
    return words[..., _GROUP]


def _places_of_c() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    register = np.arange(4)
    return _GROUP[:, None] + 8 * (register // 2), 2 * _PLACE[:, None] + register % 2
