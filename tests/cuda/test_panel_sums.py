"""Rotation, EDEN's products and the error sums of the GPU backend against the reference, their kernels run on the host."""

from __future__ import annotations

import numpy as np
import pytest

from fp4sim.floats import E2M1, E4M3, ELEMENTS
from fp4sim.kernels.cuda.arrays import on_device
from fp4sim.kernels.cuda.kernels import CudaKernels
from fp4sim.kernels.interface import ElementCast
from fp4sim.kernels.reference.kernels import ReferenceKernels
from tests.cuda.test_panel_kernels import factors, panel, same_bits

pytestmark = pytest.mark.usefixtures("host_device")


@pytest.mark.parametrize("size", [2, 4, 8, 16, 32, 64, 128, 256])
@pytest.mark.parametrize("inverse", [False, True])
def test_rotate(size, inverse):
    rng = np.random.default_rng(size)
    x = (rng.standard_normal((9, 256)) * np.exp2(rng.integers(-130, 90, (9, 256)))).astype(np.float32)
    x[0, :200] = 0
    signs = rng.choice(np.array([-1, 1], np.float32), size)
    expected = ReferenceKernels.rotate(x, signs, inverse=inverse)
    same_bits(CudaKernels.rotate(on_device(x), signs, inverse=inverse), expected)


@pytest.mark.parametrize(
    ("tile", "group"), [((1, 16), 16), ((1, 16), 128), ((2, 32), 32), ((1, 12), 12), ((1, 48), 16)]
)
@pytest.mark.parametrize("divides", [False, True])
def test_products(tile, group, divides):
    x = np.tile(panel(tile, 5, nonfinite=False), (1, 8))
    factor = factors(x, tile, divides)
    for fmt in (*ELEMENTS, E4M3):
        cast = ElementCast(fmt, divides=divides)
        codes = ReferenceKernels.encode(x, factor, tile, cast)
        expected = ReferenceKernels.products(x, codes, factor, tile, cast, group)
        same_bits(CudaKernels.products(on_device(x), on_device(codes), factor, tile, cast, group), expected)


@pytest.mark.parametrize(
    ("tile", "cell_rows"),
    [((1, 16), 5), ((1, 32), 64), ((1, 12), 7), ((4, 8), 8), pytest.param((16, 16), 16, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("divides", [False, True])
def test_error_sums(tile, cell_rows, divides):
    x = np.tile(panel(tile, 6, nonfinite=False), (2, 7))
    x = np.where(np.abs(x) < 1e30, x, np.float32(3))
    valid = x.shape[0] - tile[0] + 1, x.shape[1] - 3
    x[valid[0] :], x[:, valid[1] :] = 0, 0
    factor = factors(x, tile, divides)
    amax = ReferenceKernels.block_amax(x, tile)
    with np.errstate(all="ignore"):
        exact = factor.astype(np.float64) if divides else 1 / factor.astype(np.float64)
    decode = np.where(np.arange(factor.size).reshape(factor.shape) % 5 == 0, 0.0, np.minimum(exact, 1e30))
    for fmt in (E2M1, E4M3):
        cast = ElementCast(fmt, divides=divides)
        codes = ReferenceKernels.encode(x, factor, tile, cast)
        given = (factor, decode, amax, tile, cast, valid, cell_rows)
        expected = ReferenceKernels.error_sums(x, codes, *given)
        found = CudaKernels.error_sums(on_device(x), on_device(codes), *given)
        assert len(found) == len(expected)
        for mine, theirs in zip(found, expected, strict=True):
            same_sums(mine, theirs)


def same_sums(mine, theirs):
    """Counts, histograms and the worst element alike, sums to 1e-12 (that of errors, which cancel, of their root)."""
    assert mine.elements == theirs.elements
    assert np.array_equal(mine.counts, theirs.counts)
    assert np.array_equal(mine.occupancy, theirs.occupancy)
    assert mine.worst == theirs.worst
    assert mine.worst_index == theirs.worst_index
    scale = np.abs(theirs.sums)
    scale[3] = np.sqrt(theirs.sums[4] * theirs.elements)
    assert (np.abs(mine.sums - theirs.sums) <= 1e-12 * scale).all(), (mine.sums, theirs.sums)
