"""fp4sim's own kernels on small tensors, each allocation its own, for memcheck and racecheck.

``compute-sanitizer --error-exitcode 9 --tool memcheck python -m tests.cuda.sanitize``, and ``--tool racecheck … --no-search``,
where :func:`tests.cuda.counted_cases.unsearched` says why.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import ml_dtypes
import numpy as np

import fp4sim
from fp4sim.kernels.cuda.dense_mma import INSTRUCTIONS, available, instruction
from fp4sim.kernels.cuda.load import get_cupy
from fp4sim.kernels.cuda.value_counts import has_room
from fp4sim.mma import block_scaled_mma
from tests.cuda import counted_cases
from tests.cuda.on_gpu import adversarial, to_gpu
from tests.cuda.packed_cases import FUSED

SHAPES = (32, 544), (7, 96), (3, 33)


def tensors() -> Iterator[tuple[str, tuple[int, int], Any]]:
    """Specs, shapes and dtypes; bfloat16, the third of what reads any of them, on shapes that fill no vector for a few only."""
    every = (*FUSED, "nvfp4@torchao", "e1m2/8@e4m3", "nvfp4@vllm-cuda", "e2m1/row@fp32", "nvfp4+4over6:fast")
    yield from product(every, SHAPES, (np.float32, np.float16))
    yield from product(every, SHAPES[:1], (ml_dtypes.bfloat16,))
    yield from product(("nvfp4", "mxfp4", "nvfp4+sr", "nvfp4@torchao"), SHAPES[1:], (ml_dtypes.bfloat16,))


def products(cupy) -> int:
    """The GEMM by every path, from several accumulators, in parts and under a factor a row, on shapes that fill no tile."""
    rng = np.random.default_rng(1)
    count = 0
    for m, n, k in ((1, 1, 32), (130, 260, 160), (300, 40, 1056)):
        for kind, top in ((("ue4m3", 16), 0x7F), (("ue8m0", 32), 0xFF), (("ue8m0", 16), 8)):
            a, b = (to_gpu(cupy, rng.integers(0, 256, (rows, k // 2)).astype(np.uint8)) for rows in (m, n))
            sides = (rng.integers(0, top, (rows, k // kind[1])).astype(np.uint8) for rows in (m, n))
            scales = [to_gpu(cupy, side) for side in sides]
            quarters = rng.integers(-9, 9, (m, n)) / np.float32(4)
            starts = np.zeros_like(quarters), quarters, quarters + np.float32(1e-7), quarters * np.float32(2.0**120)
            for c in (to_gpu(cupy, start.astype(np.float32)) for start in starts):
                for path in ("proven", "emulated", "wide"):
                    order = "chain" if path == "wide" else "stream-k:1:c-last" if count % 2 else "split-k:3"
                    block_scaled_mma(a, b, c, *scales, scale_format=kind[0], block=kind[1], path=path)
                    block_scaled_mma(a, b, c, *scales, scale_format=kind[0], block=kind[1], path=path, order=order)
                    count += 2
        x, w = (fp4sim.quantize(to_gpu(cupy, adversarial(rows, k, np.float32)), "nvfp4@ts:row") for rows in (m, n))
        fp4sim.gemm(x, w, order="split-k:2", out="bfloat16")
        count += 1
    return count


def statistics(cupy) -> int:
    """Error sums in one read and by the pipeline, rotations, draws."""
    specs = ("nvfp4", "mxfp4@rceil", "nvfp4+sr", "nvfp4@torchao", "nvfp4+rht", "nvfp4+mseden")
    count = 0
    for dtype in (np.float32, np.float16, ml_dtypes.bfloat16):
        x = to_gpu(cupy, adversarial(32, 640, dtype))
        fp4sim.compare(x, specs)
        if dtype is not ml_dtypes.bfloat16:  # bias widens its input first, as a pipeline of compare does
            fp4sim.bias(x, ("nvfp4+sr", "nvfp4+mseden"), draws=16)
        for spec in specs[-2:]:
            fp4sim.quantize(x, spec)
        count += len(specs)
    return count


def single_products() -> int:
    """The instructions that crosscheck --fit-mma looks at."""
    rng, count = np.random.default_rng(2), 37
    for name in available():
        dtype, width = (np.uint16, 16) if INSTRUCTIONS[name].kind == "fp16" else (np.uint8, 32)
        a, b = (rng.integers(0, 0x40, (count, width)).astype(dtype) for _ in "ab")
        instruction(name)(a, b, np.zeros(count, np.uint32))
    return len(available())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run them all."""
    parser = argparse.ArgumentParser("python -m tests.cuda.sanitize", description=__doc__)
    parser.add_argument("--no-search", action="store_true", help="count values without seeking the worst element")
    search = not parser.parse_args(arguments).no_search
    cupy = get_cupy()
    cupy.cuda.set_allocator(None)  # a pool would hide what lies behind an array
    count = 0
    for spec, shape, dtype in tensors():
        x = to_gpu(cupy, adversarial(*shape, dtype))
        packed = fp4sim.quantize(x, spec)
        packed.dequantize("bfloat16")
        fp4sim.fake_quant(x, spec)
        count += 1
    cases = (*counted_cases.CASES, counted_cases.LOWEST) if has_room(1) else ()
    listed = [counted_cases.check(cupy, *case, search=search) for case in cases]
    count += products(cupy) + statistics(cupy) + single_products()
    cupy.cuda.Device().synchronize()
    print(f"{count} tensors and products, values of {len(listed)} counted but for {sum(listed)} blocks")


if __name__ == "__main__":
    main()
