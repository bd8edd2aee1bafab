"""GPU hosts often carry CuPy and little else: the same bits without numba, scipy, ml_dtypes, typer and rich."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np

import fp4sim

ROOT = Path(__file__).parents[2]
SPECS = ("nvfp4", "mxfp4+sr:bits=8", "nvfp4@torchao", "nvfp4+4over6", "nvfp4/16x16", "nvfp4+rht:16:te", "e1m2/8@e4m3")

SCRIPT = """
import hashlib, sys

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
x = fake.asarray(np.random.default_rng(5).standard_normal((32, 96)).astype(np.float32))
for spec in sys.argv[1:]:
    packed = fp4sim.quantize(x, spec, seed=1)
    parts = packed.packed, packed.block_scale, packed.tensor_scale, packed.dequantize(), fp4sim.fake_quant(x, spec, seed=1)
    print(hashlib.sha256(b"".join(part.get().tobytes() for part in parts)).hexdigest())
"""


def test_bits_without_the_compiled_backend():
    ran = subprocess.run([sys.executable, "-c", SCRIPT, *SPECS], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    x = np.random.default_rng(5).standard_normal((32, 96)).astype(np.float32)
    for spec, found in zip(SPECS, ran.stdout.split(), strict=True):
        packed = fp4sim.quantize(x, spec, seed=1)
        values = packed.dequantize()
        parts = packed.packed, packed.block_scale, packed.tensor_scale, values, values
        assert found == hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest(), spec
