"""``--device cuda``: the GPU's file is the CPU's, byte for byte, and without a GPU one line and exit code 4."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from fp4sim.commands.compare import Settings
from fp4sim.commands.pack import pack_source
from fp4sim.errors import DeviceError
from fp4sim.grammar import parse
from fp4sim.kernels.cuda import load


def without_gpu() -> None:
    try:
        load.get_cupy()
    except DeviceError:
        return
    pytest.skip("a GPU is here")


COMMANDS = [["quantize", "IN", "OUT", "-f", "nvfp4"], ["compare", "IN"], ["bias", "IN", "--draws", "16"]]


@pytest.mark.parametrize("command", COMMANDS)
def test_without_a_gpu(command, tmp_path):
    without_gpu()
    np.save(tmp_path / "x.npy", np.ones((16, 128), np.float32))
    places = {"IN": str(tmp_path / "x.npy"), "OUT": str(tmp_path / "out.safetensors")}
    line = [sys.executable, "-m", "fp4sim", *(places.get(word, word) for word in command), "--device", "cuda"]
    ran = subprocess.run(line, capture_output=True, text=True)
    assert ran.returncode == 4
    assert ran.stderr.startswith("fp4sim: error: ")
    assert ran.stderr.count("\n") == 1
    assert ran.stdout == ""
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("spec", ["nvfp4", "mxfp4@rceil+sr", "nvfp4@torchao", "mxplus"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_same_file(spec, dtype, tmp_path, host_device):
    np.save(tmp_path / "x.npy", np.random.default_rng(1).standard_normal((32, 96)).astype(dtype))
    for device, name in ((None, "cpu"), ("cuda", "gpu")):
        pack_source(tmp_path / "x.npy", tmp_path / f"{name}.safetensors", parse(spec), Settings(device=device))
    assert (tmp_path / "cpu.safetensors").read_bytes() == (tmp_path / "gpu.safetensors").read_bytes()
