"""Scale layouts: the formula against a walk over tiles and against torchao's permutation, round trips, padding, errors."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fp4sim
from fp4sim.errors import UsageError
from fp4sim.layouts import LAYOUTS, offsets, padded_shape, swizzle, unswizzle

TILE_ROWS = {"128x4": 128, "8x4": 8}


def walk(layout, rows, cols):
    """(row, column) of each byte of the buffer in order: tiles row by row, then what is inside a tile."""
    height = TILE_ROWS[layout]
    for tile_row, tile_col in itertools.product(range(-(-rows // height)), range(-(-cols // 4))):
        if layout == "8x4":
            inside = itertools.product(range(8), range(4))
        else:  # 32 lines of 16 bytes: four rows, 32 apart, of four columns each
            inside = ((32 * group + line, col) for line in range(32) for group in range(4) for col in range(4))
        for row, col in inside:
            yield tile_row * height + row, tile_col * 4 + col


def to_blocked(scales):
    """torchao's ``to_blocked`` (prototype/mx_formats/utils.py), in NumPy."""
    rows, cols = scales.shape
    row_blocks, col_blocks = -(-rows // 128), -(-cols // 4)
    padded = np.zeros((row_blocks * 128, col_blocks * 4), scales.dtype)
    padded[:rows, :cols] = scales
    blocks = padded.reshape(row_blocks, 128, col_blocks, 4).transpose(0, 2, 1, 3)
    return blocks.reshape(-1, 4, 32, 4).transpose(0, 2, 1, 3).reshape(-1)


def random_scales(rows, cols, seed=0):
    """Bytes without a zero, so that padding shows."""
    return np.random.default_rng(seed).integers(1, 256, (rows, cols), dtype=np.uint8)


sizes = st.tuples(st.integers(1, 300), st.integers(1, 40))


@settings(max_examples=60, deadline=None)
@given(sizes, st.sampled_from(LAYOUTS))
def test_unswizzle_undoes_swizzle(size, layout):
    scales = random_scales(*size)
    buffer = swizzle(scales, layout)
    assert buffer.shape == padded_shape(*size, layout)
    np.testing.assert_array_equal(unswizzle(buffer, *size, layout), scales)
    np.testing.assert_array_equal(unswizzle(buffer.reshape(-1), *size, layout), scales)


@settings(max_examples=40, deadline=None)
@given(sizes, st.sampled_from(sorted(TILE_ROWS)))
def test_swizzle_is_a_walk_over_tiles(size, layout):
    rows, cols = size
    scales = random_scales(rows, cols)
    expected = [scales[r, c] if r < rows and c < cols else 0 for r, c in walk(layout, rows, cols)]
    assert swizzle(scales, layout).reshape(-1).tolist() == expected


@settings(max_examples=40, deadline=None)
@given(sizes)
def test_128x4_is_torchaos_to_blocked(size):
    scales = random_scales(*size)
    np.testing.assert_array_equal(swizzle(scales, "128x4").reshape(-1), to_blocked(scales))


@settings(max_examples=40, deadline=None)
@given(sizes, st.sampled_from(LAYOUTS))
def test_offsets_are_distinct_and_inside_the_buffer(size, layout):
    found = offsets(*size, layout)
    height, width = padded_shape(*size, layout)
    assert np.unique(found).size == size[0] * size[1]
    assert found.min() == 0
    assert found.max() < height * width


@pytest.mark.parametrize("layout", LAYOUTS)
def test_padding_is_zero(layout):
    buffer = swizzle(random_scales(130, 5), layout)
    assert np.count_nonzero(buffer) == 130 * 5
    assert buffer.size == {"linear": 650, "128x4": 256 * 8, "8x4": 136 * 8}[layout]


def test_literal_offsets():
    """A few places by hand: the formulas of the module's text and of CUTLASS's documentation."""
    big = offsets(256, 8, "128x4")
    assert [big[at] for at in [(0, 0), (0, 3), (1, 0), (32, 0), (31, 3), (127, 3), (0, 4), (128, 0), (129, 5)]] == [
        0, 3, 16, 4, 499, 511, 512, 1024, 1553,
    ]  # fmt: skip
    small = offsets(16, 8, "8x4")
    assert [small[at] for at in [(0, 0), (1, 0), (7, 3), (0, 4), (8, 0), (9, 5)]] == [0, 4, 31, 32, 64, 101]


def test_strided_scales_are_laid_out_by_value():
    scales = random_scales(64, 16)
    np.testing.assert_array_equal(swizzle(scales[::2, ::-1], "8x4"), swizzle(scales[::2, ::-1].copy(), "8x4"))
    buffer = swizzle(scales, "128x4")
    np.testing.assert_array_equal(unswizzle(np.asfortranarray(buffer), 64, 16, "128x4"), scales)


@pytest.mark.parametrize("call", [padded_shape, offsets])
def test_an_unknown_layout_lists_the_known_ones(call):
    with pytest.raises(UsageError, match="unknown scale layout '4x4': known are linear 128x4 8x4"):
        call(8, 4, "4x4")


def test_scales_must_be_a_matrix():
    with pytest.raises(UsageError, match=r"must be a matrix, not of shape \(2, 3, 4\)"):
        swizzle(np.ones((2, 3, 4), np.uint8), "linear")


def test_a_buffer_of_another_size_is_refused():
    with pytest.raises(UsageError, match="511 scales are not a 128x4 layout of 100 x 4, which takes 512"):
        unswizzle(np.ones(511, np.uint8), 100, 4, "128x4")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_packed_tensor_lays_out_its_scales(layout):
    x = np.random.default_rng(1).standard_normal((3, 50, 100)).astype(np.float32)
    packed = fp4sim.quantize(x, "nvfp4")
    matrix = packed.block_scale.reshape(150, 7)
    np.testing.assert_array_equal(packed.swizzled_scale(layout), swizzle(matrix, layout))


@pytest.mark.parametrize("spec", ["e2m1", "e2m1/row@e4m3", "e2m1/tensor@e4m3", "e2m1/16@fp32", "e2m1/16@bf16"])
def test_only_one_byte_block_scales_have_a_layout(spec):
    with pytest.raises(UsageError, match="has no 8-bit scale a block to lay out"):
        fp4sim.quantize(np.ones((4, 32), np.float32), spec).swizzled_scale("128x4")
