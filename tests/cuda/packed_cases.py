"""What GPU tests of quantization compute, 2^24 elements a case, on either backend; no pytest, no numba needed.

``python -m tests.cuda.packed_cases`` computes the cases on the CPU and writes tests/data/cuda_bits.json, to which the GPU's
results are held: SHA-256 of packed codes, block scales and fake-quantized values, and the tensor scale. Every input dtype,
random and adversarial data, every spec that a fused kernel covers, specs that take the general path through each of its
kernels; what compare finds by the general path; and products (product_cases.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from tests.cuda.gpu_cases import DTYPES, KINDS, SHAPE, compared, data, digest

EXPECTED = Path(__file__).parents[1] / "data" / "cuda_bits.json"
FUSED = (
    "nvfp4", "nvfp4@ts:none", "nvfp4/16x16", "nvfp4+sr", "nvfp4+sr:bits=8", "nvfp4+sr:bits=5:clip", "nvfp4/16x16+sr:bits=8",
    "mxfp4", "mxfp4@ceil", "mxfp4@rceil", "mxfp4@even", "mxfp4+sr", "mxfp4@even+sr:bits=8", "mxfp4@rceil+sr:bits=21",
    "nvfp4+4over6", "nvfp4+4over6:mae", "nvfp4+4over6:absmax", "nvfp4@ts:none+4over6",
)  # fmt: skip
GENERAL = ("nvfp4@torchao", "nvfp4@cublaslt", "nvfp4+4over6:fast", "e1m2/8@e4m3", "mxfp4+rht:32", "mxfp4+eden")
COMPARED = ("nvfp4+sr", "nvfp4@torchao", "nvfp4+4over6", "e1m2/8@e4m3")  # error sums by the general path
BOTH_WAYS = ("nvfp4", "mxfp4@rceil", "nvfp4+sr")  # by a fused kernel and, on the GPU, by the general path too
CASES = tuple(product(("bits",), KINDS, DTYPES, (*FUSED, *GENERAL)))
_DRAWN = {"seed": 9, "name": "w"}
_LARGEST_EXPONENT = {"float32": 129, "bfloat16": 129, "float16": 17}


@lru_cache(maxsize=2)
def tensor(kind: str, dtype: str, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """:func:`gpu_cases.data`, in adversarial tensors with rows of any bits below 8, subnormals among them, and of eighths."""
    x = data(kind, dtype, shape)
    if kind == "adversarial":
        rng = np.random.default_rng(54321)
        width, mantissa = (32, 23) if dtype == "float32" else (16, 7 if dtype == "bfloat16" else 10)
        words, rows = x.view(np.uint32 if width == 32 else np.uint16), x[8::16].shape
        exponent = rng.integers(0, _LARGEST_EXPONENT[dtype] + 1, rows)
        rest = rng.integers(0, 1 << mantissa, rows) | rng.integers(0, 2, rows) << width - 1
        words[8::16] = (exponent << mantissa | rest).astype(words.dtype)
        eighths = (rng.integers(-48, 49, x[9::16].shape) / np.float32(8)).astype(np.float32)
        narrow = eighths.view(np.uint32) >> np.uint32(16) if dtype == "bfloat16" else eighths
        x[9::16] = narrow.astype(x.dtype)
    return x


def typed(x: Any, dtype: str) -> Any:
    """An array of :func:`tensor`, NumPy's or CuPy's, with bfloat16 under ml_dtypes' name."""
    import ml_dtypes

    return x.view(ml_dtypes.bfloat16) if dtype == "bfloat16" else x


def bits_of(x: Any, text: str) -> dict[str, str]:
    """Digests of what quantize and fake_quant make of an array, wherever it lies."""
    import fp4sim

    packed, values = fp4sim.quantize(x, text, **_DRAWN), fp4sim.fake_quant(x, text, **_DRAWN)
    parts = {"packed": packed.packed, "scales": packed.block_scale, "values": values}
    found = {name: digest(_on_host(part)) for name, part in parts.items()}
    return found | {"stored": float(_on_host(packed.tensor_scale)).hex()}


def on_cpu(_: str, kind: str, dtype: str, text: str) -> dict[str, str]:
    """A case of CASES on the CPU."""
    return bits_of(typed(tensor(kind, dtype), dtype), text)


def _on_host(array: Any) -> np.ndarray:
    return array if isinstance(array, np.ndarray) else np.asarray(array.get())


@contextmanager
def general_path() -> Iterator[None]:
    """No fused kernel is taken inside."""
    from fp4sim.gpu import fused

    found = fused.fused_of
    fused.fused_of = lambda _spec: None
    try:
        yield
    finally:
        fused.fused_of = found


def expected() -> dict[str, Any]:
    """The CPU's bits by case."""
    return dict(json.loads(EXPECTED.read_text()))


def differing(found: dict[str, str], wanted: dict[str, str]) -> str:
    """What is wrong, or nothing."""
    return ", ".join(name for name in wanted if found[name] != wanted[name])


def main() -> None:
    """Write what is expected."""
    from tests.cuda import product_cases

    found: dict[str, Any] = {}
    for case in CASES:
        found[" ".join(case)] = on_cpu(*case)
    for kind in KINDS:
        found[f"compare {kind}"] = compared(tensor(kind, "float32"), list(COMPARED))
    found |= {" ".join(case): product_cases.on_cpu(*case) for case in product_cases.CASES}
    EXPECTED.write_text(json.dumps(found, indent=0) + "\n")


if __name__ == "__main__":
    main()
