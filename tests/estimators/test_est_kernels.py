"""The compiled primitives of estimators are bit-equal to the reference: rotation, products, choice, values, drawn scales."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fp4sim.floats import ELEMENTS, element_format, scale_format
from fp4sim.kernels.cpu.kernels import CpuKernels
from fp4sim.kernels.interface import Criterion, ElementCast, Place
from fp4sim.kernels.reference.encode import decode
from fp4sim.kernels.reference.kernels import ReferenceKernels
from fp4sim.randbits import Stream
from fp4sim.rounding import Rounding

E2M1, E0M3 = element_format("e2m1"), element_format("e0m3")
SIZES = [2, 4, 8, 16, 32, 64, 128, 256]
SEEDS = st.integers(0, 2**32 - 1)


def values(rng: np.random.Generator, shape: tuple[int, int], kind: str) -> np.ndarray:
    x = rng.standard_normal(shape).astype(np.float32)
    if kind == "ties":
        x = (rng.integers(-48, 49, shape) / 8).astype(np.float32)
    elif kind == "spread":
        x *= np.exp2(rng.integers(-140, 100, shape)).astype(np.float32)
    elif kind == "sparse":
        x[rng.random(shape) < 0.9] = rng.choice([0.0, -0.0])
    return x


KINDS = st.sampled_from(["normal", "ties", "spread", "sparse"])


def assert_same_bits(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    word = {4: np.uint32, 8: np.uint64}[ours.itemsize]
    np.testing.assert_array_equal(np.ascontiguousarray(ours).view(word), np.ascontiguousarray(theirs).view(word))


@pytest.mark.parametrize("size", SIZES)
@settings(max_examples=12)
@given(rows=st.integers(1, 4), groups=st.integers(1, 4), kind=KINDS, inverse=st.booleans(), seed=SEEDS)
def test_rotation(size: int, rows: int, groups: int, kind: str, inverse: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = values(rng, (rows, groups * size), kind)
    signs = rng.choice(np.array([1, -1], np.float32), size)
    ours = CpuKernels.rotate(x, signs, inverse=inverse)
    assert_same_bits(ours, ReferenceKernels.rotate(x, signs, inverse=inverse))
    assert ours is not x


# (tile, group): groups of one block, of several, shorter than 16 and of no whole lanes (left to the reference)
GROUPS = [((1, 16), 16), ((1, 16), 32), ((1, 16), 128), ((1, 32), 32), ((1, 128), 128), ((1, 64), 128), ((1, 8), 8)]
GROUPS += [((1, 12), 12), ((1, 24), 48), ((1, 40), 40), ((2, 16), 32), ((1, 256), 256)]


@settings(max_examples=60)
@given(
    shape=st.sampled_from(GROUPS),
    rows=st.integers(1, 3),
    count=st.integers(1, 4),
    divides=st.booleans(),
    fmt=st.sampled_from([E2M1, E0M3]),
    kind=KINDS,
    seed=SEEDS,
)
def test_products(
    shape: tuple[tuple[int, int], int], rows: int, count: int, divides: bool, fmt: object, kind: str, seed: int
) -> None:
    tile, group = shape
    rng = np.random.default_rng(seed)
    x = values(rng, (rows * tile[0], count * group), kind)
    factor = np.exp2(rng.uniform(-20, 20, (rows, x.shape[1] // tile[1]))).astype(np.float32)
    cast = ElementCast(fmt, divides=divides)
    codes = ReferenceKernels.encode(x, factor, tile, cast)
    ours = CpuKernels.products(x, codes, factor, tile, cast, group)
    assert ours.shape == (2, x.shape[0], count)
    assert_same_bits(ours, ReferenceKernels.products(x, codes, factor, tile, cast, group))


def test_products_are_the_inner_products() -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((3, 64)).astype(np.float32)
    factor = np.exp2(rng.integers(-3, 4, (3, 4))).astype(np.float32)  # powers of two: z is exact
    cast = ElementCast(E2M1)
    codes = ReferenceKernels.encode(x, factor, (1, 16), cast)
    z = x.astype(np.float64) * factor.repeat(16, axis=1)
    found = ReferenceKernels.products(x, codes, factor, (1, 16), cast, 32)
    for index, other in enumerate((z, decode(codes, E2M1))):
        want = (z * other).reshape(3, 2, 32).sum(axis=2)
        np.testing.assert_allclose(found[index], want, rtol=1e-14)


TILES = [(1, 16), (16, 16), (2, 16), (3, 16), (1, 32), (1, 12), (5, 6)]


@settings(max_examples=60)
@given(
    tile=st.sampled_from(TILES),
    rows=st.integers(1, 3),
    count=st.integers(1, 4),
    metric=st.sampled_from(["mse", "mae", "absmax"]),
    order=st.sampled_from(["exact", "scaled", "product"]),
    one_amax=st.booleans(),
    kind=KINDS,
    seed=SEEDS,
)
def test_choice(
    tile: tuple[int, int], rows: int, count: int, metric: str, order: str, one_amax: bool, kind: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = values(rng, (rows * tile[0], count * tile[1]), kind)
    codes = tuple(rng.integers(0, 16, x.shape, dtype=np.uint8) for _ in range(2))
    scales = tuple(np.exp2(rng.uniform(-3, 3, (rows, count))).astype(np.float32) for _ in range(2))
    if seed % 3 == 0:  # both encodings alike: ties must go to the first
        codes, scales = (codes[0], codes[0]), (scales[0], scales[0])
    amax = np.exp2(rng.uniform(-9, 9, () if one_amax else (rows, count))).astype(np.float32)
    arguments = (x, codes, scales, (np.asarray(amax), np.float32(1536)), tile, E2M1, Criterion(metric, order))
    ours, theirs = CpuKernels.choose(*arguments), ReferenceKernels.choose(*arguments)
    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_array_equal(ours[1], theirs[1])
    if seed % 3 == 0:
        assert not ours[1].any()


@pytest.mark.parametrize("metric", ["mse", "mae", "absmax"])
def test_the_choice_has_the_smaller_error(metric: str) -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((32, 64)).astype(np.float32)
    codes = tuple(rng.integers(0, 16, x.shape, dtype=np.uint8) for _ in range(2))
    one = np.ones((32, 4), np.float32)
    _, second = ReferenceKernels.choose(x, codes, (one, one), (one, np.float32(1)), (1, 16), E2M1, Criterion(metric))
    error = [np.abs(decode(code, E2M1) - x).reshape(32, 4, 16) for code in codes]
    by_block = {
        "mse": [(e * e).sum(axis=2) for e in error],
        "mae": [e.sum(axis=2) for e in error],
        "absmax": [e.max(axis=2) for e in error],
    }[metric]
    np.testing.assert_array_equal(second, by_block[1] < by_block[0])
    assert 0.3 < second.mean() < 0.7


@settings(max_examples=40)
@given(
    fmt=st.sampled_from([*ELEMENTS, element_format("e4m3"), element_format("bf16")]),
    tile=st.sampled_from([*TILES, (1, 128)]),
    rows=st.integers(1, 3),
    count=st.integers(1, 4),
    seed=SEEDS,
)
def test_dequantize(fmt: object, tile: tuple[int, int], rows: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (rows * tile[0], count * tile[1])
    codes = rng.integers(0, 1 << fmt.bits, shape).astype(fmt.code_dtype)
    scale = np.exp2(rng.uniform(-150, 120, (rows, count)))
    scale[rng.random(scale.shape) < 0.2] = 0
    ours, theirs = (k.dequantize(codes, scale, tile, fmt) for k in (CpuKernels, ReferenceKernels))
    nan = np.isnan(theirs)
    np.testing.assert_array_equal(np.isnan(ours), nan)
    assert_same_bits(np.where(nan, np.float32(0), ours), np.where(nan, np.float32(0), theirs))


# A kernel is compiled for each format, for seconds.
@pytest.mark.parametrize(
    "names", [("e4m3", "e8m0", "bf16"), pytest.param(("e5m2", "e3m4", "e1m6"), marks=pytest.mark.slow)]
)
@settings(max_examples=40)
@given(
    which=st.integers(0, 2),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 40)),
    row0=st.integers(0, 2**33),
    bits=st.sampled_from([16, 32]),
    seed=SEEDS,
)
def test_stochastic_scale_casts(
    names: tuple[str, ...], which: int, shape: tuple[int, int], row0: int, bits: int, seed: int
) -> None:
    fmt, rng = scale_format(names[which]), np.random.default_rng(seed)
    x = np.exp2(rng.uniform(-20, 12, shape)).astype(np.float32)
    x[rng.random(shape) < 0.1] = 0
    cast, one = ElementCast(fmt, Rounding.SR, bits), np.ones((1, 1), np.float32)
    place, stream = Place(row0, 3, 3 + shape[1]), Stream.of(seed, "weight", 2).aside("block scale")
    ours, theirs = (k.encode(x, one, shape, cast, stream, place) for k in (CpuKernels, ReferenceKernels))
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", ["e4m3", "e8m0"])
def test_a_drawn_scale_is_unbiased_between_its_neighbours(name: str) -> None:
    fmt = scale_format(name)
    wanted, n = np.float32(1.1 if name == "e4m3" else 1.3), 1 << 16
    cast, one = ElementCast(fmt, Rounding.SR, 32), np.ones((1, 1), np.float32)
    codes = CpuKernels.encode(np.full((1, n), wanted), one, (1, n), cast, Stream.of(3, "s"), Place(0, 0, n))
    drawn = decode(codes, fmt)
    low, high = (1.0, 1.125) if name == "e4m3" else (1.0, 2.0)
    assert set(np.unique(drawn)) == {low, high}
    spread = np.sqrt((wanted - low) * (high - wanted) / n)
    assert abs(drawn.mean() - wanted) < 4 * spread
