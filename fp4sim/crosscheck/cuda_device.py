"""The GPU that is present, by CuPy. Sources are compiled for it with its own instructions where they take them."""

from __future__ import annotations

import platform
from contextlib import suppress
from functools import lru_cache
from importlib import import_module, metadata
from importlib.util import find_spec
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.crosscheck import cublaslt
from fp4sim.crosscheck.check import SkipCheckError
from fp4sim.crosscheck.device import DeviceInfo
from fp4sim.errors import DeviceError
from fp4sim.kernels.cuda.compile import OPTIONS, compile_source, uncached_file
from fp4sim.kernels.cuda.headers import include_options, needs_toolkit
from fp4sim.kernels.cuda.load import device_errors, driver_major, get_cupy, launch, target
from fp4sim.kernels.cuda.nvrtc import find_nvrtc, release_of
from fp4sim.kernels.cuda.sources import read_source
from fp4sim.kernels.cuda.targets import target_for
from fp4sim.layouts import swizzle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fp4sim.crosscheck.check import Check
    from fp4sim.crosscheck.device import Instruction
    from fp4sim.kernels.interface import Kernels

PACKAGES = ("torch", "transformer_engine", "flashinfer-python", "torchao", "vllm", "ml_dtypes", "numba")

_AHEAD = ("hadamard.cu", "eden.cu", "stats.cu")  # what takes longest to compile and is wanted last


class CudaDevice:
    """The current GPU. Raises DeviceError where there is none that can be used."""

    def __init__(self) -> None:
        self._cupy = get_cupy()
        self.info = _info(self._cupy)

    def put(self, array: NDArray[Any]) -> Any:
        """A copy on the device."""
        with device_errors():
            return self._cupy.asarray(np.ascontiguousarray(array))

    def tensor(self, array: NDArray[Any]) -> Any:
        """What fp4sim's public functions take on the device; bfloat16 by torch, else by CuPy from 14 on, else None."""
        if array.dtype.name != "bfloat16":
            return self.put(array)
        if find_spec("torch"):
            return self.torch(array)
        try:
            return self.put(array.view(np.uint16)).view(array.dtype)
        except (TypeError, ValueError):  # before 14
            return None

    def get(self, array: Any) -> NDArray[Any]:
        """A copy as numpy."""
        with device_errors():
            return np.asarray(self._cupy.asnumpy(array))

    def own_kernels(self) -> Kernels:
        """fp4sim's own backend."""
        from fp4sim.kernels.cuda.kernels import CudaKernels

        return CudaKernels

    def counts_values(self, elements: int) -> bool:
        """Whether a thread block gets the shared memory, and its counts have the range."""
        from fp4sim.kernels.cuda.value_counts import has_room

        return has_room(elements)

    def compile_ahead(self, checks: Sequence[Check]) -> Thread:
        """Compile beside the first checks what later ones of them need; an error shows where the code is used."""
        own, major = target(), driver_major()

        def run() -> None:
            for source in _AHEAD:
                if any(source in check.sources for check in checks):
                    with suppress(DeviceError):
                        compile_source(source, own, driver_major=major)

        thread = Thread(target=run, daemon=True)
        thread.start()
        return thread

    def call(self, source: str, kernel: str, threads: int, *args: Any) -> None:
        """Run a kernel and wait for its end. Raises DeviceError."""
        with device_errors():
            launch(_module(source, self.info.capability).get_function(kernel), threads, args)
            self._cupy.cuda.get_current_stream().synchronize()

    def multiply_by_library(
        self, kind: str, a: NDArray[Any], b: NDArray[Any], scales: tuple[NDArray[Any], NDArray[Any]] | None = None
    ) -> NDArray[Any]:
        """Bits of A B^T, float32 (m, n), by cuBLASLt. Raises SkipCheckError, DeviceError."""
        operand = {"nvf4": cublaslt.NVF4, "mxf4": cublaslt.MXF4, "e4m3": cublaslt.E4M3}[kind]
        (m, n), k = (a.shape[0], b.shape[0]), a.shape[1] * operand.per_byte
        swizzled = [] if scales is None else [self.put(swizzle(part, "128x4")) for part in scales]
        given = [self.put(a), self.put(b)]
        with device_errors():
            d = self._cupy.zeros((n, m), np.uint32)
            workspace = self._cupy.empty(cublaslt.workspace_bytes(), np.uint8)
            stream = self._cupy.cuda.get_current_stream()
            first, second, out, scratch = (int(array.data.ptr) for array in (*given, d, workspace))
            scale_a, scale_b = (int(array.data.ptr) for array in swizzled) if swizzled else (0, 0)
            product = cublaslt.Product(operand, m, n, k, first, second, out, scratch, scale_a, scale_b, int(stream.ptr))
            try:
                cublaslt.multiply(product)
            except cublaslt.NoAlgorithmError as error:
                raise SkipCheckError(f"{error} (cuBLASLt {cublaslt.version()})") from None
            stream.synchronize()
        return np.ascontiguousarray(self.get(d).T)

    def instructions(self) -> dict[str, tuple[str, Instruction]]:
        """Dense tensor-core instructions of this GPU."""
        from fp4sim.kernels.cuda.dense_mma import INSTRUCTIONS, available, instruction

        return {name: (INSTRUCTIONS[name].kind, instruction(name)) for name in available()}

    def torch(self, array: NDArray[Any]) -> Any:
        """The array as a torch tensor on the device; uint16 stands for bfloat16."""
        import torch

        bits = array.view(np.uint16) if array.dtype.name == "bfloat16" else array
        tensor = torch.from_numpy(np.ascontiguousarray(bits)).cuda()
        return tensor.view(torch.bfloat16) if bits.dtype == np.uint16 else tensor


