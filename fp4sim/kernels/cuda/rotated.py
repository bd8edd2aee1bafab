"""Rotation and NVFP4 quantization in one pass (cuda/hadamard.cu), with MS-EDEN's correction of the scales (cuda/eden.cu).

Blocks of 16 under one tensor scale in the default arithmetic; the same bits as rotation, scale stage, encoding and
correction one after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fp4sim.kernels.cuda import load
from fp4sim.kernels.cuda.arguments import stream_numbers
from fp4sim.kernels.cuda.arrays import empty
from fp4sim.kernels.cuda.products import SOURCE as EDEN
from fp4sim.kernels.cuda.rotate import RUN, rotation_arguments, run_threads, suffix
from fp4sim.kernels.cuda.rotate import SOURCE as HADAMARD

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.randbits import Stream


def rotate_quantize(
    x: Any,
    signs: NDArray[np.float32],
    multiplier: np.float32,
    decode: np.float32,
    eden: Stream | None = None,
) -> tuple[Any, Any]:
    """Packed codes, uint8 (x.size / 2,), and block scales, uint8 (x.size / 16,), of rotated rows one after the other.

    Args:
        x: float32, float16 or bfloat16 as uint16, as :func:`fp4sim.kernels.cuda.rotate.can_rotate` wants it.
        signs: of a rotation group.
        multiplier, decode: fl(S_enc fl(1/v)) and S_dec of the tensor (:mod:`fp4sim.dialects.te`).
        eden: the random bits of block scales, for MS-EDEN.
    """
    runs = x.size // RUN
    packed, scales = empty((runs * (RUN // 2),), np.uint8), empty((runs,), np.uint8)
    factors = [int(np.float32(one).view(np.uint32)) for one in (multiplier, decode)]
    args = (x, packed, scales, runs, *rotation_arguments(signs), *factors)
    if eden is None:
        run = load.kernel(HADAMARD, f"rotate_quantize_{suffix(x)}")
    else:
        run, args = load.kernel(EDEN, f"rotate_eden_{suffix(x)}"), (*args, *stream_numbers(eden))
    load.launch(run, run_threads(x), args)
    return packed, scales
