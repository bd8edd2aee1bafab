"""Every kernel once on small tensors, each allocation its own.

``compute-sanitizer --error-exitcode 9 python -m tests.cuda.sanitize``
"""

from __future__ import annotations

import numpy as np

import fp4sim
from fp4sim.kernels.cuda.load import get_cupy
from tests.cuda.on_gpu import adversarial, to_gpu
from tests.cuda.test_quantize_host import FUSED


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
    cupy.cuda.Device().synchronize()
    print(f"{count} tensors")


if __name__ == "__main__":
    main()
