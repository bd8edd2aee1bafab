"""``fp4sim.gemm`` on the GPU against the CPU's emulation of Blackwell's steps, bit for bit.

Without numba, and where nothing is to be compiled, against the definition: some rows and columns from all over the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from fp4sim.crosscheck.check import Check, Effort, Outcome
from fp4sim.crosscheck.checks.own_primitives import differing
from fp4sim.crosscheck.checks.own_quantize import on_host
from fp4sim.crosscheck.device import Device
from fp4sim.packed import PackedTensor
from fp4sim.report.verify_model import Count

SPECS = ("nvfp4", "mxfp4")
MODELS = ("blackwell", "mma-sim-2026-01")
_SHAPE = (136, 72, 512)  # m, n, k: no whole tiles
_SIDE = 12  # rows and columns that the definition computes


def run(device: Device, effort: Effort) -> Outcome:
    """Operands on which every step is exact, and operands whose products are cut."""
    from fp4sim.api import quantize
    from fp4sim.mma.gemm import gemm

    compiled = effort.compiled and find_spec("numba") is not None
    counts: dict[str, Count] = {}
    for spec in SPECS:
        for name, x, w in operands(effort):
            there = [quantize(device.tensor(part), spec) for part in (x, w)]
            here = [quantize(part, spec) for part in (x, w)]
            looked_at = [slice(None) if compiled else _spread(part.shape[0]) for part in (x, w)]
            a, b = (_rows(part, rows) for part, rows in zip(here, looked_at, strict=True))
            for model in MODELS:
                found = on_host(device, gemm(there[0], there[1], model=model))[looked_at[0]][:, looked_at[1]]
                expected = gemm(a, b, model=model) if compiled else by_definition(a, b, model)
                counts[f"{spec} {name} {model}"] = differing(np.ascontiguousarray(found), expected)
    return Outcome(counts)


def by_definition(a: PackedTensor, b: PackedTensor, model: str) -> NDArray[np.float32]:
    """What :func:`fp4sim.gemm` gives of operands under one tensor scale each, by Python integers; nothing is compiled."""
    from fp4sim.kernels.reference.mma import multiply
    from fp4sim.mma.block_scaled import read_operands
    from fp4sim.mma.epilogue import Epilogue
    from fp4sim.mma.gemm import kind_of, row_scales
    from fp4sim.mma.instances import model_named

    zero, rule = np.zeros((a.shape[0], b.shape[0]), np.float32), model_named(model)
    steps = multiply(*read_operands(a.packed, b.packed, zero, row_scales(a), row_scales(b), *kind_of(a, b), rule), rule)
    factor = np.asarray(a.tensor_scale * b.tensor_scale, np.float32)
    product: NDArray[np.float32] = Epilogue(factor, np.dtype(np.float32)).apply(steps[0].view(np.float32))
    return product


def _spread(rows: int) -> NDArray[np.int64]:
    """Some rows, the first and the last among them."""
    return np.unique(np.linspace(0, rows - 1, _SIDE).round().astype(np.int64))


def _rows(x: PackedTensor, rows: NDArray[np.int64] | slice) -> PackedTensor:
    packed, scales = x.packed[rows], x.block_scale[rows]
    return replace(x, packed=packed, block_scale=scales, shape=(packed.shape[0], x.shape[1]))


def operands(effort: Effort) -> Iterator[tuple[str, NDArray[np.float32], NDArray[np.float32]]]:
    """Float matrices (m, k) and (n, k)."""
    rng = np.random.default_rng(7)
    m, n, k = _SHAPE
    times = 4 if effort.elements >= 1 << 22 else 1
    x, w = (rng.standard_normal((rows * times, k), np.float32) for rows in (m, n))
    yield "normal", x, w
    wide = [part * np.exp2(rng.normal(0, 4, part.shape).round()).astype(np.float32) for part in (x, w)]
    wide[0][:, k // 2 :], wide[1][:, k // 2 :] = -wide[0][:, : k // 2], wide[1][:, : k // 2]
    yield "wide and cancelling", wide[0], wide[1]


CHECK = Check("own-gemm", "fp4sim.gemm on the GPU against the CPU", run, ("gemm.cu",), package="ml_dtypes")
