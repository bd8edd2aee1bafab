"""Speed of estimators relative to plain NVFP4 quantization, in one process: ``python benchmarks/estimators.py``."""

from __future__ import annotations

import argparse
import time

import numpy as np

import fp4sim

ROWS = (
    ("nvfp4+4over6", 1 / 4),
    ("nvfp4+rht", 1 / 5),
    ("nvfp4+mseden", 1 / 8),
    ("nvfp4+sr", None),
    ("nvfp4/16x16+4over6", None),
    ("nvfp4+rht:16", None),
    ("nvfp4+mseden:s=128", None),
    ("nvfp4+mseden:posthoc", None),
    ("mxfp4+quest", None),
    ("if4", None),
)


def rate(x: np.ndarray, spec: str, repeats: int, threads: int) -> float:
    """Elements a second, the best of several runs."""
    fp4sim.quantize(x, spec, threads=threads)
    best = np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        fp4sim.quantize(x, spec, threads=threads)
        best = min(best, time.perf_counter() - start)
    return x.size / best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--elements", type=int, default=1 << 24)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    x = np.random.default_rng(0).standard_normal((options.elements // 4096, 4096), dtype=np.float32)
    plain = rate(x, "nvfp4", options.repeats, options.threads)
    print(f"{x.size} float32 elements, {options.threads} threads; nvfp4 {plain / 1e6:.0f} M elements/s")
    print(f"{'spec':24} {'M/s':>7}  of nvfp4  wanted")
    for spec, wanted in ROWS:
        found = rate(x, spec, options.repeats, options.threads)
        aim = f"1/{1 / wanted:.0f}" if wanted else ""
        print(f"{spec:24} {found / 1e6:7.0f}  1/{plain / found:<6.1f}  {aim}")


if __name__ == "__main__":
    main()
