"""Statistics, rotation and MS-EDEN on the GPU beside a plain device copy and torch, in one process: ``python
benchmarks/cuda_stats.py``.

Rates count the bytes that an operation must read and write; the copy's count both sides too. ``--torch`` adds the same
statistics by torch, eager, and compiled with ``--compile``; ``--calls`` whole calls of ``fp4sim.compare`` and ``quantize``
by the clock, what the host does included.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import fp4sim
from fp4sim.geometry import Geometry
from fp4sim.gpu.scale_table import scale_table
from fp4sim.grammar import parse
from fp4sim.kernels.cuda import load
from fp4sim.kernels.cuda.rotate import rotate, rotated_amax
from fp4sim.kernels.cuda.rotated import rotate_quantize
from fp4sim.kernels.cuda.tensor_stats import launch
from fp4sim.kernels.cuda.value_counts import count_values, on_gpu
from fp4sim.kernels.cuda.value_window import window_of
from fp4sim.quantizer import Quantizer
from fp4sim.randbits import Stream
from fp4sim.statistic import Statistic

LENGTH = 4096
COMPARED = ("nvfp4", "mxfp4", "nvfp4+sr", "nvfp4@torchao", "nvfp4+mseden")


def seconds(run: Callable[[], Any], repeats: int = 9, inner: int = 8) -> float:
    """The median over events around ``inner`` runs, one after the other: what the host does is hidden behind the GPU."""
    cupy = load.get_cupy()
    run()
    run()
    times = []
    for _ in range(repeats):
        start, stop = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        for _ in range(inner):
            run()
        stop.record()
        stop.synchronize()
        times.append(cupy.cuda.get_elapsed_time(start, stop) / 1e3 / inner)
    return float(np.median(times))


def gaussian(elements: int, dtype: str) -> Any:
    """N(0, 1), (elements / 4096, 4096); bfloat16 as uint16."""
    cupy = load.get_cupy()
    x = cupy.random.default_rng(0).standard_normal((elements // LENGTH, LENGTH), dtype=np.float32)
    return (x.view(np.uint32) >> np.uint32(16)).astype(np.uint16) if dtype == "bfloat16" else x.astype(dtype)


def quantizer_of(text: str, shape: tuple[int, int], amax: float) -> Quantizer:
    """A spec bound to a tensor of a known amax."""
    geometry = Geometry.for_spec(shape, -1, parse(text))
    return Quantizer(parse(text), geometry, Statistic(np.float32(amax), np.zeros(0, np.float32), 0, geometry), Stream())


def copy_row(elements: int) -> tuple[str, float, float]:
    """The limit: as many uint32 copied."""
    cupy = load.get_cupy()
    source = cupy.arange(elements, dtype=np.uint32)
    target = cupy.empty_like(source)
    return "copy", 8.0 * elements, seconds(lambda: cupy.copyto(target, source))


def rows_of(elements: int, dtype: str, size: int) -> list[tuple[str, float, float]]:
    """Name, bytes and seconds of each operation on one input type."""
    x, found = gaussian(elements, dtype), []
    signs = np.random.default_rng(1).choice(np.array([-1, 1], np.float32), 128)
    for text in ("nvfp4", "mxfp4"):
        found.append((f"stats {text} {dtype}", size * elements, stats_seconds(x, text)))
    if dtype == "bfloat16":
        sparse = x.copy()
        sparse.reshape(-1)[::7] = 0
        found.append(("stats nvfp4 bfloat16, each seventh 0", size * elements, stats_seconds(sparse, "nvfp4")))
    found.append((f"rotate {dtype}", (size + 4) * elements, seconds(lambda: rotate(x, signs))))
    found.append((f"rotated amax {dtype}", size * elements, seconds(lambda: rotated_amax(x, signs))))
    factors, moved = (np.float32(256 * 6), np.float32(1 / 256)), (size + 0.5 + 1 / 16) * elements

    def quantize(stream: Stream | None) -> float:
        return seconds(lambda: rotate_quantize(x, signs, *factors, stream))

    def with_amax() -> None:
        amax = rotated_amax(x, signs)
        rotate_quantize(x, signs, np.float32(1536 / amax), np.float32(amax / 1536), Stream(1))

    found.append((f"RHT-128 + nvfp4 {dtype}", moved, quantize(None)))
    found.append((f"RHT-128 + MS-EDEN {dtype}", moved, quantize(Stream(1))))
    found.append((f"RHT-128 + MS-EDEN, amax too {dtype}", moved + size * elements, seconds(with_amax)))
    return found


def stats_seconds(x: Any, text: str) -> float:
    """Of the kernels alone, the tensor's amax known."""
    quantizer = quantizer_of(text, x.shape, 6.5)
    table, block = scale_table(quantizer), quantizer.spec.block.cols
    assert table is not None
    window = window_of(x, block, table) if x.dtype == np.uint16 else None
    if window is not None:
        ready = on_gpu(window.table())
        return seconds(lambda: count_values(x, block, window, ready))
    ready = table.on_device()
    return seconds(lambda: launch(x, block, table, ready))


