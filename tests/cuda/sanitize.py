"""Every kernel once on small tensors, each allocation its own.

``compute-sanitizer --error-exitcode 9 python -m tests.cuda.sanitize``
"""

from __future__ import annotations

import numpy as np

import fp4sim
from fp4sim.kernels.cuda.load import get_cupy
from fp4sim.mma import block_scaled_mma
from tests.cuda.on_gpu import adversarial, to_gpu
from tests.cuda.test_quantize_host import FUSED


def products(cupy) -> int:
    """The GEMM by every path, on shapes that fill no tile."""
    rng = np.random.default_rng(1)
    count = 0
    for m, n, k in ((1, 1, 32), (130, 260, 160), (300, 40, 1056)):
        for kind, top in ((("ue4m3", 16), 0x7F), (("ue8m0", 32), 0xFF), (("ue8m0", 16), 8)):
            a, b = (to_gpu(cupy, rng.integers(0, 256, (rows, k // 2)).astype(np.uint8)) for rows in (m, n))
            sides = (rng.integers(0, top, (rows, k // kind[1])).astype(np.uint8) for rows in (m, n))
            scales, c = [to_gpu(cupy, side) for side in sides], cupy.zeros((m, n), cupy.float32)
            for path in ("proven", "emulated", "wide"):
                block_scaled_mma(a, b, c, *scales, scale_format=kind[0], block=kind[1], path=path)
                count += 1
    return count


def main() -> None:
    cupy = get_cupy()
    cupy.cuda.set_allocator(None)  # a pool would hide what lies behind an array
    count = 0
    for spec in [*FUSED, "nvfp4@torchao", "e1m2/8@e4m3", "nvfp4@vllm-cuda", "e2m1/row@fp32", "nvfp4+4over6:fast"]:
        for dtype in (np.float32, np.float16):
            for shape in ((32, 544), (7, 96), (3, 33)):
                x = to_gpu(cupy, adversarial(*shape, dtype))
                packed = fp4sim.quantize(x, spec)
                packed.dequantize("bfloat16")
                fp4sim.fake_quant(x, spec)
                count += 1
    count += products(cupy)
    cupy.cuda.Device().synchronize()
    print(f"{count} tensors and products")


if __name__ == "__main__":
    main()
