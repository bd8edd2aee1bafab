"""What a check sees of a GPU: its name and versions, memory, and kernels by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from fp4sim.kernels.interface import Kernels

    Instruction = Callable[[NDArray[Any], NDArray[Any], NDArray[np.uint32]], NDArray[np.uint32]]


@dataclass(frozen=True)
class DeviceInfo:
    """``facts``: name, compute capability, driver and the like; ``software``: versions of what compiles and launches."""

    capability: tuple[int, int]
    facts: dict[str, str] = field(default_factory=dict)
    software: dict[str, str] = field(default_factory=dict)


class Device(Protocol):
    """A GPU, or a simulation of one."""

    info: DeviceInfo

    def put(self, array: NDArray[Any]) -> Any:
        """A copy on the device, C-contiguous, as kernels take it."""

    def tensor(self, array: NDArray[Any]) -> Any:
        """The array as fp4sim's public functions take it on the device; None where its dtype cannot be had there."""

    def get(self, array: Any) -> NDArray[Any]:
        """A copy as numpy."""

    def own_kernels(self) -> Kernels:
        """fp4sim's own backend for this device; it takes arrays of :meth:`put`."""

    def counts_values(self, elements: int) -> bool:
        """Whether fp4sim counts the values of so large a bfloat16 tensor there, or has too little shared memory for it."""

    def call(self, source: str, kernel: str, threads: int, *args: Any) -> None:
        """Run a kernel of a source with at least so many threads, in blocks of 256, and wait for its end.

        Args are arrays of :meth:`put` or numpy scalars of the kernel's own types. Raises DeviceError.
        """

    def multiply_by_library(
        self, kind: str, a: NDArray[Any], b: NDArray[Any], scales: tuple[NDArray[Any], NDArray[Any]] | None = None
    ) -> NDArray[Any]:
        """Bits of A B^T, float32 (m, n), by cuBLASLt: ``kind`` nvf4, mxf4 (packed codes, linear scale bytes) or e4m3.

        Raises SkipCheckError where the library has no kernel for it.
        """

    def instructions(self) -> dict[str, tuple[str, Instruction]]:
        """Dense tensor-core instructions by name: the kind of codes, and single dot products by it (:mod:`fp4sim.mma.fit`)."""

    def torch(self, array: NDArray[Any]) -> Any:
        """The array as a torch tensor on the device (uint16 stands for bfloat16), for third-party packages."""
