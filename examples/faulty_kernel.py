"""A kernel with a planted bug, in NumPy: NVFP4 whose tail path casts its block scales towards zero instead of to nearest.

    python examples/faulty_kernel.py dump.npz
    fp4sim verify dump.npz --spec nvfp4 -o report.html
    fp4sim plot mismatch dump.npz -f nvfp4 -o mismatch.png

The main loop handles 128 columns at a time and is right; what is left of a row goes another way, as in a kernel whose
remainder loop was written later and converts with another intrinsic.
"""

from __future__ import annotations

import sys

import numpy as np
from golden_kernel import FLT_MAX, e2m1, e4m3, e4m3_value, nvfp4

MAIN_COLUMNS = 128


def faulty_nvfp4(x: np.ndarray) -> dict[str, np.ndarray]:
    """What :func:`golden_kernel.nvfp4` returns, with the scales of each row's last columns rounded down."""
    right = nvfp4(x)
    one, first = np.float32(1), x.shape[1] // MAIN_COLUMNS * MAIN_COLUMNS
    tail = x[:, first:].reshape(x.shape[0], -1, 16)
    encode = np.float32(2688) / np.abs(x).max()
    wanted = np.abs(tail).max(axis=2) * (encode * (one / np.float32(6)))
    scale = e4m3(wanted)
    scale -= (e4m3_value(scale) > wanted).astype(np.uint8)  # the bug: towards zero
    factor = np.fmin(one / (e4m3_value(scale) * (one / encode)), FLT_MAX)
    codes = e2m1(tail * factor[:, :, None]).reshape(x.shape[0], -1)
    right["block_scale"][:, first // 16 :] = scale
    right["codes"][:, first // 2 :] = codes[:, 0::2] | codes[:, 1::2] << 4
    return right


def main(path: str) -> None:
    """Run the kernel on activations of odd width and dump what it read and wrote."""
    rng = np.random.default_rng(7)
    x = rng.standard_normal((96, 5 * MAIN_COLUMNS + 80)) * np.exp(rng.standard_normal((1, 5 * MAIN_COLUMNS + 80)) / 2)
    x = x.astype(np.float32)
    np.savez(path, x=x, **faulty_nvfp4(x))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "dump.npz")