def torch_statistics(x: Any) -> Any:
    """What `stats nvfp4` computes, in torch: sums of x^2, x x_hat, x_hat^2, e, e^2 and by cause, the histogram, the worst."""
    import torch

    wide = x.float().reshape(-1, 16)
    amax = wide.abs().amax(dim=1, keepdim=True)
    scale = (amax * (448.0 / 6.5)).clamp(max=448).to(torch.float8_e4m3fn).float()
    step = scale * (6.5 / 2688)
    z = (wide / step).nan_to_num(0)
    size = z.abs()
    edges = torch.tensor([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0], device=x.device)
    grid = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0], device=x.device)
    code = torch.bucketize(size, edges, right=False)
    value = torch.copysign(grid[code] * step, wide).double()
    exact = wide.double()
    error = value - exact
    square = error * error
    over, flushed = size > 6, (value == 0) & (exact != 0)
    sums = [(exact * exact).sum(), (exact * value).sum(), (value * value).sum(), error.sum(), square.sum()]
    causes = [(square * over).sum(), (square * flushed).sum(), over.sum().double(), flushed.sum().double()]
    ratio = (error.abs() / amax).max()
    occupancy = torch.stack([((code == k) & (torch.signbit(wide) == bool(s))).sum() for s in (0, 1) for k in range(8)])
    return torch.stack([*sums, *causes, ratio]), occupancy


def torch_rows(elements: int, compiled: bool) -> list[tuple[str, float, float]]:
    """The same by torch; it reads x once at best."""
    import torch

    x = torch.randn(elements // LENGTH, LENGTH, device="cuda", dtype=torch.bfloat16)
    run = torch.compile(torch_statistics) if compiled else torch_statistics
    times = []
    for _ in range(2 if not compiled else 3):
        run(x)
    for _ in range(5):
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run(x)
        stop.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(stop) / 1e3)
    name = f"torch {'compiled' if compiled else 'eager'}, stats nvfp4 bfloat16"
    return [(name, 2.0 * elements, float(np.median(times)))]


def call_rows(elements: int) -> list[tuple[str, float, float]]:
    """Whole calls on float32, the tensor's amax unknown: bytes of one read, the least of three times after a first one."""
    cupy, x, found = load.get_cupy(), gaussian(elements, "float32"), []
    calls = [(f"compare {spec}", lambda spec=spec: fp4sim.compare(x, [spec])) for spec in COMPARED]
    calls.append(("quantize nvfp4+mseden", lambda: fp4sim.quantize(x, "nvfp4+mseden")))
    for name, call in calls:
        times = []
        for _ in range(4):
            start = time.perf_counter()
            call()
            cupy.cuda.Device().synchronize()
            times.append(time.perf_counter() - start)
        found.append((f"fp4sim.{name} float32", 4.0 * elements, min(times[1:])))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--elements", type=int, default=1 << 28)
    parser.add_argument("--torch", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--calls", action="store_true")
    options = parser.parse_args()
    cupy = load.get_cupy()
    name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    found = [
        copy_row(options.elements),
        *rows_of(options.elements, "bfloat16", 2),
        *rows_of(options.elements, "float32", 4),
    ]
    half = gaussian(options.elements, "float16")
    found += [
        (f"stats {text} float16", 2.0 * options.elements, stats_seconds(half, text)) for text in ("nvfp4", "mxfp4")
    ]
    for wanted, compiled in ((options.torch, False), (options.compile, True)):
        if wanted:
            found += torch_rows(min(options.elements, 1 << 26), compiled)
    if options.calls:
        found += call_rows(options.elements)
    copy = found[0][1] / found[0][2]
    print(f"{name}, CuPy {cupy.__version__}, 2^{math.log2(options.elements):.0f} elements; copy {copy / 1e12:.2f} TB/s")
    print(f"{'operation':44} {'ms':>8} {'TB/s':>6} {'of copy':>8}")
    for label, moved, taken in found:
        print(f"{label:44} {taken * 1e3:8.3f} {moved / taken / 1e12:6.2f} {moved / taken / copy:8.0%}")


if __name__ == "__main__":
    main()
