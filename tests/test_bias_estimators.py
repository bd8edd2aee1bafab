"""Verdicts on real estimators: no more false alarms than promised, planted biases found, and each zone judged apart."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fp4sim.commands.bias import BiasSettings, bias_tensor, draw_statistics, sampled
from fp4sim.errors import UsageError
from fp4sim.grammar import parse
from fp4sim.io.source import ArrayTensor
from fp4sim.kernels.reference.kernels import ReferenceKernels
from fp4sim.report.bias_model import Bias
from fp4sim.stats.bias import estimate_bias

REPETITIONS = 200
MOST_FALSE_ALARMS = int(stats.binom.ppf(0.999, REPETITIONS, 0.05))


def gaussian(rows: int, cols: int, seed: int = 0) -> ArrayTensor:
    return ArrayTensor("x", np.random.default_rng(seed).standard_normal((rows, cols), dtype=np.float32))


def bias(spec: str, tensor: ArrayTensor, draws: int, margin: float = 1e-4, seed: int = 0) -> Bias:
    return bias_tensor(tensor, [parse(spec)], BiasSettings(draws=draws, margin=margin, seed=seed)).results[0]


@pytest.mark.parametrize("spec", ["nvfp4+sr", "mxfp4+sr", "nvfp4+rht+sr", "mxfp4+rht:64+sr"])
def test_unbiased_estimators_raise_no_more_false_alarms_than_five_in_a_hundred(spec: str) -> None:
    """The interval of the relative bias excludes 0 by chance alone; margin or not."""
    alarms = 0
    for seed in range(REPETITIONS):
        settings = BiasSettings(draws=16, seed=seed, threads=1)
        estimate = estimate_bias(draw_statistics(gaussian(4, 128, seed), parse(spec), settings))
        assert estimate.relative_bias is not None
        alarms += bool(estimate.relative_bias.low)
    assert alarms <= MOST_FALSE_ALARMS


@pytest.mark.parametrize(("spec", "least"), [("nvfp4+sr+pma:1.0005", 4e-4), ("nvfp4+sr:bits=8", 6e-4)])
def test_a_bias_of_five_in_ten_thousand_is_seen(spec: str, least: float) -> None:
    """2^16 elements and 256 draws: a 256th of what 4,096 draws of 2^20 elements would tell."""
    found = bias(spec, gaussian(256, 256), 256)
    assert found.verdict == "biased"
    assert found.relative_bias is not None
    assert found.relative_bias.low is not None
    assert found.relative_bias.low > least


@pytest.mark.parametrize("spec", ["nvfp4+sr", "mxfp4+sr", "mxfp4@rceil+sr", "mxfp4+rht:64+sr"])
def test_range_matched_rounding_is_unbiased_to_a_margin(spec: str) -> None:
    found = bias(spec, gaussian(64, 512), 1024, margin=2e-3)
    assert found.verdict == "unbiased"
    assert found.zones[0].zone == "normal"
    assert found.zones[0].verdict == "unbiased"


@pytest.mark.parametrize("spec", ["nvfp4", "nvfp4+sr:clip", "nvfp4+4over6+sr", "mxfp4+sr:clip"])
def test_biased_estimators_are_found_out(spec: str) -> None:
    assert bias(spec, gaussian(64, 512), 64).verdict == "biased"


def test_lost_blocks_show_in_their_zone_although_they_carry_no_energy() -> None:
    """Block-lognormal data of sigma 3: most blocks have scale zero, and the total hardly moves."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((128, 32, 16)) * np.exp(3 * rng.standard_normal((128, 32, 1)))
    found = bias("nvfp4+sr", ArrayTensor("x", x.reshape(128, 512).astype(np.float32)), 64)
    zones = {zone.zone: zone for zone in found.zones}
    assert zones["zero"].element_share > 0.25
    assert zones["zero"].energy_share < 1e-4
    assert zones["zero"].verdict == "biased"
    assert zones["zero"].relative_bias is not None
    assert zones["zero"].relative_bias.estimate == pytest.approx(1)
    assert zones["normal"].verdict != "biased"


@pytest.mark.parametrize("spec", ["nvfp4+sr", "nvfp4+mseden", "nvfp4+rht:16+sr", "nvfp4+4over6+sr", "mxfp4+quest"])
def test_threads_and_backends_draw_alike(spec: str) -> None:
    tensor = gaussian(600, 512)
    runs = [
        draw_statistics(tensor, parse(spec), BiasSettings(draws=3, threads=threads), kernels=kernels)
        for threads, kernels in ((1, None), (3, None), (1, ReferenceKernels))
    ]
    for other in runs[1:]:
        np.testing.assert_array_equal(other.gram, runs[0].gram)
        np.testing.assert_array_equal(other.square, runs[0].square)


def test_an_estimator_without_randomness_is_drawn_once() -> None:
    found = bias("nvfp4+h:32", gaussian(16, 128), 64)
    assert found.draws == 1
    assert [point.draws for point in found.curve] == [1, 4, 16, 64]
    assert len({point.error for point in found.curve}) == 1
    assert found.verdict == "biased"


@pytest.mark.parametrize(("shape", "sample"), [((4, 8192), (4, 1536)), ((64, 512), (16, 512)), ((2, 700), (2, 700))])
def test_large_tensors_are_sampled_by_bands_and_long_rows_by_columns(
    shape: tuple[int, int], sample: tuple[int, int]
) -> None:
    tensor = gaussian(*shape)
    taken, note = sampled(tensor, BiasSettings(elements=8192 if shape[0] > 2 else 1000))
    assert taken.info.shape == sample
    assert bool(note) == (shape != sample)
    np.testing.assert_array_equal(taken.read_all(), tensor.read_all()[: sample[0], : sample[1]])


def test_more_draws_than_can_be_kept_are_refused() -> None:
    with pytest.raises(UsageError, match="at most 16,777,216"):
        BiasSettings(draws=1 << 40)