@lru_cache(maxsize=64)
def _module(source: str, capability: tuple[int, int]) -> Any:
    """A source loaded; those that include NVIDIA's headers are not cached, since the headers are no part of the key."""
    nvrtc = find_nvrtc(driver_major())
    options = (*OPTIONS, *(include_options(nvrtc.version[0]) if needs_toolkit(source) else ()))
    target = target_for(source, capability)
    cubin = nvrtc.run(read_source(source), source, (*options, f"--gpu-architecture={target}"))
    return get_cupy().RawModule(path=str(uncached_file(source, cubin)))


def _info(cupy: Any) -> DeviceInfo:
    with device_errors():
        runtime, device = cupy.cuda.runtime, cupy.cuda.Device()
        properties = runtime.getDeviceProperties(device.id)
        major, minor = int(properties["major"]), int(properties["minor"])
        facts = {
            "name": properties["name"].decode(errors="replace"),
            "compute_capability": f"{major}.{minor}",
            "driver": _driver(),
            "driver_cuda": _version(runtime.driverGetVersion()),
            "multiprocessors": str(properties["multiProcessorCount"]),
            "memory_bytes": str(properties["totalGlobalMem"]),
        }
        nvrtc = find_nvrtc(driver_major())
    software = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "cupy": cupy.__version__,
        "cuda_runtime": _version(runtime.runtimeGetVersion()),
        "nvrtc": f"{release_of(nvrtc, target())} by {nvrtc.binding}",
    }
    for package in PACKAGES:
        try:
            software[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return DeviceInfo((major, minor), facts, software)


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _driver() -> str:
    """The driver's own version, which only NVML tells, by whichever way there is."""
    try:
        pynvml = import_module("pynvml")
    except ImportError:
        return _driver_of_smi()
    try:
        pynvml.nvmlInit()
        version = pynvml.nvmlSystemGetDriverVersion()
        return str(version.decode() if isinstance(version, bytes) else version)
    except Exception:
        return _driver_of_smi()


def _driver_of_smi() -> str:
    import subprocess

    try:
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
        return run.stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return "unknown"
