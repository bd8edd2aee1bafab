"""The compiled CPU kernels are bit-equal to the reference: every primitive, rounding, tile and awkward value."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fp4sim.kernels.cpu
from fp4sim.floats import CASTS, ELEMENTS, UE4M3, FloatFormat, scale_format
from fp4sim.kernels.cpu.errors import SPAN
from fp4sim.kernels.cpu.kernels import CpuKernels
from fp4sim.kernels.interface import ElementCast, Place
from fp4sim.kernels.reference.kernels import ReferenceKernels
from fp4sim.randbits import Stream
from fp4sim.rounding import CastPolicy, Rounding
from fp4sim.stats import draw_kernels

NARROW = [*ELEMENTS, *CASTS[:2]]
DRAWN = [ELEMENTS[0], ELEMENTS[2], CASTS[0]]
TILES = [(1, 16), (1, 32), (1, 8), (1, 12), (1, 48), (16, 16), (2, 32), (4, 10)]
DETERMINISTIC = [mode for mode in Rounding if mode is not Rounding.SR]


@st.composite
def panels(draw: st.DrawFn) -> tuple[np.ndarray, tuple[int, int]]:
    """A panel with zeros, ties, subnormals and huge values, and a tile that divides it."""
    tile = draw(st.sampled_from(TILES))
    rows, cols = tile[0] * draw(st.integers(1, 4)), tile[1] * draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.standard_normal((rows, cols)).astype(np.float32)
    kind = draw(st.sampled_from(["normal", "ties", "spread", "bits", "sparse"]))
    if kind == "ties":
        x = (rng.integers(-40, 41, (rows, cols)) / 8).astype(np.float32)
    elif kind == "spread":
        x *= np.exp2(rng.integers(-140, 100, (rows, cols))).astype(np.float32)
    elif kind == "bits":
        x = rng.integers(0, 1 << 32, (rows, cols), dtype=np.uint32).view(np.float32)
        x = np.where(np.isfinite(x), x, np.float32(-0.0))
    elif kind == "sparse":
        x[rng.random((rows, cols)) < 0.9] = rng.choice([0.0, -0.0])
    return x, tile


def factors(x: np.ndarray, tile: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    amax = ReferenceKernels.block_amax(x, tile)
    with np.errstate(all="ignore"):
        inverse = np.fmin(np.float32(6.3) / amax, np.float32(3.4e38))
    inverse[rng.random(inverse.shape) < 0.1] = np.float32(3.4028235e38)
    return inverse.astype(np.float32)


@given(panels())
def test_block_amax(case: tuple[np.ndarray, tuple[int, int]]) -> None:
    x, tile = case
    np.testing.assert_array_equal(CpuKernels.block_amax(x, tile), ReferenceKernels.block_amax(x, tile))
    x = x.copy()
    x[0, 0] = np.nan
    assert np.isnan(CpuKernels.block_amax(x, tile)[0, 0])


@settings(max_examples=150)
@given(panels(), st.sampled_from(NARROW), st.sampled_from(DETERMINISTIC), st.booleans(), st.integers(0, 99))
def test_deterministic_encoding(
    case: tuple[np.ndarray, tuple[int, int]], fmt: FloatFormat, rounding: Rounding, divides: bool, seed: int
) -> None:
    x, tile = case
    factor = factors(x, tile, np.random.default_rng(seed))
    if divides:
        with np.errstate(all="ignore"):
            factor = np.float32(1) / factor
    cast = ElementCast(fmt, rounding, divides=divides)
    want = ReferenceKernels.encode(x, factor, tile, cast)
    np.testing.assert_array_equal(CpuKernels.encode(x, factor, tile, cast), want)
    if fmt.bits == 4:
        packed = CpuKernels.encode_packed(x, factor, tile, cast)
        np.testing.assert_array_equal(CpuKernels.unpack(packed), want)
        np.testing.assert_array_equal(ReferenceKernels.encode_packed(x, factor, tile, cast), packed)


# A kernel is compiled for each format, for seconds.
@pytest.mark.parametrize("formats", [DRAWN, pytest.param(NARROW, marks=pytest.mark.slow)], ids=["some", "all"])
@settings(max_examples=100)
@given(
    panels(),
    st.integers(0, 59),
    st.integers(1, 32),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**40),
    st.integers(0, 700),
    st.integers(1, 5),
)
def test_stochastic_encoding(
    formats: list[FloatFormat],
    case: tuple[np.ndarray, tuple[int, int]],
    which: int,
    bits: int,
    seed: int,
    row0: int,
    col0: int,
    inner: int,
) -> None:
    (x, tile), fmt = case, formats[which % len(formats)]
    factor = factors(x, tile, np.random.default_rng(1))
    cast = ElementCast(fmt, Rounding.SR, bits)
    place = Place(row0, col0, col0 + x.shape[1] + 3, inner)
    stream = Stream.of(seed, "weight", 5)
    want = ReferenceKernels.encode(x, factor, tile, cast, stream, place)
    np.testing.assert_array_equal(CpuKernels.encode(x, factor, tile, cast, stream, place), want)


# Each pair compiles a kernel of its own for seconds: a few that differ in every way the kernel looks at.
SUMMED = [(ELEMENTS[0], False), (ELEMENTS[0], True), (ELEMENTS[2], False), (ELEMENTS[3], False), (CASTS[0], False)]


@settings(max_examples=60)
@given(panels(), st.sampled_from(SUMMED), st.integers(1, 20), st.integers(0, 99))
def test_error_sums_have_the_same_digits(
    case: tuple[np.ndarray, tuple[int, int]], kind: tuple[FloatFormat, bool], cell_tiles: int, seed: int
) -> None:
    (x, tile), (fmt, divides) = case, kind
    rng = np.random.default_rng(seed)
    factor = factors(x, tile, rng)
    decode = 1 / factor.astype(np.float64)
    decode[rng.random(decode.shape) < 0.2] = 0
    if divides:
        with np.errstate(all="ignore"):
            factor = np.float32(1) / factor
    cast = ElementCast(fmt, divides=divides)
    codes = ReferenceKernels.encode(x, factor, tile, cast)
    amax = ReferenceKernels.block_amax(x, tile)
    valid = (int(rng.integers(1, x.shape[0] + 1)), int(rng.integers(1, x.shape[1] + 1)))
    same_sums(x, codes, factor, decode, amax, tile, cast, valid, cell_tiles * tile[0])


@pytest.mark.parametrize("columns", [1, 2, 16, 12, 48, 2049])
@pytest.mark.parametrize("divides", [False, True])
def test_error_sums_of_rows_longer_than_a_span(columns: int, divides: bool) -> None:
    """Spans end within blocks and units, and the worst element lies in each of them in turn."""
    fmt, tile, rng = ELEMENTS[0], (1, columns), np.random.default_rng(columns)
    width = columns * -(-(2 * SPAN + 1500) // columns)
    x = rng.standard_normal((5, width)).astype(np.float32)
    for row, place in enumerate((0, SPAN - 1, SPAN, 2 * SPAN, width - 2)):
        x[row, place] = -100
    factor = np.exp2(rng.integers(-2, 3, (5, width // columns))).astype(np.float32)
    decode = 1 / factor.astype(np.float64)
    decode[rng.random(decode.shape) < 0.1] = 0
    cast = ElementCast(fmt, divides=divides)
    codes = ReferenceKernels.encode(x, factor, tile, cast)
    amax = np.full(factor.shape, 2, np.float32)
    for valid in ((5, width), (5, width - 1), (4, SPAN + 33)):
        same_sums(x, codes, factor, decode, amax, tile, cast, valid, 1)


def same_sums(*arguments: Any) -> None:
    ours, theirs = CpuKernels.error_sums(*arguments), ReferenceKernels.error_sums(*arguments)
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one.sums, other.sums)
        np.testing.assert_array_equal(one.counts, other.counts)
        np.testing.assert_array_equal(one.occupancy, other.occupancy)
        assert (one.elements, one.worst, one.worst_index) == (other.elements, other.worst, other.worst_index)


@pytest.mark.parametrize("name", ["e4m3", "e5m2", "ue5m3", "e3m4", "e2m5", "e6m1", "e1m6", "e4m4", "e7m1"])
@pytest.mark.parametrize("rounding", [Rounding.RN, Rounding.RU, Rounding.RD], ids=str)
def test_scale_casts(name: str, rounding: Rounding) -> None:
    fmt = scale_format(name)
    rng = np.random.default_rng(7)
    x = rng.integers(0, 1 << 32, 1 << 16, dtype=np.uint32).view(np.float32)
    values = fmt.magnitudes()
    edges = np.concatenate([values, (values[1:] + values[:-1]) / 2]).astype(np.float32)
    edges = (edges.view(np.uint32)[:, None] + np.arange(-1, 2, dtype=np.int64).astype(np.uint32)).view(np.float32)
    special = np.array([np.inf, np.nan, 0.0, -0.0, -1.0], np.float32)
    x = np.concatenate([x, edges.ravel(), special])
    np.testing.assert_array_equal(CpuKernels.cast(x, fmt, rounding), ReferenceKernels.cast(x, fmt, rounding))


@pytest.mark.parametrize("name", ["e4m3", "e5m2", "ue5m3", "e3m4", "e2m5"])
@pytest.mark.parametrize("one_group", [True, False])
def test_te_scale_stage(name: str, one_group: bool) -> None:
    fmt = scale_format(name)
    rng = np.random.default_rng(3)
    amax = np.abs(rng.standard_normal((64, 40)) * np.exp2(rng.integers(-149, 126, (64, 40)))).astype(np.float32)
    amax[0] = 0
    shape = () if one_group else amax.shape
    for exponent in range(-126, 127, 6):
        encode = np.exp2(np.full(shape, exponent)).astype(np.float32) * np.float32(1.1)
        arguments = (amax, np.asarray(encode / 6, np.float32), np.asarray(1 / encode, np.float32), fmt, Rounding.RN)
        for ours, theirs in zip(CpuKernels.te_scales(*arguments), ReferenceKernels.te_scales(*arguments), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@given(st.integers(0, 3000), st.integers(0, 2**32 - 1))
def test_histogram(size: int, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    np.testing.assert_array_equal(CpuKernels.histogram(codes), ReferenceKernels.histogram(codes))


def test_policies_other_than_the_hardware_s_take_the_reference_path() -> None:
    x = np.array([[-0.0, np.nan, 7.0, -1.0] * 4], np.float32)
    cast = ElementCast(ELEMENTS[0], policy=CastPolicy(nan="zero", negative_zero="drop"))
    codes = CpuKernels.encode(x, np.ones((1, 1), np.float32), (1, 16), cast)
    assert codes[0, :4].tolist() == [0, 0, 7, 10]


def _cpu_modules() -> list[Path]:
    return sorted(Path(fp4sim.kernels.cpu.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("path", _cpu_modules(), ids=lambda path: path.stem)
def test_cached_kernels_call_nothing_compiled_in_another_file(path: Path) -> None:
    """numba's cache of a kernel does not see a helper's change in another file; jit.py's bit casts hold no logic."""
    if path.stem in ("jit", "kernels", "__init__"):
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("fp4sim.kernels.cpu")
        for alias in node.names
    }
    assert imported <= {"bits_of", "float_of", "kernel", "inlined"}


