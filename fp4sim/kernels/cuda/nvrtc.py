"""NVRTC by whichever binding is installed: cuda-bindings (every target, no driver needed) or CuPy's own.

A driver loads machine code of its own major version and of older ones, so the newest compiler that is not newer than the
driver is taken; without a driver (a build machine) the newest.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fp4sim.errors import DeviceError
from fp4sim.kernels.cuda.sources import headers


@dataclass(frozen=True)
class Nvrtc:
    """A compiler: ``run(source, name, options)`` gives machine code (cubin)."""

    binding: str
    version: tuple[int, int]
    run: Callable[[str, str, Sequence[str]], bytes]


@lru_cache(maxsize=8)
def find_nvrtc(driver_major: int | None) -> Nvrtc:
    """The compiler for a driver. Raises DeviceError naming what to install."""
    found = [nvrtc for nvrtc in (_by_cuda_bindings(), _by_cupy()) if nvrtc is not None]
    fitting = [nvrtc for nvrtc in found if driver_major is None or nvrtc.version[0] <= driver_major]
    if fitting:
        return max(fitting, key=lambda nvrtc: nvrtc.version[0])
    if found:
        versions = ", ".join(f"{nvrtc.binding} {nvrtc.version[0]}.{nvrtc.version[1]}" for nvrtc in found)
        raise DeviceError(
            f"NVRTC is newer than the driver's CUDA {driver_major} ({versions}): pip install"
            f" 'nvidia-cuda-nvrtc-cu{driver_major}' 'cuda-bindings=={driver_major}.*', or update the driver"
        )
    raise DeviceError("CUDA kernels need NVRTC, which is not installed: pip install 'fp4sim[cuda]'")


@lru_cache(maxsize=8)
def release_of(nvrtc: Nvrtc, arch: str) -> str:
    """The library's full version, e.g. 13.0.88: no call tells it, but its machine code does, that of 12.9 for Blackwell alone.

    Where none tells, a hash of the code.
    """
    cubin = b""
    for target in (arch, "sm_120"):
        with contextlib.suppress(DeviceError):  # before 12.8 it does not know the second
            cubin = nvrtc.run("__device__ int one;", "one.cu", (f"--gpu-architecture={target}",))
            found = re.search(rb"Cuda compilation tools, release [0-9.]+, V([0-9.]+)", cubin)
            if found:
                return found[1].decode()
    return hashlib.sha256(cubin).hexdigest()


def _by_cuda_bindings() -> Nvrtc | None:
    try:
        from cuda.bindings import nvrtc
    except ImportError:
        return None
    try:
        error, major, minor = nvrtc.nvrtcVersion()
    except RuntimeError:  # the binding without the library
        return None

    def check(result: tuple[Any, ...], what: str) -> Any:
        if int(result[0]) != 0:
            raise DeviceError(f"NVRTC: {what} failed ({nvrtc.nvrtcGetErrorString(result[0])[1].decode()})")
        return result[1] if len(result) > 1 else None

    def run(source: str, name: str, options: Sequence[str]) -> bytes:
        included = headers()
        texts, names = [text.encode() for text in included.values()], [key.encode() for key in included]
        program = check(nvrtc.nvrtcCreateProgram(source.encode(), name.encode(), len(names), texts, names), name)
        try:
            (error,) = nvrtc.nvrtcCompileProgram(program, len(options), [option.encode() for option in options])
            if int(error) != 0:
                log = b" " * check(nvrtc.nvrtcGetProgramLogSize(program), "reading the log")
                nvrtc.nvrtcGetProgramLog(program, log)
                raise refused(name, log.decode(errors="replace"))
            cubin = b" " * check(nvrtc.nvrtcGetCUBINSize(program), "reading the machine code")
            check(nvrtc.nvrtcGetCUBIN(program, cubin), "reading the machine code")
            return bytes(cubin)
        finally:
            nvrtc.nvrtcDestroyProgram(program)

    return None if int(error) != 0 else Nvrtc("cuda-bindings", (int(major), int(minor)), run)


def _by_cupy() -> Nvrtc | None:
    try:
        from cupy.cuda import nvrtc

        version = nvrtc.getVersion()
    except Exception:  # no CuPy, or CuPy without its library
        return None

    def run(source: str, name: str, options: Sequence[str]) -> bytes:
        included = headers()
        texts, names = [text.encode() for text in included.values()], [key.encode() for key in included]
        program = nvrtc.createProgram(source, name, texts, names)
        try:
            nvrtc.compileProgram(program, list(options))
            return bytes(nvrtc.getCUBIN(program))
        except nvrtc.NVRTCError:
            raise refused(name, str(nvrtc.getProgramLog(program))) from None
        finally:
            nvrtc.destroyProgram(program)

    return Nvrtc("CuPy", (int(version[0]), int(version[1])), run)


def refused(name: str, log: str) -> DeviceError:
    """What is raised of a source that does not compile: the log's first error."""
    lines = [line.strip() for line in log.strip("\0 \n").splitlines() if "error" in line]
    return DeviceError(f"NVRTC cannot compile {name}: {lines[0] if lines else log.strip()[:200] or 'no log'}")
