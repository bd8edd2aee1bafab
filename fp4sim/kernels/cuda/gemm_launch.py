"""What every launch of cuda/gemm.cu shares: models and epilogues as arguments, and the build for a device."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.errors import DeviceError
from fp4sim.kernels.cuda import load

if TYPE_CHECKING:
    from numpy.typing import NDArray

NO_FLOOR = -4096
ANCHORINGS = ("products", "scales", "any-scale")
OUTS = {"float32": np.float32, "bfloat16": np.uint16, "float16": np.float16}
TILE_M, TILE_N = 128, 256  # as in the sources

_SOURCE, _STAGE = "gemm.cu", (TILE_M + TILE_N) * 128


@dataclass(frozen=True, eq=False)
class Rule:
    """A model in numbers, for one scale format.

    * ``fraction``: bits kept below the anchor; ``floor``: the least anchor where C is 0, or NO_FLOOR.
    * ``anchoring``: one of ANCHORINGS; ``table``: int16 (256, 2), significand (-1: NaN) and exponent of each scale byte, whose
      value is ``significand * 2^(exponent - unit)``.
    """

    fraction: int
    floor: int
    anchoring: str
    table: NDArray[np.int16]
    unit: int
    block: int


@dataclass(frozen=True, eq=False)
class Epilogue:
    """``cast(product * factor + beta * c + bias)``; c (M, N) and bias (N,) are float32 on the GPU, or None.

    ``scales``: float32 (M,) and (N,) there; then the factor is fl(fl(scale of the row * scale of the column) * factor).
    """

    factor: float = 1.0
    c: Any = None
    beta: float = 1.0
    bias: Any = None
    out: str = "float32"
    scales: tuple[Any, Any] | None = None

    @property
    def is_plain(self) -> bool:
        """Whether sums are what they become."""
        given = self.c is not None or self.bias is not None or self.scales is not None
        return not given and self.factor == 1.0 and self.out == "float32"


def tail(finish: Epilogue, out: Any) -> tuple[Any, ...]:
    """The arguments that every kernel's epilogue takes; a null pointer is a 64-bit 0, a float its bits."""
    c, bias = (0 if array is None else array for array in (finish.c, finish.bias))
    numbers = (int(np.float32(number).view(np.uint32)) for number in (finish.factor, finish.beta))
    return (c, bias, *numbers, out, list(OUTS).index(finish.out), *out.shape)


def launch(name: str, blocks: int, threads: int, arguments: tuple[Any, ...], shared: int = 0) -> None:
    """Run a kernel on the current stream; integers are passed as 64 bits."""
    function = _function(name, shared, load.get_cupy().cuda.Device().id)
    packed = tuple(np.int64(x) if isinstance(x, int) else x for x in arguments)
    function((blocks,), (threads,), packed, shared_mem=shared)


def table_of(rule: Rule) -> Any:
    """The rule's table on the current device."""
    return _table(rule, load.get_cupy().cuda.Device().id)


def stage_bytes() -> int:
    """Shared memory of ``gemm_proven`` on the current device. Raises DeviceError."""
    return _stages(load.get_cupy().cuda.Device().id) * _STAGE + 1024


def forget() -> None:
    """Drop what is kept of devices: for tests, which change them."""
    for kept in (_table, _stages, _function):
        kept.cache_clear()


@lru_cache(maxsize=64)
def _table(rule: Rule, device: int) -> Any:
    return load.get_cupy().asarray(rule.table)


@lru_cache(maxsize=32)
def _stages(device: int) -> int:
    """Stages of shared memory that the current device, which is ``device``, has room for. Raises DeviceError."""
    own = load.target()
    if int(own.removeprefix("sm_")) < 80:
        raise DeviceError(f"this GPU is {own}: the GEMM needs sm_80 or later")
    most = int(load.get_cupy().cuda.Device(device).attributes["MaxSharedMemoryPerBlockOptin"])
    if most < 2 * _STAGE + 2048:
        raise DeviceError(f"this GPU offers {most} bytes of shared memory a block, the GEMM needs {2 * _STAGE + 2048}")
    return min(4, (most - 2048) // _STAGE)


@lru_cache(maxsize=256)
def _function(name: str, shared: int, device: int) -> Any:
    """A kernel for the current device, which is ``device``. All come out of one build; Hopper has instructions of its own."""
    own = load.target()
    function = load.kernel(_SOURCE, name, (f"STAGES={_stages(device)}",), arch="sm_90a" if own == "sm_90" else own)
    if shared > 48 * 1024:
        function.max_dynamic_shared_size_bytes = shared
    return function
