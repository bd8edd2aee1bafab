"""``fp4sim.bias`` on a GPU against the CPU: draws bit for bit, statistics to rounding; the kernels run on the host."""

from __future__ import annotations

import numpy as np
import pytest

from fp4sim.commands.bias import BiasSettings, draw_statistics, sampled
from fp4sim.commands.rounding_check import RoundingCounter
from fp4sim.gpu import draw_kernels
from fp4sim.gpu.panels import upload
from fp4sim.grammar import parse
from fp4sim.io.source import ArrayTensor
from fp4sim.kernels.cuda.arrays import on_device
from fp4sim.stats.draws import DrawSums
from tests.cuda.test_tensor_stats import adversarial

pytestmark = pytest.mark.usefixtures("host_device")


def close(found, expected, scale=None):
    """All statistics of draws to 1e-12 of the largest of their kind, or of ``scale``."""
    for name in ("elements", "energy", "square", "gram", "along", "misaligned"):
        mine, theirs = getattr(found, name), getattr(expected, name)
        assert mine.shape == theirs.shape, name
        assert np.abs(mine - theirs).max(initial=0) <= 1e-12 * max(np.abs(theirs).max(initial=0), scale or 0), name
    for mine, theirs in zip(found.curve, expected.curve, strict=True):
        assert np.abs(mine - theirs).max() <= 1e-12 * np.abs(theirs).max()
    assert (found.draws, found.batch_draws, found.groups) == (expected.draws, expected.batch_draws, expected.groups)


@pytest.mark.parametrize(
    ("draws", "zoned"),
    [
        (5, False),
        (5, True),
        (16, True),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in [(16, False), (77, False), (77, True)]),
    ],
)
def test_sums(draws, zoned):
    rng = np.random.default_rng(draws)
    x = rng.standard_normal(1000).astype(np.float32)
    x[128:256] = 0
    zones = rng.integers(0, 3, x.size).astype(np.uint8) if zoned else np.zeros(x.size, np.uint8)
    host = DrawSums(x, draws, zones=zones, group=128)
    device = DrawSums(on_device(x), draws, zones=on_device(zones), group=128, kernels=draw_kernels)
    for _ in range(draws):
        draw = (x + 0.1 * rng.standard_normal(x.size)).astype(np.float32)
        host.add(draw)
        device.add(on_device(draw))
    close(device.result(), host.result())
    assert np.array_equal(device.mean(), host.mean())


@pytest.mark.parametrize(
    "text",
    ["nvfp4+sr", "nvfp4+mseden", "mxfp4"]
    + [
        pytest.param(text, marks=pytest.mark.slow) for text in ("nvfp4+rht:16+sr", "mxfp4+sr", "nvfp4+4over6+sr", "if4")
    ],
)
def test_estimators(text):
    x = adversarial((14, 128), 8)
    settings, spec = BiasSettings(draws=5, seed=3, threads=1), parse(text)
    host = ArrayTensor("x", x)
    device = upload(host)
    counters = RoundingCounter(), RoundingCounter()
    with_counter = text in ("nvfp4+sr", "mxfp4+sr")
    expected = draw_statistics(host, spec, settings, counter=counters[0] if with_counter else None)
    found = draw_statistics(device, spec, settings, counter=counters[1] if with_counter else None)
    close(found, expected, scale=float(np.abs(expected.misaligned).max()))
    if with_counter:
        assert counters[0].result() == counters[1].result()


def test_samples_are_the_same():
    x = adversarial((256, 128), 9)
    settings = BiasSettings(draws=16, elements=4096)
    host, device = sampled(ArrayTensor("x", x), settings), sampled(upload(ArrayTensor("x", x)), settings)
    assert host[1] == device[1]
    assert np.array_equal(device[0].read_all(), host[0].read_all())
    assert device[0].on_gpu
