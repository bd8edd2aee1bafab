"""Where blocks and chunks lie: the grids cover the matrix exactly once in whole blocks, and indices lead back."""

import math
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fp4sim import geometry as geometry_module
from fp4sim.errors import UsageError
from fp4sim.geometry import CELL_ELEMENTS, PIECE_ELEMENTS, Cell, Geometry
from fp4sim.kernels.reference.kernels import element_index
from fp4sim.spec import Block

NONE, ROW, TENSOR = Block("none"), Block("row"), Block("tensor")


def tile(rows, cols):
    return Block("tile", rows, cols)


TILES = [(1, 2), (1, 6), (1, 16), (1, 32), (1, 128), (2, 4), (3, 16), (16, 16)]
BLOCKS = [NONE, ROW, TENSOR, *(tile(rows, cols) for rows, cols in TILES)]

shapes = st.lists(st.integers(1, 40), min_size=1, max_size=4).filter(lambda shape: math.prod(shape) <= 6000).map(tuple)


@st.composite
def geometries(draw):
    shape = draw(shapes)
    block = draw(st.sampled_from(BLOCKS if len(shape) > 1 else [b for b in BLOCKS if b.rows == 1]))
    spans = block.kind == "tile" and block.rows == 1 and draw(st.booleans())
    span = block.cols * draw(st.integers(1, 4)) if spans else 0
    return Geometry.of(shape, draw(st.integers(-len(shape), len(shape) - 1)), block, span)


def small_cells(cell=64, piece=256):
    """Grids small enough that a small tensor has many cells."""
    return patch.multiple(geometry_module, CELL_ELEMENTS=cell, PIECE_ELEMENTS=piece)


def cells_of_run(run):
    """The cells that a run stands for."""
    whole = run.whole
    return [
        Cell(row, min(run.cell_rows, whole.row0 + whole.rows - row), whole.col0, whole.cols)
        for row in range(whole.row0, whole.row0 + whole.rows, run.cell_rows)
    ]