@pytest.mark.parametrize("path", [*_cpu_modules(), Path(draw_kernels.__file__)], ids=lambda path: path.stem)
def test_no_helper_is_among_a_kernel_s_constants(path: Path) -> None:
    """numba's cache knows a kernel by its constants, and a compiled helper among them is another one in every process."""
    for outer in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(outer, ast.FunctionDef):
            continue
        decorated = [one for one in outer.body if isinstance(one, ast.FunctionDef) and one.decorator_list]
        assert len(decorated) <= 1, f"{outer.name} has kernels or helpers within that may refer to each other"
        assert not any(ast.unparse(mark) == "inlined" for one in decorated for mark in one.decorator_list), outer.name


def test_bit_casts_are_pinned() -> None:
    from fp4sim.kernels.cpu import jit

    for name, cast in (("bits_of", "ir.IntType(32)"), ("float_of", "ir.FloatType()")):
        source = inspect.getsource(getattr(jit, name)._defn)
        assert f"builder.bitcast(args[0], {cast})" in source


def test_kernels_work_uncached_where_no_cache_folder_can_be_written(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    script = (
        "import numba.core.caching as c; c.CacheImpl._locator_classes = []\n"
        "import numpy as np, fp4sim\n"
        "print(fp4sim.quantize(np.arange(32, dtype=np.float32), 'nvfp4').codes.sum())"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(blocked / "cache")}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    codes = fp4sim.quantize(np.arange(32, dtype=np.float32), "nvfp4").codes
    assert int(done.stdout) == int(codes.sum())


def test_unsigned_element_formats_are_left_to_the_reference() -> None:
    x = np.linspace(-1, 500, 32, dtype=np.float32).reshape(1, 32)
    ones = np.ones((1, 2), np.float32)
    cast = ElementCast(UE4M3)
    want = ReferenceKernels.encode(x, ones, (1, 16), cast)
    np.testing.assert_array_equal(CpuKernels.encode(x, ones, (1, 16), cast), want)
