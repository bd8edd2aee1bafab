"""The Walsh-Hadamard transform on the GPU (cuda/hadamard.cu), and the largest magnitude that it would give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.kernels.cuda import load
from fp4sim.kernels.cuda.arrays import empty, is_aligned, on_device, on_host, zeros
from fp4sim.kernels.reference.rotate import normalizer
from fp4sim.kernels.reference.rotate import rotate as reference_rotate

if TYPE_CHECKING:
    from numpy.typing import NDArray

SOURCE = "hadamard.cu"
RUN = 16  # elements of a thread
LARGEST = 256
_MOST_AT_ONCE = 2048  # threads that a multiprocessor holds at most


def rotate(x: Any, signs: NDArray[np.float32], *, inverse: bool = False) -> Any:
    """See :meth:`fp4sim.kernels.interface.Kernels.rotate`; x float32, bfloat16 (as uint16) or float16, the result float32."""
    if not can_rotate(x, signs):
        return on_device(reference_rotate(on_host(x), signs, inverse=inverse))
    out = empty(x.shape, np.float32)
    args = (x, out, x.size // RUN, *rotation_arguments(signs), int(inverse))
    load.launch(load.kernel(SOURCE, f"rotate_{suffix(x)}"), run_threads(x), args)
    return out


def rotated_amax(x: Any, signs: NDArray[np.float32]) -> np.float32:
    """The largest magnitude of the rotated x, NaN where a sum is NaN."""
    found = zeros((1,), np.uint32)
    args = (x, found, x.size // RUN, *rotation_arguments(signs))
    load.launch(load.kernel(SOURCE, f"rotated_amax_{suffix(x)}"), run_threads(x), args)
    return np.float32(on_host(found).view(np.float32)[0])


def can_rotate(x: Any, signs: NDArray[np.float32]) -> bool:
    """Whether the kernels cover it: whole runs of 16, aligned, transforms of up to 256, signs that are signs."""
    plain = 1 < signs.size <= LARGEST and bool((np.abs(signs) == 1).all())
    return plain and x.size % RUN == 0 and is_aligned(x)


def rotation_arguments(signs: NDArray[np.float32]) -> tuple[Any, int, int]:
    """Sixteen signs a word, the size and the bits of the normalizer, as the kernels take them."""
    bits = np.signbit(np.resize(signs, max(signs.size, RUN))).reshape(-1, RUN)
    words = (bits << np.arange(RUN)).sum(axis=1).astype(np.uint32)
    return on_device(words), signs.size, int(normalizer(signs.size).view(np.uint32))


def suffix(x: Any) -> str:
    """The name of an input type in kernels' names; bfloat16 lies in uint16."""
    return {"float32": "fp32", "float16": "fp16", "uint16": "bf16"}[x.dtype.name]


def run_threads(x: Any) -> int:
    """Threads of a launch: one a run, at most as many as multiprocessors of the GPU can hold."""
    return min(int(x.size) // RUN, load.processors() * _MOST_AT_ONCE)
