"""Quantization on a GPU against a device copy of the same bytes: ``python benchmarks/cuda_quantize.py``.

Each row is the median of kernel times by events, on data rotated among buffers that together exceed the L2 cache. "of
copy" is the bytes that a kernel must move, over its time, over the rate of a device-to-device copy in the same run. Peers in
the same process: the same NVFP4 arithmetic as torch operations, eager and compiled, and torchao where it is installed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import fp4sim
from fp4sim.geometry import Geometry
from fp4sim.gpu import fused
from fp4sim.gpu.arrays import DeviceArray
from fp4sim.kernels.cuda.load import get_cupy
from fp4sim.randbits import Stream

CALLS = 10
GIVEN = np.asarray(0.002, np.float32)
# spec, whether the tensor's amax is taken too, fake quantization, what issue 6 wants of the copy's rate
ROWS = (
    ("nvfp4@ts:given", False, 0.85),
    ("nvfp4", False, 0.85),
    ("nvfp4@ts:given", True, 0.85),
    ("nvfp4", True, None),
    ("nvfp4@ts:given+sr:bits=8", False, 0.70),
    ("nvfp4@ts:given+sr", False, 0.40),
    ("nvfp4@ts:given+4over6", False, None),
    ("nvfp4/16x16@ts:given", False, None),
    ("mxfp4", False, None),
    ("mxfp4@rceil", False, None),
    ("mxfp4", True, None),
    ("mxfp4+sr:bits=8", False, None),
)


@dataclass(frozen=True)
class Row:
    """A measured operation: seconds, elements and bytes that it must move."""

    name: str
    seconds: float
    elements: int
    moved: float
    wanted: float | None = None


def median_seconds(cupy: Any, run: Callable[[int], None], repeats: int) -> float:
    """Of one call, by events around ten, so that launching is not what is timed; ``run`` is told which buffer to take."""
    times = []
    for _ in range(1 + -(-repeats // CALLS)):
        start, stop = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        for i in range(CALLS):
            run(i)
        stop.record()
        stop.synchronize()
        times.append(cupy.cuda.get_elapsed_time(start, stop) * 1e-3 / CALLS)
    return float(np.median(times[1:]))


def copy_rate(cupy: Any, data: list[Any], repeats: int) -> float:
    """Bytes a second, read and written, of a device-to-device copy."""
    target = cupy.empty_like(data[0])

    def run(i: int) -> None:
        target.data.copy_from_device_async(data[i % len(data)].data, target.nbytes)

    return 2 * target.nbytes / median_seconds(cupy, run, repeats)


def fused_row(cupy: Any, name: str, fake: bool, wanted: float | None, data: list[Any], repeats: int) -> Row:
    """One of fp4sim's kernels (and what precedes it), as fp4sim.quantize and fake_quant launch them."""
    spec, x = fp4sim.parse(name), data[0]
    given = GIVEN if spec.tensor_scale.mode == "given" else None
    arrays = [DeviceArray(part, "bfloat16", "cupy") for part in data]
    geometry, plan = Geometry.for_spec(x.shape, -1, spec), fused.fused_of(spec)
    assert plan is not None
    assert fused.fits(plan, geometry, arrays[0], given)
    packed, scales = cupy.empty(x.size // 2, np.uint8), cupy.empty(geometry.block_shape, np.uint8)
    out, known = cupy.empty_like(x), fused.numbers_of(spec, arrays[0], given)
    takes_amax = spec.tensor_scale.mode == "tensor"

    def run(i: int) -> None:
        array = arrays[i % len(arrays)]
        numbers = fused.numbers_of(spec, array, given) if takes_amax else known
        if fake:
            fused.start_fake_quant(plan, array, numbers, geometry, Stream(), out)
        else:
            fused.start_quantize(plan, array, numbers, geometry, Stream(), packed, scales)

    moved = 2.0 * x.size * (2 if takes_amax else 1) + (2.0 * x.size if fake else packed.nbytes + scales.nbytes)
    kind = "fake-quant" if fake else "quantize"
    return Row(f"{kind} {name}", median_seconds(cupy, run, repeats), x.size, moved, wanted)


def torch_nvfp4(x: Any, scale: float) -> tuple[Any, Any]:
    """te's arithmetic under a given tensor scale as torch operations; codes packed."""
    import torch

    blocks = x.view(-1, 16).float()
    amax = blocks.abs().amax(-1)
    encode = 1.0 / scale
    block_scale = (amax * (encode * (1.0 / 6.0))).clamp(max=448.0).to(torch.float8_e4m3fn)
    factor = (1.0 / (block_scale.float() * scale)).clamp(max=torch.finfo(torch.float32).max)
    scaled = blocks * factor[:, None]
    magnitude = scaled.abs().clamp(max=6.0)
    bounds = torch.tensor([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0], device=x.device)
    code = torch.bucketize(magnitude, bounds).to(torch.uint8) | (scaled.signbit().to(torch.uint8) << 3)
    return code[:, 0::2] | code[:, 1::2] << 4, block_scale


def peers(cupy: Any, x: Any, repeats: int) -> list[Row]:
    """torch eager, torch.compile, torchao: whichever runs here."""
    rows, moved = [], 2.0 * x.size + x.size / 2 + x.size / 16
    try:
        import torch
    except ImportError:
        return rows
    tensor = torch.from_dlpack(x.view(np.int16)).view(torch.bfloat16)
    calls = [("torch eager, same formula", lambda: torch_nvfp4(tensor, float(GIVEN)))]
    compiled = torch.compile(torch_nvfp4)
    calls.append(("torch.compile, same formula", lambda: compiled(tensor, float(GIVEN))))
    try:
        from torchao.prototype.mx_formats.nvfp4_tensor import nvfp4_quantize

        scale = torch.tensor(float(GIVEN), device="cuda")
        ao = torch.compile(lambda data: nvfp4_quantize(data, 16, scale))
        calls.append(("torchao nvfp4_quantize, torch.compile", lambda: ao(tensor)))
    except ImportError:
        print("torchao is not installed: no such row")
    for name, call in calls:
        try:
            stream = cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream)
            with stream:
                rows.append(Row(name, median_seconds(cupy, lambda _, call=call: call(), repeats), x.size, moved))
        except Exception as error:
            print(f"{name}: {str(error).splitlines()[0][:80]}")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--elements", type=int, default=1 << 28)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--no-peers", action="store_true")
    args = parser.parse_args()
    cupy = get_cupy()
    name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    print(f"{name}, CuPy {cupy.__version__}, {args.elements:,} bfloat16 elements of N(0, 1), median of {args.repeats}")
    columns = 8192
    data = []
    for seed in range(2):
        wide = cupy.random.default_rng(seed).standard_normal((args.elements // columns, columns), np.float32)
        data.append((wide.view(np.uint32) >> np.uint32(16)).astype(np.uint16))
        del wide
    copy = copy_rate(cupy, data, args.repeats)
    print(f"device copy: {copy / 1e12:.3f} TB/s read and written\n")
    rows = []
    for spec, fake, wanted in ROWS:
        try:
            rows.append(fused_row(cupy, spec, fake, wanted, data, args.repeats))
        except Exception as error:
            print(f"{spec}: {type(error).__name__} {str(error).splitlines()[0][:90]}")
    if not args.no_peers:
        rows += peers(cupy, data[0], max(3, args.repeats // 5))
    ours = rows[0].seconds
    print(f"{'operation':<40} {'ms':>9} {'Telem/s':>8} {'of copy':>8} {'wanted':>7} {'time/ours':>10}")
    for row in rows:
        wanted = "" if row.wanted is None else f"{row.wanted:.0%}"
        share = row.moved / row.seconds / copy
        line = f"{row.name:<40} {row.seconds * 1e3:>9.4f} {row.elements / row.seconds / 1e12:>8.3f} {share:>8.1%} {wanted:>7}"
        print(f"{line} {row.seconds / ours:>10.2f}")


if __name__ == "__main__":
    main()
