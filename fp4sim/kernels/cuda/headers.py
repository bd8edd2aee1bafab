"""Where NVIDIA's own headers (cuda_fp4.h, cuda_fp8.h; CUDA 12.8 or later) are, for the sources that include them."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from fp4sim.errors import DeviceError
from fp4sim.kernels.cuda.sources import read_source

_HEADER = "cuda_fp4.h"
_WHEELS = {12: "nvidia-cuda-runtime-cu12"}  # by major version of CUDA; those of 13 and later have no suffix


def find_toolkit_include(major: int | None = None) -> Path | None:
    """The include folder of $CUDA_HOME or $CUDA_PATH, of NVIDIA's wheels, or of the usual place of the toolkit.

    ``major``: of the compiler, which cannot read the headers of a later CUDA; None for any.
    """
    roots = [Path(os.environ[name]) for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    wheels = ("cu13", "cuda_runtime", "cuda_nvcc")
    roots += [Path(entry) / "nvidia" / part for entry in sys.path if entry for part in wheels]
    roots.append(Path("/usr/local/cuda"))
    found = (root / "include" for root in roots if (root / "include" / _HEADER).is_file())
    return next((include for include in found if major is None or _major_of(include) <= major), None)


def _major_of(include: Path) -> int:
    """The major version of CUDA that headers are of; 0 where they do not say."""
    try:
        text = (include / "cuda_runtime_api.h").read_text(errors="replace")
    except OSError:
        return 0
    said = re.search(r"^#define CUDART_VERSION +(\d+)", text, re.MULTILINE)
    return int(said[1]) // 1000 if said else 0


def include_options(major: int | None = None) -> tuple[str, ...]:
    """Compiler options that make them found. Raises DeviceError where none are there that the compiler can read."""
    include = find_toolkit_include(major)
    if include is None:
        newer = find_toolkit_include()
        what = "is not there" if newer is None else f"is there, but of CUDA {_major_of(newer)}, in {newer}"
        wheels = _WHEELS.get(major or 0, "nvidia-cuda-runtime nvidia-cuda-crt")
        limit = "" if major is None else f", at most {major}.x"
        raise DeviceError(
            f"NVIDIA's {_HEADER} {what}: pip install {wheels}, or install the CUDA toolkit (12.8 or later{limit}) and"
            " set CUDA_HOME"
        )
    return (f"-I{include}", f"-I{include / 'cccl'}")


def needs_toolkit(source: str) -> bool:
    """Whether a source includes a header that the compiler does not bring along."""
    return "#include <cuda_fp" in read_source(source)
