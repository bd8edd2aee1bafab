"""Block-scaled products with an operand of 2^24 elements, on either backend: SHA-256 of D, stored by packed_cases.py."""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

from tests.cuda.gpu_cases import KINDS, SHAPE, digest
from tests.cuda.packed_cases import tensor

SPECS = ("nvfp4", "mxfp4")
MODELS = ("blackwell", "probe:F24")
CASES = tuple(product(("product",), KINDS, SPECS, MODELS))
PATHS = ("proven", "emulated", "wide")
_COLUMNS = 256
_SCALES = {"nvfp4": ("ue4m3", 16), "mxfp4": ("ue8m0", 32)}
_BYTES = {"nvfp4": (0, 0x7F), "mxfp4": (100, 156)}


@lru_cache(maxsize=1)
def operands(kind: str, text: str) -> tuple[Any, Any]:
    """Packed tensors (4096, 4096) and (256, 4096), on the host: quantized ones, or any codes under any scales.

    Of the latter every second row's products cancel, but for what steps have cut.
    """
    import fp4sim

    shapes = SHAPE, (_COLUMNS, SHAPE[1])
    if kind == "random":
        left, right = (fp4sim.quantize(tensor(kind, "float32", shape), text) for shape in shapes)
        return left, right
    rng, half = np.random.default_rng(24680), SHAPE[1] // 2
    a, b = (rng.integers(0, 256, (rows, cols // 2), dtype=np.uint8) for rows, cols in shapes)
    a[::2, half // 2 :], b[:, half // 2 :] = a[::2, : half // 2] ^ np.uint8(0x88), b[:, : half // 2]
    block, spec = _SCALES[text][1], fp4sim.parse(text)
    scales = [rng.integers(*_BYTES[text], (rows, cols // block)).astype(np.uint8) for rows, cols in shapes]
    for part in scales:
        part[:, half // block :] = part[:, : half // block]
    one = np.array(1, np.float32)
    left, right = (
        fp4sim.PackedTensor(codes, scale, one, shape, 1, spec, "float32", None)
        for codes, scale, shape in zip((a, b), scales, shapes, strict=True)
    )
    return left, right


def on_cpu(_: str, kind: str, text: str, model: str) -> dict[str, str]:
    """Digests of D by steps alone, and with the epilogue of gemm."""
    import fp4sim

    a, b = operands(kind, text)
    return {"steps": digest(_steps(a, b, text, model, "compiled")), "gemm": digest(fp4sim.gemm(a, b, model=model))}


def differing_on_gpu(wanted: dict[str, str], kind: str, text: str, model: str) -> str:
    """What is wrong on the GPU, by every path, or nothing."""
    import fp4sim

    a, b = (operand.to_device() for operand in operands(kind, text))
    wrong = [path for path in PATHS if digest(_steps(a, b, text, model, path)) != wanted["steps"]]
    whole: Any = fp4sim.gemm(a, b, model=model)
    return ", ".join([*wrong, *(["gemm"] if digest(whole.get()) != wanted["gemm"] else [])])


def _steps(a: Any, b: Any, text: str, model: str, path: Any) -> np.ndarray:
    """D from C = 0, under scale bytes alone."""
    from fp4sim.mma import block_scaled_mma

    fmt, block = _SCALES[text]
    zero: Any = np.zeros((a.shape[0], b.shape[0]), np.float32)
    if path in PATHS:
        from fp4sim.kernels.cuda.arrays import on_device

        zero = on_device(zero)
    arrays = (a.packed, b.packed, zero, a.block_scale, b.block_scale)
    d: Any = block_scaled_mma(*arrays, scale_format=fmt, block=block, model=model, path=path)
    return d if isinstance(d, np.ndarray) else np.asarray(d.get())
