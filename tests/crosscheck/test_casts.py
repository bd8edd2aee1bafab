"""The seven conversions: the reference and the device's header against NVIDIA's own functions, and their histograms."""

from __future__ import annotations

import ctypes
import shutil
import subprocess

import numpy as np
import pytest

from fp4sim.crosscheck.casts import CASTS, Cast
from fp4sim.crosscheck.check import QUICK, Effort
from fp4sim.kernels.cuda.sources import source_folder
from tests.crosscheck.simulated import TINY
from tests.test_casts import NEGATIVE_LAST, POSITIVE_COUNTS, stratified

NVIDIA = {
    "e2m1": "float_to_e2m1",
    "e4m3": "float_to_e4m3",
    "e4m3_inf": "float_to_e4m3_nosat",
    "e8m0_up": "float_to_e8m0_up",
    "e8m0_down": "float_to_e8m0_zero",
    "e8m0_up_inf": "float_to_e8m0_up_nosat",
    "e8m0_down_inf": "float_to_e8m0_zero_nosat",
}
_SOURCE = """#include "casts.cuh"
#include <cstddef>
{functions}
"""
_FUNCTION = (
    'extern "C" void {name}(const unsigned *x, unsigned char *out, size_t n)'
    " {{ for (size_t i = 0; i < n; ++i) out[i] = (unsigned char)casts::{name}(x[i]); }}"
)


@pytest.fixture(scope="module")
def header(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """cuda/casts.cuh, compiled for the host."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("needs a C++ compiler")
    folder = tmp_path_factory.mktemp("casts")
    source = folder / "casts.cpp"
    source.write_text(_SOURCE.format(functions="\n".join(_FUNCTION.format(name=cast.name) for cast in CASTS)))
    command = [compiler, "-O2", "-std=c++17", "-shared", "-fPIC", f"-I{source_folder()}", str(source)]
    subprocess.run([*command, "-o", str(folder / "casts.so")], check=True)
    return ctypes.CDLL(str(folder / "casts.so"))


@pytest.mark.parametrize("cast", CASTS, ids=lambda cast: cast.name)
def test_the_reference_is_nvidias_function(cuda_casts, cast: Cast) -> None:
    x = stratified(1 << 20)
    np.testing.assert_array_equal(cast.codes(x.view(np.uint32)), cuda_casts(NVIDIA[cast.name], x))


@pytest.mark.parametrize("cast", CASTS, ids=lambda cast: cast.name)
def test_the_header_is_the_reference(header: ctypes.CDLL, cast: Cast) -> None:
    bits = stratified(1 << 20).view(np.uint32)
    found = np.empty(bits.size, np.uint8)
    getattr(header, cast.name)(
        ctypes.c_void_p(bits.ctypes.data), ctypes.c_void_p(found.ctypes.data), ctypes.c_size_t(bits.size)
    )
    np.testing.assert_array_equal(found, cast.codes(bits))


def test_the_histogram_of_e2m1_is_the_published_one() -> None:
    histogram = CASTS[0].histogram()
    np.testing.assert_array_equal(histogram[:16], [*POSITIVE_COUNTS, *POSITIVE_COUNTS[:7], NEGATIVE_LAST])


@pytest.mark.parametrize("cast", CASTS, ids=lambda cast: cast.name)
def test_histograms_agree_with_an_even_sample(cast: Cast) -> None:
    histogram = cast.histogram()
    assert histogram.sum() == 1 << 32
    sample = np.bincount(cast.codes(np.arange(0, 1 << 32, 1 << 12, np.uint64).astype(np.uint32)), minlength=256)
    assert (
        np.abs(histogram - sample * (1 << 12)).max() <= 4 << 12
    )  # a code is a run of patterns and NaNs, of either sign


def patterns(effort: Effort) -> np.ndarray:
    return (np.arange(effort.patterns, dtype=np.uint64) * np.uint64(effort.stride)).astype(np.uint32)


@pytest.mark.parametrize("cast", CASTS, ids=lambda cast: cast.name)
@pytest.mark.parametrize(
    "effort", [QUICK, TINY, Effort("a run", 1 << 20, 1, 0), Effort("many turns", 1 << 16, (1 << 20) + 3, 0)]
)
def test_the_histogram_of_an_efforts_patterns_is_that_of_their_codes(effort: Effort, cast: Cast) -> None:
    counted = np.bincount(cast.codes(patterns(effort)), minlength=256)
    np.testing.assert_array_equal(cast.histogram(effort.patterns, effort.stride), counted)


@pytest.mark.parametrize("effort", [TINY, Effort("some", 1 << 16, (1 << 16) + 1, 0)])
def test_patterns_are_distinct_and_reach_far(effort: Effort) -> None:
    bits = patterns(effort)
    assert np.unique(bits).size == bits.size
    assert bits.max() > 0xFFF00000
