"""Stochastic rounding's probabilities and bias, exactly; directed modes bracket; range matching never clips."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fp4sim
from fp4sim.dialects.target import target_of
from fp4sim.floats import E2M1, ELEMENTS, FloatFormat
from fp4sim.geometry import Geometry
from fp4sim.io.source import ArrayTensor
from fp4sim.kernels.reference.encode import decode, encode
from fp4sim.panels import Panels
from fp4sim.quantizer import Quantizer
from fp4sim.rounding import Rounding
from fp4sim.statistic import measure


def mean_code_value(x: np.ndarray, fmt: FloatFormat, bits: int) -> np.ndarray:
    """The exact expectation of the rounded value: the mean over every random integer of ``bits`` bits."""
    total = np.zeros(x.shape)
    for r in range(1 << bits):
        total += decode(encode(x, fmt, Rounding.SR, random=np.full(x.shape, r, np.uint32), random_bits=bits), fmt)
    return total / (1 << bits)


@pytest.mark.parametrize("fmt", ELEMENTS, ids=str)
@pytest.mark.parametrize("bits", [1, 2, 5, 8])
def test_stochastic_rounding_with_n_bits_falls_short_by_less_than_a_gap_over_2_to_n(
    fmt: FloatFormat, bits: int
) -> None:
    values = fmt.magnitudes()
    x = np.random.default_rng(bits).uniform(0, fmt.max, 500).astype(np.float32)
    lower = np.searchsorted(values, x, side="right") - 1
    upper = np.minimum(lower + 1, fmt.max_code)
    gap = values[upper] - values[lower]
    position = np.where(gap > 0, (x - values[lower]) / np.where(gap > 0, gap, 1), 0)
    expected = values[lower] + gap * np.floor(position * 2.0**bits) / 2.0**bits
    mean = mean_code_value(x, fmt, bits)
    np.testing.assert_array_equal(mean, expected)
    short = x.astype(np.float64) - mean
    assert np.all((short >= 0) & (short < gap / 2.0**bits + (gap == 0)))


@given(st.floats(0, 6, width=32), st.integers(1, 32))
def test_the_probability_of_rounding_up_is_the_truncated_fraction(x: float, bits: int) -> None:
    value = np.float32(x)
    lower = encode(np.array([value]), E2M1, Rounding.RZ)
    low, high = E2M1.value(int(lower[0])), E2M1.value(min(int(lower[0]) + 1, 7))
    fraction = 0.0 if high == low else (float(value) - low) / (high - low)
    needed = (1 << bits) - int(np.floor(fraction * 2.0**bits))  # the least r that rounds up
    draws = sorted({0, max(needed - 1, 0), min(needed, (1 << bits) - 1), (1 << bits) - 1})
    for r in draws:
        code = encode(np.array([value]), E2M1, Rounding.SR, random=np.array([r], np.uint32), random_bits=bits)
        assert int(code[0]) == int(lower[0]) + (r >= needed)


@pytest.mark.parametrize("fmt", ELEMENTS, ids=str)
def test_directed_roundings_bracket_and_nearest_lies_between(fmt: FloatFormat) -> None:
    x = np.random.default_rng(0).uniform(-fmt.max, fmt.max, 4000).astype(np.float32)
    codes = {mode: decode(encode(x, fmt, mode), fmt) for mode in Rounding if mode is not Rounding.SR}
    assert np.all(codes[Rounding.RD] <= x)
    assert np.all(codes[Rounding.RU] >= x)
    assert np.all(np.abs(codes[Rounding.RZ]) <= np.abs(x))
    for mode in (Rounding.RN, Rounding.RNA, Rounding.RNZ):
        assert np.all((codes[mode] == codes[Rounding.RD]) | (codes[mode] == codes[Rounding.RU]))
        assert np.all(np.abs(codes[mode] - x) <= np.abs(codes[Rounding.RU] - x))
        assert np.all(np.abs(codes[mode] - x) <= np.abs(codes[Rounding.RD] - x))


@pytest.mark.parametrize(
    ("spec", "ratio"),
    [("nvfp4+sr", 16 / 17), ("nvfp4@up+sr", 1), ("nvfp4@down+sr", 8 / 9), ("nvfp4+sr:clip", 1), ("nvfp4", 1)],
)
def test_float_scales_aim_below_the_maximum_by_the_rounding_of_the_scale(spec: str, ratio: float) -> None:
    assert target_of(fp4sim.parse(spec)).element_max == 6 * ratio


@pytest.mark.parametrize(
    ("spec", "ratio"),
    [
        ("mxfp4+sr", 3 / 4),
        ("mxfp4@even+sr", 6 / 7),
        ("mxfp4@ceil+sr", 1),
        ("mxfp4@rceil+sr", 1),
        ("mxfp4@log2+sr", 2**-0.5),
        ("mxfp4+sr:clip", 1),
    ],
)
def test_power_of_two_scales_shrink_x_and_the_tensor_scale_undoes_it(spec: str, ratio: float) -> None:
    assert target_of(fp4sim.parse(spec)).shrink == ratio
    packed = fp4sim.quantize(np.ones((1, 32), np.float32), spec)
    assert packed.tensor_scale == np.float32(1 / ratio)


@pytest.mark.parametrize(
    "spec", ["nvfp4+sr", "mxfp4+sr", "mxfp4@even+sr", "mxfp4@log2+sr", "mxfp4@rceil+sr", "nvfp4@down+sr"]
)
def test_range_matched_scales_never_clip(spec: str) -> None:
    """amax * factor stays within a rounding of the maximum over 2^16 blocks of amax in the scales' normal range."""
    parsed = fp4sim.parse(spec)
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((1 << 12, 16 * 32)) * np.exp2(rng.uniform(-4, 3, (1 << 12, 1)))).astype(np.float32)
    geometry = Geometry.of(x.shape, 1, parsed.block)
    panels = Panels(ArrayTensor("x", x), 1)
    quantizer = Quantizer(parsed, geometry, measure(panels, geometry, "error", 1))
    for cell in geometry.pieces:
        scales = quantizer.scales(cell, panels.load(geometry, cell))
        assert (scales.amax * scales.factor).max() <= np.float32(6) * np.float32(1 + 2.0**-21)
        assert (scales.amax * scales.factor).max() > 5.5


