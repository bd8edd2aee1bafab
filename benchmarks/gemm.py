"""How fast block-scaled products are, beside a model of the same rule in Python that computes one output after the other.

python benchmarks/gemm.py [--shape 1024x1024x4096] [--threads 2] [--formats nvfp4,mxfp4] [--repeats 3]

GMAC/s are multiplications of the product over seconds: by the clock, best of the repeats, and by the process's CPU time, which
other work on the machine disturbs less (its figure is per processor and second). All bits are compared with the emulated steps.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import fp4sim
from fp4sim.mma import model_named
from fp4sim.mma.chain import Tally
from fp4sim.mma.multiply import Path, multiply
from fp4sim.mma.operands import Factors, block_scaled

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODEL = model_named("blackwell")
KINDS = {"nvfp4": ("ue4m3", 16, 0x7F), "mxfp4": ("ue8m0", 32, 0xFF)}
DATA = ("gauss", "outliers", "random")  # random: any codes under any scales, of which nothing is proven
PYTHON = (8, 8)  # outputs that the Python model computes


@dataclass(frozen=True)
class Raw:
    """Codes and scale bytes of an operand."""

    packed: NDArray[np.uint8]
    scale: NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="1024x1024x4096", help="MxNxK")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--formats", default="nvfp4,mxfp4")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    m, n, k = (int(part) for part in given.shape.split("x"))
    print(f"{m} x {n} x {k}, {given.threads} threads, numpy {np.__version__}, fp4sim {fp4sim.__version__}\n")
    print("| data | GMAC/s | a CPU second | proven | bounded | emulated | all emulated | Python MMAC/s | ratio |")
    print("|---|---|---|---|---|---|---|---|---|")
    for spec in given.formats.split(","):
        for data in DATA:
            print(row(spec, data, (m, n, k), given.threads, given.repeats), flush=True)


def operands(spec: str, data: str, shape: tuple[int, int, int]) -> tuple[Raw, Raw]:
    """Operands of one kind of data."""
    m, n, k = shape
    rng = np.random.default_rng(0)
    _, block, scales = KINDS[spec]
    if data == "random":
        codes = (rng.integers(0, 256, (rows, k // 2), dtype=np.uint8) for rows in (m, n))
        return tuple(Raw(x, rng.integers(0, scales, (len(x), k // block), dtype=np.uint8)) for x in codes)  # type: ignore[return-value]
    x, w = (rng.standard_normal((rows, k)).astype(np.float32) for rows in (m, n))
    if data == "outliers":
        x[:, rng.choice(k, k // 100, replace=False)] *= 20
    packed = (fp4sim.quantize(part, spec) for part in (x, w))
    return tuple(Raw(p.packed, np.asarray(p.block_scale)) for p in packed)  # type: ignore[return-value]


def factors(raw: Raw, spec: str) -> Factors:
    scale_format, block, _ = KINDS[spec]
    return block_scaled(raw.packed[None], raw.scale[None], scale_format, block, MODEL)  # type: ignore[arg-type]


def row(spec: str, data: str, shape: tuple[int, int, int], threads: int, repeats: int) -> str:
    """One line of the table."""
    a, b = operands(spec, data, shape)
    count, small = np.prod(shape, dtype=float), (Raw(x.packed[:8], x.scale[:8]) for x in (a, b))
    fast, wall, cpu, tally = timed(a, b, spec, "compiled", threads, repeats)
    emulated, slow, _, _ = timed(a, b, spec, "emulated", threads, repeats)
    if not np.array_equal(fast, emulated):
        raise SystemExit(f"{spec} {data}: bits differ from the emulated steps")
    python, seconds, _, _ = timed(*small, spec, "reference", 1, 0)
    if not np.array_equal(python, fast[:, :8, :8]):
        raise SystemExit(f"{spec} {data}: bits differ from the Python model")
    rate, python_rate = count / wall, PYTHON[0] * PYTHON[1] * shape[2] / seconds
    shares = " | ".join(f"{100 * part / tally.total:.2f} %" for part in (tally.proven, tally.bounded, tally.emulated))
    rates = f"{rate / 1e9:.1f} | {count / cpu / 1e9:.1f} | {shares} | {count / slow / 1e9:.1f}"
    return f"| {spec} {data} | {rates} | {python_rate / 1e6:.2f} | {rate / python_rate:,.0f} |"


def timed(
    a: Raw, b: Raw, spec: str, path: Path, threads: int, repeats: int
) -> tuple[NDArray[np.uint32], float, float, Tally]:
    """Bits, the least seconds by the clock and of CPU time, and the tally; raw bytes in, bits out, kernels compiled before."""
    walls, cpus, tally = [], [], Tally()
    for _ in range(repeats + 1):
        tally = Tally()
        wall, cpu = time.perf_counter(), time.process_time()
        c = np.zeros((1, len(a.packed), len(b.packed)), np.uint32)
        out = multiply(factors(a, spec), factors(b, spec), c, MODEL, path, threads, tally=tally)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    used = slice(1, None) if repeats else slice(None)
    return out, min(walls[used]), min(cpus[used]), tally


if __name__ == "__main__":
    main()
