"""The differentiable gradient estimator: the released unit test's vector, the shape of f and f', and what the cap takes."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest

from fp4sim.errors import UsageError
from fp4sim.estimators.dge import INFO, derivative, derivative_bf16, forward
from fp4sim.floats import CASTS, E2M1, E8M0, ELEMENTS, UE4M3, element_format

# MS-AMP 9746ea8, the unit test of its derivative kernel: x = bf16(linspace(-6, 6, 20)), k = 5, cap 3
HALF = [0.2002, 0.4375, 0.6055, 0.2168, 1.8359, 0.2695, 0.3027, 0.2695, 0.2402, 0.5781]
X20 = np.linspace(-6, 6, 20, dtype=np.float32).astype(ml_dtypes.bfloat16)
FORMATS = [*ELEMENTS, element_format("e4m3")]
# k: share of an interval at the cap of 3 = (3k)^(-k/(k-1)), and the mean of f' that is left
CAPPED = {3: (0.0370, 0.778), 5: (0.0339, 0.5935), 10: (0.0228, 0.383)}


def grid_of(fmt):
    """Every finite value in order, zero once."""
    magnitudes = fmt.magnitudes()
    return np.concatenate([-magnitudes[:0:-1], magnitudes])


def inside(fmt, count=401):
    """Points strictly inside each interval, the middles among them: (intervals, count)."""
    grid = grid_of(fmt)
    return grid[:-1, None] + np.diff(grid)[:, None] * (np.arange(count) + 0.5) / count


def test_the_released_vector_bit_for_bit():
    found = derivative_bf16(X20)
    assert found.dtype == ml_dtypes.bfloat16
    expected = np.array(HALF + HALF[::-1]).astype(ml_dtypes.bfloat16)  # four digits name one bf16
    assert found.tobytes() == expected.tobytes()
    assert [round(float(value), 4) for value in found] == HALF + HALF[::-1]


@pytest.mark.parametrize("k", [3, 5])
def test_every_bf16_input_as_float32_arithmetic_gives_it(k):
    """The kernel works in float32: no bf16 input lies so close to a tie that a power function's last bits decide."""
    codes = np.arange(1 << 16, dtype=np.uint16)
    codes = codes[(codes & 0x7FFF) <= 0x40C0]  # |z| <= 6
    z = codes.view(ml_dtypes.bfloat16)
    exact = derivative(z, k=k)
    low = exact.astype(np.float32).view(np.uint32).astype(np.int64) & 0xFFFF
    assert np.abs(low - 0x8000).min() >= 16  # float32 ulps to the nearest tie
    grid, x, f = grid_of(E2M1).astype(np.float32), z.astype(np.float32), np.float32
    place = np.clip(np.searchsorted(grid, x, side="right") - 1, 0, grid.size - 2)
    u = np.abs(f(2) * (x - grid[place]) / np.diff(grid)[place] - f(1))
    with np.errstate(divide="ignore"):
        in_float32 = np.minimum(u ** (f(1) / f(k) - f(1)) / f(k), f(3)).astype(ml_dtypes.bfloat16)
    assert in_float32.tobytes() == derivative_bf16(z, k=k).tobytes()


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("k", [1, 3, 5, 10])
def test_f_is_the_identity_on_the_grid_and_f_prime_least(fmt, k):
    grid = grid_of(fmt)
    assert np.array_equal(forward(grid, fmt, k), grid)
    assert np.array_equal(derivative(grid, fmt, k), np.full(grid.shape, 1 / k))
    assert derivative(inside(fmt), fmt, k).min() >= 1 / k


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
def test_f_is_odd_continuous_and_rises(fmt):
    grid = grid_of(fmt)
    near = np.concatenate([np.nextafter(grid, -np.inf), grid, np.nextafter(grid, np.inf)])
    assert np.abs(forward(near, fmt) - np.tile(grid, 3)).max() <= 4 * np.spacing(fmt.max)
    line = np.concatenate([inside(fmt).ravel(), grid])
    line.sort()
    values = forward(line, fmt)
    assert (np.diff(values) >= 0).all()
    assert np.array_equal(forward(-line, fmt), -values)
    assert np.array_equal(derivative(-line, fmt), derivative(line, fmt))
    middles = (grid[1:] + grid[:-1]) / 2
    assert np.array_equal(forward(middles, fmt), middles)


@pytest.mark.parametrize("k", [2, 5, 40])
def test_f_tends_to_rounding(k):
    z = inside(E2M1)
    grid = grid_of(E2M1)
    nearest = grid[np.abs(z[..., None] - grid).argmin(axis=-1)]
    quarter = np.abs(z - nearest) <= np.diff(grid)[:, None] / 4
    off = np.abs(forward(z, E2M1, k) - nearest) / np.diff(grid)[:, None]
    assert off[quarter].max() <= (1 - 0.5 ** (1 / k)) / 2 + 1e-12


