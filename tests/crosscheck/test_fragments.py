"""The layout of registers against CUTLASS's description of the same instruction, which is written another way."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fp4sim.mma import fragments


def cute(shape: tuple[int, ...], stride: tuple[int, ...], index: int) -> int:
    """The offset of a coordinate that counts through a shape, the first mode fastest."""
    offset = 0
    for size, step in zip(shape, stride, strict=True):
        offset += index % size * step
        index //= size
    return offset


def nibbles(registers: np.ndarray) -> np.ndarray:
    return np.asarray(registers[..., None] >> 4 * np.arange(8, dtype=np.uint32) & 15).reshape(*registers.shape[:-1], -1)


def test_a_and_b_lie_as_in_cutlass() -> None:
    """SM120_16x8x64_TN_VS: A (T32,V32)->(M16,K64) ((4,8),(8,2,2)):((128,1),(16,8,512)); B ((4,8),(8,2)):((64,1),(8,256))."""
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 16, (rows, 64)).astype(np.uint8) for rows in (16, 8))
    packed = [codes[:, 0::2] | codes[:, 1::2] << 4 for codes in (a, b)]
    found_a = nibbles(fragments.pack_a(fragments.words_of(packed[0])))
    found_b = nibbles(fragments.pack_b(fragments.words_of(packed[1])))
    for lane in range(32):
        for value in range(32):
            column, row = divmod(cute((4, 8), (128, 1), lane) + cute((8, 2, 2), (16, 8, 512), value), 16)
            assert found_a[lane, value] == a[row, column]
        for value in range(16):
            column, row = divmod(cute((4, 8), (64, 1), lane) + cute((8, 2), (8, 256), value), 8)
            assert found_b[lane, value] == b[row, column]


def test_scales_lie_as_in_cutlass() -> None:
    """SFA (T32,V64)->(M16,K64): threads ((2,2,8)):((8,0,1)); SFB: threads ((4,8)):((0,1))."""
    a, b = np.arange(16, dtype=np.uint32), np.arange(8, dtype=np.uint32)
    for lane in range(32):
        assert fragments.pack_scale_a(a)[lane] == cute((2, 2, 8), (8, 0, 1), lane)
        assert fragments.pack_scale_b(b)[lane] == cute((4, 8), (0, 1), lane)


@given(st.integers(0, 2**32 - 1))
def test_the_accumulator_comes_back(seed: int) -> None:
    c = np.random.default_rng(seed).integers(0, 1 << 32, (3, 16, 8), dtype=np.uint64).astype(np.uint32)
    registers = fragments.pack_c(c)
    assert registers.shape == (3, 32, 4)
    np.testing.assert_array_equal(fragments.unpack_d(registers), c)
    assert registers[1, 13, 2] == c[1, 13 // 4 + 8, 2 * (13 % 4)]
