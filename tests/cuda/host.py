"""Compiles what is in cuda/ as plain C++ and loads it, so that its functions are tested without a GPU."""

from __future__ import annotations

import ctypes
import hashlib
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

import pytest

from fp4sim.kernels.cuda.sources import source_folder

HERE = Path(__file__).parent


@lru_cache(maxsize=16)
def host_library(source: str) -> ctypes.CDLL:
    """A shared library of a .cpp file beside this one; skips without g++. -ffp-contract=off: bits count."""
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler: the CUDA headers cannot be run on the CPU")
    path = HERE / source
    files = [*HERE.glob("*.h"), *HERE.glob("*.cpp"), *source_folder().glob("*.cu*")]
    texts = "".join(file.read_text() for file in sorted(files))
    built = Path(tempfile.gettempdir()) / f"fp4sim-{path.stem}-{hashlib.sha256(texts.encode()).hexdigest()[:16]}.so"
    if not built.is_file():
        partial = built.with_suffix(f".{id(path)}.part")
        command = [compiler, "-std=c++17", "-O2", "-ffp-contract=off", "-fPIC", "-shared", "-Wall", "-Werror"]
        subprocess.run([*command, f"-I{source_folder()}", f"-I{HERE}", str(path), "-o", str(partial)], check=True)
        partial.replace(built)
    return ctypes.CDLL(str(built))
