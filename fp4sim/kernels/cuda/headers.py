"""Where NVIDIA's own headers (cuda_fp4.h, cuda_fp8.h; CUDA 12.8 or later) are, for the sources that include them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from fp4sim.errors import DeviceError
from fp4sim.kernels.cuda.sources import read_source

_HEADER = "cuda_fp4.h"


def find_toolkit_include() -> Path | None:
    """The include folder of $CUDA_HOME or $CUDA_PATH, of NVIDIA's wheels, or of the usual place of the toolkit."""
    roots = [Path(os.environ[name]) for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    wheels = ("cu13", "cuda_runtime", "cuda_nvcc")
    roots += [Path(entry) / "nvidia" / part for entry in sys.path if entry for part in wheels]
    roots.append(Path("/usr/local/cuda"))
    return next((root / "include" for root in roots if (root / "include" / _HEADER).is_file()), None)


def include_options() -> tuple[str, ...]:
    """Compiler options that make them found. Raises DeviceError where they are not there."""
    include = find_toolkit_include()
    if include is None:
        raise DeviceError(
            f"NVIDIA's {_HEADER} is not there: pip install nvidia-cuda-runtime nvidia-cuda-crt, or install the CUDA toolkit"
            " 12.8 or later and set CUDA_HOME"
        )
    return (f"-I{include}", f"-I{include / 'cccl'}")


def needs_toolkit(source: str) -> bool:
    """Whether a source includes a header that the compiler does not bring along."""
    return "#include <cuda_fp" in read_source(source)
