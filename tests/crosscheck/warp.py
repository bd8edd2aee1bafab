"""A warp's mma.sync on the CPU, written from PTX's own formulas, element by element, and so apart from fp4sim/mma/fragments.py.

PTX ISA 9.0, "Matrix fragments for mma.m16n8k64 with .e2m1" and "… mma.m16n8k32 with 8-bit types", "Block scaling": with
groupID = lane >> 2 and threadID_in_group = lane % 4. The selectors are 0: of each four lanes the first two hold the scales of
A's rows groupID and groupID + 8, the first those of B's column.
"""

from __future__ import annotations

import numpy as np

from fp4sim.mma import MmaModel, block_scaled_mma


def _a_place(lane: int, i: int, width: int) -> tuple[int, int]:
    group, thread, half = lane >> 2, lane % 4, 4 * width
    row = group if i < width or 2 * width <= i < 3 * width else group + 8
    column = thread * width + i % width + (0 if i < 2 * width else half)
    return row, column


def _b_place(lane: int, i: int, width: int) -> tuple[int, int]:
    row = (lane % 4) * width + i % width + (0 if i < width else 4 * width)
    return lane >> 2, row


def _c_place(lane: int, i: int) -> tuple[int, int]:
    return (lane >> 2) + (0 if i < 2 else 8), (lane % 4) * 2 + (i & 1)


def _element(registers: np.ndarray, i: int, bits: int) -> int:
    width = 32 // bits
    return int(registers[i // width]) >> bits * (i % width) & ((1 << bits) - 1)


def mma(
    a: np.ndarray,
    b: np.ndarray,
    scale_a: np.ndarray,
    scale_b: np.ndarray,
    c: np.ndarray,
    *,
    scales: int,
    scale_format: str,
    model: str | MmaModel,
    bits: int = 4,
) -> np.ndarray:
    """D's registers (32, 4) of one instruction from a (32, 4), b (32, 2), scale words (32,) and c (32, 4)."""
    width = 32 // bits
    k = 8 * width
    codes_a, codes_b = np.zeros((16, k), np.uint8), np.zeros((8, k), np.uint8)
    words = np.zeros((16, 8), np.uint32)
    for lane in range(32):
        for i in range(4 * width):
            codes_a[_a_place(lane, i, width)] = _element(a[lane], i, bits)
        for i in range(2 * width):
            codes_b[_b_place(lane, i, width)] = _element(b[lane], i, bits)
        for i in range(4):
            words[_c_place(lane, i)] = c[lane, i]
    if bits == 8:  # 0b00cccc00
        assert not (codes_a & 0b11000011).any()
        assert not (codes_b & 0b11000011).any()
        codes_a, codes_b = codes_a >> 2, codes_b >> 2
    rows_a = [scale_a[4 * (row % 8) + (1 if row >= 8 else 0)] for row in range(16)]
    rows_b = [scale_b[4 * column] for column in range(8)]
    bytes_a, bytes_b = (
        np.array([[int(word) >> 8 * byte & 0xFF for byte in range(scales)] for word in rows], np.uint8)
        for rows in (rows_a, rows_b)
    )
    packed = [codes[:, 0::2] | codes[:, 1::2] << 4 for codes in (codes_a, codes_b)]
    given = {"scale_format": scale_format, "block": k // scales, "model": model, "threads": 1}
    d = block_scaled_mma(*packed, words, bytes_a, bytes_b, **given).view(np.uint32)
    out = np.zeros((32, 4), np.uint32)
    for lane in range(32):
        for i in range(4):
            out[lane, i] = d[_c_place(lane, i)]
    return out