@pytest.mark.parametrize("name", ["e2m1", "e1m2", "e3m0", "e0m3", "e4m3"])
@pytest.mark.parametrize("k", [1, 3, 5, 10])
def test_f_prime_is_the_slope_of_f(name, k):
    fmt = element_format(name)
    z, step = inside(fmt, 40), np.diff(grid_of(fmt))[:, None] * 1e-5  # an even count leaves out the middle
    slope = (forward(z + step, fmt, k) - forward(z - step, fmt, k)) / (2 * step)
    assert np.allclose(derivative(z, fmt, k, math.inf), slope, rtol=1e-5)


@pytest.mark.parametrize("name", ["e2m1", "e1m2", "e3m0"])
@pytest.mark.parametrize("k", [3, 5, 10])
def test_without_cap_the_mean_over_an_interval_is_one(name, k):
    fmt = element_format(name)
    grid = grid_of(fmt)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    # with |u| = v^k the integral of f' over |u| from u0 to 1 is that of f'(v^k) k v^(k-1) over v from u0^(1/k) to 1; it
    # must be 1 - u0^(1/k), whose limit is 1. float64 resolves |u| down to u0 around the middle of an interval
    start = 1e-6 ** (1 / k)
    v = start + (1 - start) * (nodes + 1) / 2
    for sign in (-1, 1):
        z = grid[:-1, None] + np.diff(grid)[:, None] * (1 + sign * v**k) / 2
        mean = (derivative(z, fmt, k, math.inf) * k * v ** (k - 1)) @ weights / 2 * (1 - start)
        assert np.allclose(mean + start, 1, rtol=1e-8)


@pytest.mark.parametrize("k", CAPPED)
@pytest.mark.parametrize("name", ["e2m1", "e3m0"])
def test_what_a_cap_of_three_takes(name, k):
    fmt = element_format(name)
    share, mean = CAPPED[k]
    slopes = derivative(inside(fmt, 100_000), fmt, k)
    assert slopes.max() == 3
    assert (slopes == 3).mean() == pytest.approx(share, abs=5e-5)
    assert slopes.mean(axis=1) == pytest.approx(mean, abs=5e-4)
    at_cap = (3 * k) ** (-k / (k - 1))
    assert slopes.mean() == pytest.approx(1 - at_cap ** (1 / k) + 3 * at_cap, abs=1e-5)


def test_gaussian_weights_keep_their_published_share():
    """Scaled per row of 4096: a mean of .590, 3.35 % at the cap, 86.8 % below 1."""
    w = np.random.default_rng(3).standard_normal((256, 4096))
    slopes = derivative(w * (6 / np.abs(w).max(axis=1, keepdims=True)))
    assert slopes.mean() == pytest.approx(0.590, abs=2e-3)
    assert (slopes == 3).mean() == pytest.approx(0.0335, abs=3e-4)
    assert (slopes < 1).mean() == pytest.approx(0.868, abs=1e-3)


@pytest.mark.parametrize("fmt", ELEMENTS, ids=str)
def test_outside_the_grid(fmt):
    beyond = np.array([np.nextafter(fmt.max, np.inf), 2 * fmt.max, np.inf])
    for z in (beyond, -beyond):
        assert np.array_equal(forward(z, fmt), np.copysign(fmt.max, z))
        assert not derivative(z, fmt).any()
    assert np.isnan(forward(np.nan, fmt))
    assert np.isnan(derivative(np.nan, fmt))
    assert derivative(np.nextafter(fmt.max, 0), fmt) == pytest.approx(1 / 5)


def test_k_of_one_passes_straight_through():
    z = np.linspace(-6, 6, 1001)
    assert np.allclose(forward(z, k=1), z, atol=1e-15)
    assert np.array_equal(derivative(z, k=1), np.ones(1001))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (2, 3, 5)])
def test_shapes_and_dtypes(shape):
    z = np.full(shape, 1.3, np.float32)
    for call, dtype in ((forward, np.float64), (derivative, np.float64), (derivative_bf16, ml_dtypes.bfloat16)):
        assert (call(z).shape, call(z).dtype) == (shape, dtype)
    assert np.array_equal(z, np.full(shape, 1.3, np.float32))


@pytest.mark.parametrize("cap", [0, 0.1, 1.0, math.inf])
def test_the_cap_bounds(cap):
    z = np.linspace(-6, 6, 97)
    assert derivative(z, cap=cap).max() == cap if cap != 1.0 else derivative(z, cap=cap).max() <= 1
    assert np.array_equal(derivative(z, cap=cap), np.minimum(derivative(z, cap=math.inf), cap))


@pytest.mark.parametrize("arguments", [{"k": 0.5}, {"k": math.nan}, {"k": math.inf}, {"cap": -1}, {"cap": math.nan}])
def test_parameters_without_meaning(arguments):
    with pytest.raises(UsageError, match=r"^dge: [^\n]+$"):
        derivative([1.0], **arguments)


@pytest.mark.parametrize("fmt", [E8M0, UE4M3, CASTS[-1]], ids=str)
def test_formats_without_such_a_grid(fmt):
    for call in (forward, derivative, derivative_bf16):
        with pytest.raises(UsageError):
            call([1.0], fmt)


def test_info():
    assert INFO.name == "dge"
    assert INFO.claim == "none"
