"""A matrix as one row a block, and back: the arrangement in which a dump is compared and explained."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.geometry import Geometry

Scalar = TypeVar("Scalar", bound=np.generic)


def to_blocks(matrix: NDArray[Scalar], geometry: Geometry) -> NDArray[Scalar]:
    """(rows, length) as (blocks, elements of a block) in the order of the block scales, padded with zeros."""
    block = geometry.block
    if block.kind != "tile":
        return matrix if block.kind == "row" else matrix.reshape(1, -1)
    height, width = block.rows, block.cols
    across = -(-geometry.length // width)
    rows = geometry.matrix_rows if height > 1 else geometry.rows
    down = -(-rows // height)
    matrices = geometry.rows // rows
    if (down * height, across * width) != (rows, geometry.length):
        padded = np.zeros((matrices, down * height, across * width), matrix.dtype)
        padded[:, :rows, : geometry.length] = matrix.reshape(matrices, rows, geometry.length)
        matrix = padded
    tiles = matrix.reshape(matrices, down, height, across, width)
    return np.ascontiguousarray(tiles.transpose(0, 1, 3, 2, 4)).reshape(-1, height * width)


def to_matrix(blocks: NDArray[Scalar], geometry: Geometry) -> NDArray[Scalar]:
    """The inverse of :func:`to_blocks`, less the padding."""
    block = geometry.block
    if block.kind != "tile":
        return blocks.reshape(geometry.rows, geometry.length)
    height, width = block.rows, block.cols
    across = -(-geometry.length // width)
    rows = geometry.matrix_rows if height > 1 else geometry.rows
    down = -(-rows // height)
    tiles = blocks.reshape(-1, down, across, height, width).transpose(0, 1, 3, 2, 4)
    whole = tiles.reshape(-1, down * height, across * width)[:, :rows, : geometry.length]
    return np.ascontiguousarray(whole).reshape(geometry.rows, geometry.length)


def index_of(block: int, element: int, geometry: Geometry) -> tuple[int, ...]:
    """The tensor index of an element of a block."""
    if geometry.block.kind != "tile":
        row, col = divmod(block * geometry.length + element, geometry.length)
    else:
        height, width = geometry.block.rows, geometry.block.cols
        across = -(-geometry.length // width)
        rows = geometry.matrix_rows if height > 1 else geometry.rows
        matrix, inside = divmod(block, -(-rows // height) * across)
        tile_row, tile_col = divmod(inside, across)
        row = matrix * rows + tile_row * height + element // width
        col = tile_col * width + element % width
    lead: list[int] = []
    for size in reversed(geometry.moved_shape[:-1]):
        row, digit = divmod(row, size)
        lead.append(digit)
    lead.reverse()
    return (*lead[: geometry.axis], col, *lead[geometry.axis :])
