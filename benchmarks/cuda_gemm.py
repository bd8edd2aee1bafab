"""Speed of the bit-accurate GEMM on a GPU beside a plain fp16 one: ``python benchmarks/cuda_gemm.py [--sizes 4096,8192]``.

Needs CuPy and a GPU. TFLOP/s count 2 M N K; times are medians of runs between CUDA events, after warm-up, operands prepared
anew each time. Beside the chain from +0: from an earlier product and from noise, in four parts of K, under a factor a row.
Peers in the same process: cuBLAS's fp16 GEMM with float32 accumulation (through torch where it is there, else CuPy), and the
emulation of every output by one thread in 64-bit integers (``wide``), on a smaller product.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

from fp4sim.kernels.cuda.gemm import PATHS, multiply
from fp4sim.kernels.cuda.gemm_launch import Epilogue
from fp4sim.kernels.cuda.gemm_parts import multiply_parts
from fp4sim.kernels.cuda.load import get_cupy
from fp4sim.mma.instances import model_named
from fp4sim.mma.on_gpu import gpu_rule
from fp4sim.mma.order import Order

RULE = gpu_rule(model_named("blackwell"), "ue4m3", 16)


def median_ms(function: Callable[[], Any], runs: int) -> float:
    cupy, times = get_cupy(), []
    for _ in range(3):
        function()
    for _ in range(runs):
        start, stop = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        function()
        stop.record()
        stop.synchronize()
        times.append(cupy.cuda.get_elapsed_time(start, stop))
    return float(np.median(times))


def gaussian(rows: int, k: int, seed: int) -> tuple[Any, Any]:
    """Codes and scale bytes of N(0, 1) under NVFP4: scales amax / 6 with the tensor's largest at 448, both to nearest."""
    cupy = get_cupy()
    x = cupy.random.default_rng(seed).standard_normal((rows, k), cupy.float32)
    factor = cupy.float32(2688) / cupy.abs(x).max()
    bytes_to = cupy.asarray(np.arange(127))
    grid = cupy.where(bytes_to < 8, bytes_to / 512, (8 + bytes_to % 8) * 2.0 ** (bytes_to // 8 - 10.0)).astype(
        cupy.float32
    )
    wanted = cupy.abs(x.reshape(rows, -1, 16)).max(-1) * (factor / 6)
    scales = cupy.searchsorted((grid[1:] + grid[:-1]) / 2, wanted).astype(cupy.uint8)
    scaled = x.reshape(rows, -1, 16) * (factor / grid[scales])[..., None]
    middles = cupy.asarray(np.array([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5], np.float32))
    codes = cupy.searchsorted(middles, cupy.abs(scaled)).astype(cupy.uint8) | (scaled < 0).astype(cupy.uint8) << 3
    flat = codes.reshape(rows, k)
    return flat[:, ::2] | flat[:, 1::2] << 4, scales


def anything(rows: int, k: int, seed: int) -> tuple[Any, Any]:
    """Random codes under random finite scale bytes: nothing is provable."""
    cupy, rng = get_cupy(), get_cupy().random.default_rng(seed)
    codes = rng.integers(0, 256, (rows, k // 2), dtype=cupy.uint8)
    return codes, rng.integers(0, 0x7F, (rows, k // 16), dtype=cupy.uint8)


def others(a: tuple[Any, Any], b: tuple[Any, Any], size: int) -> dict[str, Callable[[], Any]]:
    """What is not the chain from +0 under one factor."""
    cupy = get_cupy()
    earlier = multiply(a, b, RULE).view(np.uint32)
    noise = cupy.random.default_rng(3).standard_normal((size, size), cupy.float32).view(np.uint32)
    scales = Epilogue(scales=(cupy.ones(size, np.float32), cupy.ones(size, np.float32)))
    whole = [slice(0, size // 64)]
    return {
        "from an earlier product": lambda: multiply(a, b, RULE, start=earlier),
        "from noise": lambda: multiply(a, b, RULE, start=noise),
        "split-k:4": lambda: multiply_parts(a, b, RULE, Order(4).slices(size // 64)),
        "a factor a row": lambda: multiply_parts(a, b, RULE, whole, epilogue=scales),
    }


def plain_fp16(size: int) -> Callable[[], Any]:
    try:
        import torch

        x, y = (torch.randn(size, size, device="cuda").half() for _ in range(2))
        return lambda: torch.mm(x, y.T)
    except ImportError:
        x, y = (get_cupy().random.standard_normal((size, size)).astype(np.float16) for _ in range(2))
        return lambda: get_cupy().matmul(x, y.T)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="4096,8192")
    parser.add_argument("--runs", type=int, default=10)
    options = parser.parse_args()
    rows = []
    for size in map(int, options.sizes.split(",")):
        peer = 2e-9 * size**3 / median_ms(plain_fp16(size), options.runs)
        rows.append((size, "plain fp16 GEMM, cuBLAS", peer, peer))
        for name, make in (("Gaussian", gaussian), ("nothing provable", anything)):
            a, b = make(size, size, 1), make(size, size, 2)
            for path in PATHS[:2]:
                ms = median_ms(lambda: multiply(a, b, RULE, path=path), options.runs)  # noqa: B023
                rows.append((size, f"{name}, {path}", 2e-9 * size**3 / ms, peer))
            if name == "Gaussian":
                for other, function in others(a, b, size).items():
                    rows.append((size, f"{name}, {other}", 2e-9 * size**3 / median_ms(function, options.runs), peer))
        small = tuple(part[:1024] for part in a), tuple(part[:1024] for part in b)
        ms = median_ms(lambda: multiply(*small, RULE, path="wide"), 3)  # noqa: B023
        rows.append((size, "peer: a thread an output, 64-bit", 2e-9 * size * 2**20 / ms, peer))
    name = get_cupy().cuda.runtime.getDeviceProperties(0)["name"].decode()
    print(f"{name}\n| M = N = K | what | TFLOP/s | of plain fp16 |\n|---|---|---|---|")
    for size, what, rate, peer in rows:
        print(f"| {size} | {what} | {rate:.1f} | {rate / peer:.3f} |")


if __name__ == "__main__":
    main()