@pytest.mark.parametrize(
    ("spec", "low", "high"),
    [
        ("nvfp4+sr", -2e-4, 2e-4),
        ("mxfp4+sr", -2e-4, 2e-4),
        ("nvfp4+sr:clip", 2.5e-3, 4e-3),
        ("mxfp4+sr:clip", 9e-3, 12e-3),
        ("nvfp4+sr:bits=8", 5e-4, 1.1e-3),
    ],
)
def test_magnitude_shortfall_of_stochastic_rounding_on_gaussian_data(spec: str, low: float, high: float) -> None:
    """1 - <x,x_hat>/<x,x>: none when matched, 0.3 % and 1 % when clipping, 8e-4 with eight bits (standard error 3e-5)."""
    x = np.random.default_rng(1).standard_normal((2048, 2048), dtype=np.float32)
    metrics = fp4sim.compare(x, spec).totals[0].metrics
    assert metrics.alignment is not None
    assert low < 1 - metrics.alignment < high


FIGURES = [
    ("nvfp4", 9.05, 0.03),
    ("nvfp4/16x16", 12.39, 0.05),
    ("mxfp4", 13.22, 0.08),
    ("mxfp4@rceil", 13.32, 0.08),
    ("mxfp4@even", 12.51, 0.08),
    ("mxfp4@ceil", 20.80, 0.08),
    ("mxfp4@log2", 14.75, 0.08),
    ("e1m2/16@e4m3", 7.45, 0.03),
    ("nvint4", 7.45, 0.03),
    ("e3m0/16@e4m3", 28.4, 0.1),
    ("nvfp4+sr", 23.54, 0.1),
    ("mxfp4+sr", 28.16, 0.15),
    ("nvfp4+sr:clip", 18.86, 0.1),
    ("e2m1/16@fp32", 8.863, 0.03),
]


@pytest.mark.parametrize(("spec", "thousandths", "within"), FIGURES)
def test_published_relative_errors_on_gaussian_data(spec: str, thousandths: float, within: float) -> None:
    x = np.random.default_rng(0).standard_normal((2048, 2048), dtype=np.float32)
    metrics = fp4sim.compare(x, spec).totals[0].metrics
    assert metrics.rel_mse is not None
    assert abs(1e3 * metrics.rel_mse - thousandths) < within
