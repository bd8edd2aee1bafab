"""cuBLASLt by ctypes: D = A B^T of 4- and 8-bit operands with FP32 output, for what only the library's kernels show (tcgen05).

Numbers of enumerations: cublasLt.h of CUDA 12.8 and later, library_types.h. Row-major (m, K) is cuBLASLt's column-major
(K, m), so A is passed transposed, and D comes out column-major.
"""

from __future__ import annotations

import ctypes
from contextlib import ExitStack, contextmanager
from ctypes import byref, c_float, c_int, c_int32, c_int64, c_size_t, c_uint64, c_void_p
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fp4sim.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMPUTE_32F, _R_32F, _OP_T = 68, 0, 1
_NOT_SUPPORTED = 15
_TRANSA, _A_SCALE_POINTER, _B_SCALE_POINTER, _A_SCALE_MODE, _B_SCALE_MODE = 3, 17, 18, 31, 32
_MAX_WORKSPACE, _REDUCTION_SCHEMES = 1, 3  # of the preference
_WORKSPACE = 64 << 20


@dataclass(frozen=True)
class Operand:
    """A data type of operands: CUDA's number and elements a byte, and the mode of its block scales (None: one is assumed)."""

    type: int
    per_byte: int
    scale_mode: int | None = None


NVF4 = Operand(33, 2, 1)  # E2M1, UE4M3 a 16
MXF4 = Operand(33, 2, 2)  # E2M1, UE8M0 a 32
E4M3 = Operand(28, 1)


class NoAlgorithmError(Exception):
    """The library has no kernel for this product on this GPU."""


class _Result(ctypes.Structure):
    _fields_ = (
        ("algo", c_uint64 * 8),
        ("workspace", c_size_t),
        ("state", c_int),
        ("waves", c_float),
        ("reserved", c_int * 4),
    )


@dataclass(frozen=True)
class Product:
    """Addresses on the device: ``a`` (m, k) and ``b`` (n, k) row-major, scales laid out 128x4, ``d`` (n, m) float32."""

    operand: Operand
    m: int
    n: int
    k: int
    a: int
    b: int
    d: int
    workspace: int
    scale_a: int = 0
    scale_b: int = 0
    stream: int = 0


def multiply(product: Product) -> None:
    """Run a product that splits no K, so that every output is one chain. Raises NoAlgorithmError, DeviceError."""
    library, handle = _library(), c_void_p()
    with ExitStack() as stack:
        _check(library.cublasLtCreate(byref(handle)), "cublasLtCreate")
        stack.callback(library.cublasLtDestroy, handle)
        description = stack.enter_context(_made(library, "MatmulDesc", c_int(_COMPUTE_32F), c_int(_R_32F)))
        _describe(library, description, product)
        kind = product.operand.type
        layouts = [
            stack.enter_context(_layout(library, kind, product.k, product.m)),
            stack.enter_context(_layout(library, kind, product.k, product.n)),
            stack.enter_context(_layout(library, _R_32F, product.m, product.n)),
        ]
        preference = stack.enter_context(_made(library, "MatmulPreference"))
        _set(library, "MatmulPreference", preference, _MAX_WORKSPACE, c_size_t(_WORKSPACE))
        _set(library, "MatmulPreference", preference, _REDUCTION_SCHEMES, c_int32(0))
        found, result = c_int(), _Result()
        a, b, d = layouts
        asked = (handle, description, a, b, d, d, preference, c_int(1), byref(result), byref(found))
        status = library.cublasLtMatmulAlgoGetHeuristic(*asked)
        if status == _NOT_SUPPORTED or (status == 0 and found.value == 0):
            raise NoAlgorithmError("cuBLASLt has no algorithm for this product on this GPU")
        _check(status, "cublasLtMatmulAlgoGetHeuristic")
        one, zero = c_float(1.0), c_float(0.0)
        address, size = c_void_p(product.workspace), c_size_t(_WORKSPACE)
        run = (handle, description, byref(one), c_void_p(product.a), a, c_void_p(product.b), b, byref(zero))
        out = (
            c_void_p(product.d),
            d,
            c_void_p(product.d),
            d,
            byref(result.algo),
            address,
            size,
            c_void_p(product.stream),
        )
        _check(library.cublasLtMatmul(*run, *out), "cublasLtMatmul")


def workspace_bytes() -> int:
    """Bytes that :func:`multiply` wants at ``workspace``."""
    return _WORKSPACE


def version() -> str:
    """The library's version, e.g. 13.1.0. Raises DeviceError where there is none."""
    number = int(_library().cublasLtGetVersion())
    return f"{number // 10000}.{number % 10000 // 100}.{number % 100}"


@lru_cache(maxsize=1)
def _library() -> Any:
    names = []
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib

        names.append(str(load_nvidia_dynamic_lib("cublasLt").abs_path))
    except Exception:  # not installed, or it finds nothing
        names += ["libcublasLt.so.13", "libcublasLt.so.12", "cublasLt64_13.dll", "cublasLt64_12.dll"]
    for name in names:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.cublasLtGetVersion.restype = c_size_t
        return library
    raise DeviceError("cuBLASLt is not there: pip install nvidia-cublas, or install the CUDA toolkit")


def _describe(library: Any, description: c_void_p, product: Product) -> None:
    _set(library, "MatmulDesc", description, _TRANSA, c_int32(_OP_T))
    if product.operand.scale_mode is not None:
        modes = ((_A_SCALE_MODE, _A_SCALE_POINTER, product.scale_a), (_B_SCALE_MODE, _B_SCALE_POINTER, product.scale_b))
        for mode, pointer, address in modes:
            _set(library, "MatmulDesc", description, mode, c_int32(product.operand.scale_mode))
            _set(library, "MatmulDesc", description, pointer, c_void_p(address))


@contextmanager
def _made(library: Any, kind: str, *arguments: Any) -> Iterator[c_void_p]:
    made = c_void_p()
    _check(getattr(library, f"cublasLt{kind}Create")(byref(made), *arguments), f"cublasLt{kind}Create")
    try:
        yield made
    finally:
        getattr(library, f"cublasLt{kind}Destroy")(made)


@contextmanager
def _layout(library: Any, kind: int, rows: int, columns: int) -> Iterator[c_void_p]:
    """A column-major matrix whose columns lie one after the other."""
    with _made(library, "MatrixLayout", c_int(kind), c_uint64(rows), c_uint64(columns), c_int64(rows)) as made:
        yield made


def _set(library: Any, kind: str, target: c_void_p, attribute: int, value: Any) -> None:
    name = f"cublasLt{kind}SetAttribute"
    _check(getattr(library, name)(target, c_int(attribute), byref(value), c_size_t(ctypes.sizeof(value))), name)


def _check(status: int, function: str) -> None:
    if status == _NOT_SUPPORTED:
        raise NoAlgorithmError(f"{function}: not supported on this GPU")
    if status != 0:
        raise DeviceError(f"{function} failed with status {status}")
