"""``fp4sim.compare`` on a GPU's arrays against the CPU's, every estimator of the catalogue; the kernels run on the host."""

from __future__ import annotations

import numpy as np
import pytest

import fp4sim
from fp4sim.estimators.catalogue import CATALOGUE
from tests.cuda.test_tensor_stats import adversarial

SPECS = [
    "nvfp4",
    "mxfp4",
    "nvfp4+sr",
    "nvfp4/16x16",
    "nvfp4@torchao",
    "nvfp4@ts:row",
    "e2m1/row@fp32",
    "e4m3",
    "nvint4",
]


def on_device_compare(x, specs, monkeypatch, **settings):
    """The result for x as if it lay on a GPU."""
    from fp4sim.gpu import arrays, panels
    from fp4sim.gpu.arrays import DeviceArray
    from fp4sim.gpu.panels import DeviceTensor
    from fp4sim.kernels.cuda.arrays import on_device

    monkeypatch.setattr(DeviceTensor, "place", lambda _: __import__("contextlib").nullcontext())
    monkeypatch.setattr(
        panels, "device_tensor", lambda name, value: DeviceTensor(name, DeviceArray(value, "float32", "cupy"))
    )
    monkeypatch.setattr(
        arrays, "is_on_device", lambda value: type(value).__name__ == "ndarray" and not isinstance(value, np.ndarray)
    )
    return fp4sim.compare(on_device(x), specs, **settings)


def alike(found, expected):
    for mine, theirs in zip(found.tensors[0].results, expected.tensors[0].results, strict=True):
        for name, value in vars(theirs).items():
            got = getattr(mine, name)
            if isinstance(value, float) and name != "max_error":
                assert got == pytest.approx(value, rel=1e-11, abs=1e-11 * (theirs.mse or 0) ** 0.5), name
            elif name == "error_share":
                assert got == pytest.approx(value, rel=1e-9, abs=1e-12)
            else:
                assert got == value, name


@pytest.mark.usefixtures("host_device")
@pytest.mark.parametrize("nonfinite", ["error", "ignore"])
def test_formats(nonfinite, monkeypatch):
    x = adversarial((48, 256), 2)
    if nonfinite == "ignore":
        x[5, 7], x[17, 100] = np.nan, np.inf
    expected = fp4sim.compare(x, SPECS, nonfinite=nonfinite)
    alike(on_device_compare(x, SPECS, monkeypatch, nonfinite=nonfinite), expected)


@pytest.mark.usefixtures("host_device")
def test_catalogue(monkeypatch):
    x = adversarial((32, 256), 3)
    specs = list(dict.fromkeys(info.example for _, info in CATALOGUE))
    alike(on_device_compare(x, specs, monkeypatch), fp4sim.compare(x, specs))
