"""``fp4sim.gemm`` on the GPU against the CPU's emulation of Blackwell's steps, bit for bit.

Without numba, and where nothing is to be compiled, against the definition: some rows from all over the result.
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

# Formats of x and w, model, order.
CASES = (
    ("nvfp4", "nvfp4", "blackwell", "chain"),
    ("nvfp4", "nvfp4", "mma-sim-2026-01", "chain"),
    ("nvfp4", "nvfp4", "blackwell", "split-k:3"),
    ("nvfp4@ts:row", "nvfp4", "blackwell", "chain"),
    ("nvfp4@ts:row", "nvfp4@ts:row", "blackwell", "stream-k:1:5:backward"),
    ("mxfp4", "mxfp4", "blackwell", "chain"),
    ("mxfp4", "mxfp4", "mma-sim-2026-01", "chain"),
    ("mxfp4", "mxfp4", "blackwell", "split-k:3:backward"),
)
# m, n, k: no whole tiles; and fewer than 16 columns, of which the CPU emulates each at once: its faster ways, which other tests
# hold to this one, take three times as long to compile.
_SHAPE = (136, 12, 512)

_SIDE = 12  # rows that the definition computes


def run(device: Device, effort: Effort) -> Outcome:
    """Operands on which every step is exact, and operands whose products are cut."""
    from fp4sim.api import quantize
    from fp4sim.mma.gemm import gemm

    compiled = effort.compiled and find_spec("numba") is not None
    counts: dict[str, Count] = {}
    for name, x, w in operands(effort):
        rows = slice(None) if compiled else _spread(x.shape[0])
        for left, right, model, order in CASES:
            there = [quantize(device.tensor(part), spec) for part, spec in ((x, left), (w, right))]
            a, b = _rows(quantize(x, left), rows), quantize(w, right)
            found = on_host(device, gemm(there[0], there[1], model=model, order=order))[rows]
            expected = gemm(a, b, model=model, order=order) if compiled else by_definition(a, b, model, order)
            formats = left if left == right else f"{left} by {right}"
            counts[f"{formats} {name} {model} {order}"] = differing(np.ascontiguousarray(found), expected)
    return Outcome(counts)


def by_definition(a: PackedTensor, b: PackedTensor, model: str, order: str) -> NDArray[np.float32]:
    """What :func:`fp4sim.gemm` gives of operands without NaNs, by Python integers; nothing is compiled."""
    from fp4sim.kernels.reference.mma import multiply
    from fp4sim.mma.block_scaled import read_operands
    from fp4sim.mma.epilogue import Epilogue
    from fp4sim.mma.gemm import kind_of, row_scales
    from fp4sim.mma.instances import model_named
    from fp4sim.mma.order import add_up, order_named

    zero, rule, plan = np.zeros((a.shape[0], b.shape[0]), np.float32), model_named(model), order_named(order)
    scales = row_scales(a), row_scales(b)
    left, right, words = read_operands(a.packed, b.packed, zero, *scales, *kind_of(a, b), rule)
    parts = plan.slices(left.significand.shape[-1] // left.step)
    partial = [multiply(left.steps(part), right.steps(part), words, rule) for part in parts]
    steps = add_up(partial, plan, by_definition=True)
    factor = np.atleast_1d(a.tensor_scale)[:, None] * np.atleast_1d(b.tensor_scale)
    product: NDArray[np.float32] = Epilogue(factor.astype(np.float32), np.dtype(np.float32)).apply(
        steps[0].view(np.float32)
    )
    return product


def _spread(rows: int) -> NDArray[np.int64]:
    """Some rows, the first and the last among them."""
    return np.unique(np.linspace(0, rows - 1, _SIDE).round().astype(np.int64))


def _rows(x: PackedTensor, rows: NDArray[np.int64] | slice) -> PackedTensor:
    packed, scales = x.packed[rows], x.block_scale[rows]
    own = x.tensor_scale[rows] if x.tensor_scale.ndim else x.tensor_scale
    return replace(x, packed=packed, block_scale=scales, tensor_scale=own, shape=(packed.shape[0], x.shape[1]))


def operands(effort: Effort) -> Iterator[tuple[str, NDArray[np.float32], NDArray[np.float32]]]:
    """Float matrices (m, k) and (n, k)."""
    rng = np.random.default_rng(7)
    m, n, k = _SHAPE
    times = 4 if effort.elements >= 1 << 22 else 1
    x, w = (rng.standard_normal((rows, k), np.float32) for rows in (m * times, n))
    yield "normal", x, w
    wide = [part * np.exp2(rng.normal(0, 4, part.shape).round()).astype(np.float32) for part in (x, w)]
    wide[0][:, k // 2 :], wide[1][:, k // 2 :] = -wide[0][:, : k // 2], wide[1][:, : k // 2]
    yield "wide and cancelling", wide[0], wide[1]


CHECK = Check("own-gemm", "fp4sim.gemm on the GPU against the CPU", run, ("gemm.cu",), package="ml_dtypes")
