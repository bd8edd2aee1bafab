"""Dot products by this GPU's own dense tensor-core instructions: what :func:`fp4sim.mma.fit.fit_mma` runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.errors import DeviceError, UsageError
from fp4sim.kernels.cuda.load import device_errors, get_cupy, kernel, target

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Run = Callable[[NDArray[Any], NDArray[Any], NDArray[np.uint32]], NDArray[np.uint32]]


@dataclass(frozen=True)
class Instruction:
    """An instruction: its PTX, the kind of its codes, its kernel, and the threads that take 8 probes.

    ``targets``: the GPUs whose machine code has it, all from sm_80 where none are named. sm_90 and sm_100 take ``mma.sync`` of
    e4m3, but the compiler makes it of two fp16 instructions and an addition.
    """

    ptx: str
    kind: str
    kernel: str
    threads: int = 32
    targets: tuple[str, ...] = ()


INSTRUCTIONS = {
    "mma-fp16": Instruction("mma.sync.m16n8k16.f32.f16.f16.f32", "fp16", "probe_fp16"),
    "mma-e4m3": Instruction(
        "mma.sync.m16n8k32.f32.e4m3.e4m3.f32", "e4m3", "probe_e4m3", targets=("sm_89", "sm_120", "sm_121")
    ),
    "wgmma-fp16": Instruction("wgmma.m64n8k16.f32.f16.f16", "fp16", "probe_wgmma_fp16", 128, targets=("sm_90",)),
    "wgmma-e4m3": Instruction("wgmma.m64n8k32.f32.e4m3.e4m3", "e4m3", "probe_wgmma_e4m3", 128, targets=("sm_90",)),
}


def available() -> tuple[str, ...]:
    """Names of INSTRUCTIONS that the current GPU has. Raises DeviceError where there is no GPU."""
    own = target()
    return tuple(name for name, item in INSTRUCTIONS.items() if _runs_on(item, own))


def _runs_on(item: Instruction, own: str) -> bool:
    return own in item.targets if item.targets else int(own.removeprefix("sm_")) >= 80


def instruction(name: str) -> Run:
    """``run(a, b, c)``: bits of c[i] + a[i] . b[i] from codes (n, 16) uint16 or (n, 32) uint8 and bits of C (n,).

    Raises UsageError for an unknown name, DeviceError where the GPU does not have the instruction.
    """
    if name not in INSTRUCTIONS:
        raise UsageError(f"instruction {name!r}: {', '.join(INSTRUCTIONS)}")
    item, own = INSTRUCTIONS[name], target()
    if not _runs_on(item, own):
        raise DeviceError(f"this GPU is {own}, which has no {item.ptx}")
    function = kernel("dense_mma.cu", item.kernel, arch="sm_90a" if own == "sm_90" else own)

    def run(a: NDArray[Any], b: NDArray[Any], c: NDArray[np.uint32]) -> NDArray[np.uint32]:
        cupy = get_cupy()
        with device_errors():
            operands = [cupy.asarray(np.ascontiguousarray(x).view(np.uint32)) for x in (a, b, c)]
            d = cupy.empty(len(c), np.uint32)
            function((-(-len(c) // 8),), (item.threads,), (*operands, d, np.int64(len(c))))
            return np.asarray(d.get())

    return run
