"""``fp4sim.compare`` on a GPU's arrays against the CPU's, every estimator of the catalogue; the kernels run on the host."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fp4sim
from fp4sim.estimators.catalogue import CATALOGUE
from fp4sim.gpu.panels import DevicePanels, device_tensor
from fp4sim.io.source import ArrayTensor
from fp4sim.kernels.cuda.arrays import on_device
from fp4sim.panels import Panels
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
@pytest.mark.parametrize("nonfinite", [pytest.param("error", marks=pytest.mark.slow), "ignore"])
def test_formats(nonfinite):
    x = adversarial((48, 256), 2)
    if nonfinite == "ignore":
        x[5, 7], x[17, 100] = np.nan, np.inf
    expected = fp4sim.compare(x, SPECS, nonfinite=nonfinite)
    alike(fp4sim.compare(on_device(x), SPECS, nonfinite=nonfinite), expected)


@pytest.mark.usefixtures("host_device")
def test_catalogue():
    x = adversarial((32, 256), 3)
    specs = list(dict.fromkeys(info.example for _, info in CATALOGUE))
    alike(fp4sim.compare(on_device(x), specs), fp4sim.compare(x, specs))


LEAN = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"numba", "llvmlite", "scipy", "ml_dtypes", "typer", "rich", "matplotlib", "torch"}:
            raise ImportError(f"{name} is not installed", name=name)

sys.meta_path.insert(0, Absent())
import numpy as np
from fp4sim.kernels.cuda import load
from tests.cuda.fake_cupy import FakeCupy, fake_kernel
fake = FakeCupy()
load.get_cupy, load.kernel, load.processors = lambda: fake, fake_kernel, lambda: 1
import fp4sim
import fp4sim.commands.bias
x = fake.asarray(np.random.default_rng(5).standard_normal((32, 256)).astype(np.float32))
for one in fp4sim.compare(x, sys.argv[1:]).tensors[0].results:
    print(f"{one.snr_db:.9f}")
"""


def test_without_the_compiled_backend():
    """GPU hosts often carry CuPy and little else."""
    specs = [
        "nvfp4",
        "mxfp4",
        "nvfp4+mseden",
        "nvfp4+mseden:posthoc",
        "nvfp4+rht:16:te",
        "nvfp4+sr",
        "if4",
        "mxfp4+quest",
    ]
    root = Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", LEAN, *specs], cwd=root, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    x = np.random.default_rng(5).standard_normal((32, 256)).astype(np.float32)
    expected = fp4sim.compare(x, specs).tensors[0].results
    assert ran.stdout.split() == [f"{one.snr_db:.9f}" for one in expected]


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.usefixtures("host_device")
def test_a_whole_tensor_comes_to_the_host(axis):
    """As the host's panels have it, also changed and without the numbers that are not finite."""
    x = adversarial((12, 70), 8)
    x[3, 5:7] = np.nan, np.inf
    there, here = DevicePanels(device_tensor("x", on_device(x)), axis), Panels(ArrayTensor("x", x), axis)
    assert there.whole().tobytes() == np.ascontiguousarray(here.whole()).tobytes()
    changed = (panels.mapped(lambda _cell, panel: panel + panel, drop=True).whole() for panels in (there, here))
    one, other = (np.ascontiguousarray(matrix) for matrix in changed)
    assert np.isfinite(one).all()
    assert one.tobytes() == other.tobytes()


@pytest.mark.usefixtures("host_device")
def test_cells_worked_on_together_change_no_digit(monkeypatch):
    """Runs of one cell, of a few and of all: sums belong to cells."""
    monkeypatch.setattr("fp4sim.geometry.CELL_ELEMENTS", 1 << 11)
    x, specs = on_device(adversarial((48, 256), 4)), ["nvfp4+sr", "nvfp4/16x16", "mxfp4@torchao", "e2m1/row@fp32"]
    found = []
    for elements in (1 << 11, 1 << 12, 1 << 24):
        monkeypatch.setattr("fp4sim.gpu.panels.PIECE_ELEMENTS", elements)
        found.append([vars(one) for one in fp4sim.compare(x, specs).tensors[0].results])
    assert found[0] == found[1] == found[2]
