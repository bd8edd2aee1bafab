"""Fixtures: NVIDIA's header functions compiled for the host, the golden vectors, and hypothesis settings."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("fp4sim", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.load_profile("fp4sim")

for _name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):  # mismatches that tests make are no news for GitHub
    os.environ.pop(_name, None)

TESTS = Path(__file__).parent
DATA = TESTS / "data"
PACKAGE_DATA = TESTS.parent / "fp4sim" / "data"


def golden(name: str) -> np.lib.npyio.NpzFile:
    """Load a file of golden vectors from tests/data or the package's own data; a missing one is an error."""
    place = DATA / name
    return np.load(place if place.exists() else PACKAGE_DATA / name, allow_pickle=False)


def _cuda_include() -> Path | None:
    roots = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    roots += [str(Path(entry) / "nvidia" / part) for entry in sys.path for part in ("cu13", "cuda_runtime")]
    for root in roots:
        if root and (Path(root) / "include" / "cuda_fp4.h").is_file():
            return Path(root) / "include"
    return None


class CudaCasts:
    """NVIDIA's host conversions: ``casts("float_to_e2m1", x)`` gives the codes of a float32 array."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))

    def __call__(self, name: str, x: np.ndarray) -> np.ndarray:
        x = np.ascontiguousarray(x, np.float32)
        out = np.empty(x.shape, np.uint8)
        function = getattr(self._library, name)
        function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
        function(x.ctypes.data, out.ctypes.data, x.size)
        return out


@pytest.fixture(scope="session")
def cuda_casts(tmp_path_factory: pytest.TempPathFactory) -> CudaCasts:
    """Compile tests/oracle/cuda_casts.cpp against cuda_fp4.hpp and cuda_fp8.hpp."""
    include, compiler = _cuda_include(), shutil.which("g++") or shutil.which("clang++")
    if include is None or compiler is None:
        reason = "needs NVIDIA's cuda_fp4.h (CUDA toolkit 12.8 or later, CUDA_HOME) and a C++ compiler"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    library = tmp_path_factory.mktemp("oracle") / "cuda_casts.so"
    source = TESTS / "oracle" / "cuda_casts.cpp"
    flags = ["-O2", "-shared", "-fPIC", f"-I{include}", f"-I{include / 'cccl'}"]
    subprocess.run([compiler, *flags, str(source), "-o", str(library)], check=True)
    return CudaCasts(library)
