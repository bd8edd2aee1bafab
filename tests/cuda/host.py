"""Compiles what is in cuda/ as plain C++ and loads it, so that its functions are tested without a GPU."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

import pytest

from fp4sim.kernels.cuda.sources import source_folder

HERE = Path(__file__).parent
COUNTERS = 64  # threads of value_counts.cu here
FEWER = (f"FP4_COUNTERS_16={COUNTERS}", f"FP4_COUNTERS_32={COUNTERS}")
TOGETHER = ("stats.cu", "value_counts.cu", "hadamard.cu", "eden.cu")  # kernels whose threads use barriers and shuffles


def lacking(reason: str) -> None:
    """Skip, except where CI runs: there everything is installed, and what is not would go untested unnoticed."""
    pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)


@lru_cache(maxsize=64)
def host_library(source: str, defines: tuple[str, ...] = ()) -> ctypes.CDLL:
    """A shared library of a .cpp file beside this one, or of a kernel file by the emulator; :func:`lacking` without g++.

    -ffp-contract=off: bits count.
    """
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        lacking("no C++ compiler: the CUDA sources cannot be run on the CPU")
    emulator = "fibers.h" if source in TOGETHER else "emulate.h"
    text = f'#include "{emulator}"\n#include "{source}"\n' if source.endswith(".cu") else (HERE / source).read_text()
    files = [*HERE.glob("*.h"), *source_folder().glob("*.cu*")]
    texts = "".join([text, *defines, *(file.read_text() for file in sorted(files))])
    built = Path(tempfile.gettempdir()) / f"fp4sim-{source}-{hashlib.sha256(texts.encode()).hexdigest()[:16]}.so"
    if not built.is_file():
        partial = built.with_suffix(f".{os.getpid()}.part")
        command = [compiler, "-std=c++17", "-O1", "-ffp-contract=off", "-fPIC", "-shared", "-Wall", "-Werror"]
        command += [
            "-Wno-unknown-pragmas",
            "-Wno-unused-variable",
            "-Wno-unused-function",
            *(f"-D{d}" for d in (*defines, *FEWER)),
        ]
        command += [f"-I{source_folder()}", f"-I{HERE}", "-x", "c++", "-", "-o", str(partial)]
        subprocess.run(command, input=text, text=True, check=True)
        partial.replace(built)
    return ctypes.CDLL(str(built))
