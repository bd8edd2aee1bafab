"""Machine code as text, by NVIDIA's nvdisasm: whether the instructions that a source is about are really in it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from fp4sim.errors import DeviceError
from fp4sim.kernels.cuda.targets import machine_patterns


def find_nvdisasm() -> Path | None:
    """The program of PyPI's nvidia-cuda-nvdisasm, of $CUDA_HOME or $CUDA_PATH, or on PATH."""
    folders = [Path(entry) / "nvidia" / "cu13" / "bin" for entry in sys.path if entry]
    folders += [Path(os.environ[name]) / "bin" for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    for folder in folders:
        for program in (folder / "nvdisasm", folder / "nvdisasm.exe"):
            if program.is_file():
                return program
    found = shutil.which("nvdisasm")
    return None if found is None else Path(found)


def disassemble(cubin: bytes) -> str:
    """Machine code as text. Raises DeviceError where nvdisasm is missing or cannot read it."""
    program = find_nvdisasm()
    if program is None:
        raise DeviceError("no nvdisasm: pip install nvidia-cuda-nvdisasm, or install NVIDIA's CUDA toolkit")
    with tempfile.TemporaryDirectory(prefix="fp4sim-") as folder:
        path = Path(folder) / "code.cubin"
        path.write_bytes(cubin)
        run = subprocess.run([str(program), str(path)], capture_output=True, text=True, check=False)
    if run.returncode or not run.stdout.strip():
        reason = (run.stderr.strip() or "it prints nothing").splitlines()[0]
        raise DeviceError(f"nvdisasm cannot read this machine code: {reason}")
    return run.stdout


def missing_instructions(name: str, target: str, text: str) -> tuple[str, ...]:
    """Of the instructions that a source for a target is about those that its disassembly lacks, as regular expressions."""
    return tuple(pattern for pattern in machine_patterns(name, target) if not re.search(pattern, text))