def block_ids(geometry):
    """The block of every element of the matrix, numbered anew in each matrix of a higher-rank tensor (brute force)."""
    block, ids = geometry.block, np.empty((geometry.rows, geometry.length), np.int64)
    per_row = -(-geometry.length // block.cols)
    height = geometry.matrix_rows if block.rows > 1 else geometry.rows
    per_matrix = -(-height // block.rows)
    for row in range(geometry.rows):
        matrix, inside = divmod(row, height)
        for col in range(geometry.length):
            ids[row, col] = (matrix * per_matrix + inside // block.rows) * per_row + col // block.cols
    return ids


@settings(max_examples=150, deadline=None)
@given(geometries())
def test_pieces_and_runs_cover_the_matrix_exactly_once(geometry):
    with small_cells():
        grids = [geometry.pieces, tuple(cell for run in geometry.runs for cell in cells_of_run(run))]
    for grid in grids:
        seen = np.zeros((geometry.rows, geometry.length), np.int64)
        for cell in grid:
            assert cell.rows > 0
            assert cell.cols > 0
            seen[cell.row0 : cell.row0 + cell.rows, cell.col0 : cell.col0 + cell.cols] += 1
        assert (seen == 1).all()


@settings(max_examples=100, deadline=None)
@given(geometries().filter(lambda geometry: geometry.block.kind == "tile"))
def test_cells_hold_whole_blocks_and_whole_tensor_scale_groups(geometry):
    ids = block_ids(geometry)
    groups = np.arange(geometry.length) // geometry.span if geometry.span else np.zeros(geometry.length, int)
    with small_cells():
        grids = [geometry.pieces, tuple(cell for run in geometry.runs for cell in cells_of_run(run))]
    for grid in grids:
        owner = np.full(ids.max() + 1, -1)
        for number, cell in enumerate(grid):
            columns = slice(cell.col0, cell.col0 + cell.cols)
            inside = np.unique(ids[cell.row0 : cell.row0 + cell.rows, columns])
            assert (owner[inside] == -1).all(), "a block is split between cells"
            owner[inside] = number
            if geometry.span:
                outside = np.r_[groups[: cell.col0], groups[cell.col0 + cell.cols :]]
                assert not np.isin(groups[columns], outside).any(), "a tensor-scale group is split between cells"


@settings(max_examples=100, deadline=None)
@given(geometries().filter(lambda geometry: geometry.block.rows > 1))
def test_tiles_never_straddle_matrices(geometry):
    with small_cells():
        cells = [*geometry.pieces, *(run.whole for run in geometry.runs)]
    for cell in cells:
        assert cell.row0 // geometry.matrix_rows == (cell.row0 + cell.rows - 1) // geometry.matrix_rows
        assert cell.row0 % geometry.matrix_rows % geometry.block.rows == 0


@settings(max_examples=100, deadline=None)
@given(geometries().filter(lambda geometry: geometry.block.kind == "tile"))
def test_blocks_of_cells_tile_the_block_matrix(geometry):
    ids, per_row = block_ids(geometry), -(-geometry.length // geometry.block.cols)
    seen = np.zeros(geometry.block_matrix, np.int64)
    with small_cells():
        cells = geometry.pieces
    for cell in cells:
        rows, cols = geometry.blocks_of(cell)
        seen[rows, cols] += 1
        height, width = geometry.padded(cell)
        for r in range(0, cell.rows, geometry.block.rows):
            for c in range(0, cell.cols, geometry.block.cols):
                block = ids[cell.row0 + r, cell.col0 + c]
                assert rows.start + r // geometry.block.rows == block // per_row
                assert cols.start + c // geometry.block.cols == block % per_row
        assert (rows.stop - rows.start, cols.stop - cols.start) == (
            height // geometry.block.rows,
            width // geometry.block.cols,
        )
    assert (seen == 1).all()
    assert math.prod(geometry.block_shape) == ids.max() + 1


def brute_matrix(geometry):
    """The flat tensor index of every element of the matrix."""
    index = np.arange(math.prod(geometry.shape)).reshape(geometry.shape)
    return np.moveaxis(index, geometry.axis, -1).reshape(geometry.rows, geometry.length)


@settings(max_examples=100, deadline=None)
@given(geometries(), st.data())
def test_index_of_is_the_index_before_the_axis_moved(geometry, data):
    with small_cells():
        cell = data.draw(st.sampled_from(geometry.pieces))
    width, matrix = geometry.padded(cell)[1], brute_matrix(geometry)
    row, col = data.draw(st.integers(0, cell.rows - 1)), data.draw(st.integers(0, cell.cols - 1))
    index = geometry.index_of(cell, row * width + col)
    assert len(index) == len(geometry.shape)
    assert np.ravel_multi_index(index, geometry.shape) == matrix[cell.row0 + row, cell.col0 + col]


@settings(max_examples=100, deadline=None)
@given(geometries())
def test_place_finds_every_element_of_the_random_stream(geometry):
    matrix = brute_matrix(geometry)
    with small_cells():
        cells = [*geometry.pieces, *(run.whole for run in geometry.runs)]
    for cell in cells:
        found = element_index((cell.rows, cell.cols), geometry.place(cell))
        np.testing.assert_array_equal(
            found, matrix[cell.row0 : cell.row0 + cell.rows, cell.col0 : cell.col0 + cell.cols]
        )


@settings(max_examples=100, deadline=None)
@given(geometries())
def test_shapes_agree_with_numpy(geometry):
    moved = np.moveaxis(np.empty(geometry.shape, np.bool_), geometry.axis, -1)
    assert geometry.moved_shape == moved.shape
    assert (geometry.rows, geometry.length) == (moved.size // moved.shape[-1], moved.shape[-1])
    assert geometry.inner == np.empty(geometry.shape, np.int8).strides[geometry.axis]
    assert geometry.matrix_rows == (moved.shape[-2] if moved.ndim > 1 else 1)
    assert geometry.padded_length >= geometry.stored_length >= geometry.length
    assert geometry.stored_length % 2 == 0


BIG_SHAPES = [
    (4096, 4096),
    (3, 1 << 21),
    (1 << 21, 3),
    (5, 700, 1000),
    (1, 262145),
    (262144, 1),
    (50257, 768),
    (7, 333333),
]


@pytest.mark.parametrize("block", [*BLOCKS, tile(128, 128), tile(1, 4096), tile(16, 16384)], ids=str)
@pytest.mark.parametrize("shape", BIG_SHAPES, ids=str)
def test_cells_are_bounded_and_fill_large_tensors(shape, block):
    geometry = Geometry.of(shape, -1, block)
    unit = geometry.block_rows * math.lcm(32, block.cols if block.kind == "tile" else 1)
    cells = [cell for run in geometry.runs for cell in cells_of_run(run)]
    for grid, most in [(cells, CELL_ELEMENTS), (geometry.pieces, PIECE_ELEMENTS)]:
        assert sum(cell.rows * cell.cols for cell in grid) == math.prod(shape)
        assert max(math.prod(geometry.padded(cell)) for cell in grid) <= max(most, unit)
    assert max(math.prod(geometry.padded(run.whole)) for run in geometry.runs) <= max(PIECE_ELEMENTS, unit)


def test_the_grid_is_fixed():
    """The cut decides the digits of every report: changing it changes results."""
    geometry = Geometry.of((1000, 1000), -1, tile(1, 16))
    cells = [cell for run in geometry.runs for cell in cells_of_run(run)]
    assert cells == [Cell(0, 260, 0, 1000), Cell(260, 260, 0, 1000), Cell(520, 260, 0, 1000), Cell(780, 220, 0, 1000)]
    wide = [run.whole for run in Geometry.of((2, 300_000), -1, tile(1, 16)).runs]
    assert wide == [Cell(r, 1, c, n) for r in (0, 1) for c, n in [(0, 262144), (262144, 37856)]]


@pytest.mark.parametrize(
    ("shape", "axis", "block", "says"),
    [
        ((), -1, NONE, r"shape \(\) has no elements"),
        ((0,), 0, NONE, r"shape \(0,\) has no elements"),
        ((4, 0, 2), 0, ROW, "has no elements"),
        ((4, 4), 2, ROW, r"axis 2 is not one of shape \(4, 4\)"),
        ((4, 4), -3, ROW, "axis -3"),
        ((64,), 0, tile(16, 16), r"/16x16 tiles need at least 2 axes, the shape is \(64,\)"),
    ],
)
def test_what_has_no_blocks_is_refused(shape, axis, block, says):
    with pytest.raises(UsageError, match=says):
        Geometry.of(shape, axis, block)
