"""The GEMM on a real GPU against the CPU's bits: orders, accumulators, tensor scales a row; no pytest, no numba needed.

``python -m tests.cuda.gemm_checks`` runs all on the GPU, exit code 1 at a difference; pytest (-m gpu) does too. ``--write``
computes the results on the CPU instead and writes their digests to tests/data/cuda_gemm.json, which the GPU is held to.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import fp4sim
from fp4sim.kernels.cuda import load
from fp4sim.mma import block_scaled_mma
from tests.mma.drawn import FAMILIES, KINDS, operands

EXPECTED = Path(__file__).parents[1] / "data" / "cuda_gemm.json"
PATHS = ("compiled", "emulated", "wide")
M, N, BLOCKS = 150, 280, 24  # no whole tiles, more than one each way
STEPS = (  # the accumulator to start from, and the order
    ("none", "chain"),
    ("none", "split-k:3"),
    ("none", "stream-k:1:2:backward"),
    ("words", "chain"),
    ("words", "split-k:2:c-last"),
    ("ordinary", "chain"),
    ("ordinary", "split-k:3:backward"),
    ("earlier", "chain"),
    ("earlier", "stream-k:2"),
)
PRODUCTS = (
    ("nvfp4@ts:row", "nvfp4@ts:row", "chain"),
    ("nvfp4", "nvfp4@ts:row", "split-k:3"),
    ("nvfp4@ts:row", "nvfp4", "stream-k:2:3:backward"),
    ("mxfp4", "mxfp4", "split-k:2:c-last"),
    ("nvfp4", "nvfp4", "stream-k:1"),
)
OUTS = ("float32", "bfloat16", "float16")


def same(x: Any) -> Any:
    """Where an array lies on the CPU."""
    return x


def on_gpu(x: np.ndarray) -> Any:
    """A CuPy array."""
    return load.get_cupy().asarray(x)


def digest(values: Any) -> str:
    """Of the bits of a result, NaNs alike."""
    host = values if isinstance(values, np.ndarray) else values.get()
    bits = host.view(f"u{host.itemsize}")
    infinity = {2: 0x7C00 if host.dtype == np.float16 else 0x7F80, 4: 0x7F800000}[host.itemsize]
    largest = (1 << 8 * host.itemsize - 1) - 1
    return hashlib.sha256(
        np.where((bits & largest) > infinity, largest, bits).astype(bits.dtype).tobytes()
    ).hexdigest()[:16]


def steps(family: str, kind: tuple[str, int], start: str, order: str, put: Callable[[Any], Any], path: str) -> str:
    """The digest of a product of raw bytes."""
    a, b, c, sa, sb = operands(11, family, kind, m=M, n=N, blocks=BLOCKS)
    given = {"scale_format": kind[0], "block": kind[1]}
    rng, moved = np.random.default_rng(12), [put(part) for part in (a, b, sa, sb)]
    if start == "none":
        c = np.zeros_like(c)
    elif start == "ordinary":  # of all sizes, most of them no multiples of what products are
        numbers = rng.integers(-(1 << 24), 1 << 24, c.shape) * 2.0 ** rng.integers(-40, 1, c.shape)
        c = numbers.astype(np.float32).view(np.uint32)
    words = put(c)
    if start == "earlier":
        words = block_scaled_mma(moved[0], moved[1], put(np.zeros_like(c)), *moved[2:], **given, path=path)  # type: ignore[arg-type]
    return digest(block_scaled_mma(moved[0], moved[1], words, *moved[2:], **given, order=order, path=path))  # type: ignore[arg-type]


def exponents(family: str, put: Callable[[Any], Any], path: str) -> str:
    """Accumulators of every exponent, before steps of which some anchor and some do not."""
    a, b, _, sa, sb = operands(3, family, ("ue4m3", 16), m=M, n=512, blocks=12)
    a[:, 32:64] = 0
    rng = np.random.default_rng(4)
    words = rng.integers(0, 2, (M, 512)) << 31 | np.arange(512) % 256 << 23 | rng.integers(0, 1 << 23, (M, 512))
    moved = [put(part) for part in (a, b, words.astype(np.uint32), sa, sb)]
    return digest(block_scaled_mma(*moved, scale_format="ue4m3", block=16, path=path))  # type: ignore[arg-type]


def product(specs: tuple[str, str], order: str, out: str, put: Callable[[Any], Any]) -> str:
    """The digest of ``fp4sim.gemm``, with C and bias."""
    rng = np.random.default_rng(5)
    parts = [
        rng.integers(-(1 << 15), 1 << 15, shape) / np.float32(1 << 13) for shape in ((M, 456), (N, 456), (M, N), (N,))
    ]
    x, w, c, bias = (part.astype(np.float32) for part in parts)
    x[::3] *= np.float32(8)
    a, b = (fp4sim.quantize(put(part), spec) for part, spec in zip((x, w), specs, strict=True))
    options: Any = {"alpha": 0.7, "beta": -1.1, "order": order, "out": out}
    return digest(fp4sim.gemm(a, b, put(c), bias=put(bias), **options))


def results(put: Callable[[Any], Any], path: str) -> Iterator[tuple[str, Callable[[], str]]]:
    """Names and what gives their digests."""
    for family in FAMILIES:
        for kind in KINDS:
            for start, order in STEPS:
                name = f"{family} {kind[0]}/{kind[1]} {start} {order}"
                yield name, partial(steps, family, kind, start, order, put, path)
    for family in ("ordinary", "zero_products", "subnormal"):
        yield f"exponents {family}", partial(exponents, family, put, path)
    if path == "compiled":
        for left, right, order in PRODUCTS:
            for out in OUTS:
                yield f"gemm {left} {right} {order} {out}", partial(product, (left, right), order, out, put)


def large(order: str, start: str) -> str:
    """Proven outputs and emulated ones of 2048 x 2048 x 4096, from an earlier product or from anything."""
    cupy, rng = load.get_cupy(), np.random.default_rng(6)
    codes = [cupy.asarray(rng.integers(0, 256, (2048, 2048), dtype=np.uint8)) for _ in range(2)]
    scales = [cupy.asarray(rng.integers(0x30, 0x39, (2048, 256), dtype=np.uint8)) for _ in range(2)]
    given: Any = {"scale_format": "ue4m3", "block": 16}
    c = cupy.zeros((2048, 2048), np.float32)
    if start == "earlier":
        c = block_scaled_mma(codes[0], codes[1], c, scales[1], scales[0], **given)
    found = [
        block_scaled_mma(codes[0], codes[1], c, *scales, **given, order=order, path=path).get().view(np.uint32)
        for path in ("proven", "emulated")
    ]
    count = int(np.count_nonzero(found[0] != found[1]))
    return f"{count} of {found[0].size} differ" if count else ""


def held(name: str, result: Callable[[], str], expected: dict[str, str]) -> str:
    """What is wrong with a result, or nothing."""
    found = result()
    return "" if found == expected[name] else f"{found}, on the CPU {expected[name]}"


def checks() -> Iterator[tuple[str, Callable[[], str]]]:
    """All by name."""
    expected: dict[str, str] = json.loads(EXPECTED.read_text())
    for path in PATHS:
        for name, result in results(on_gpu, path):
            yield f"{path}: {name}", partial(held, name, result, expected)
    for order in ("chain", "split-k:4"):
        for start in ("none", "earlier"):
            yield f"large {start} {order}", partial(large, order, start)


def main() -> int:
    """Print what differs, or write what is expected."""
    if "--write" in sys.argv:
        with np.errstate(all="ignore"):
            found = {name: result() for name, result in results(same, "compiled")}
        EXPECTED.write_text(json.dumps(found, indent=0) + "\n")
        return 0
    wrong, count, start = 0, 0, time.perf_counter()
    for name, check in checks():
        count += 1
        try:
            found_wrong = check()
        except Exception as error:  # one failing check must not hide the others
            found_wrong = f"{type(error).__name__}: {str(error)[:300]}"
        if found_wrong:
            wrong += 1
            print(f"{name}: {found_wrong[:600]}", flush=True)
    print(f"{count - wrong} of {count} products as on the CPU, {time.perf_counter() - start:.1f} s", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
