"""cuda/mma_step.cuh and the host parts of cuda/gemm_operands.cuh, compiled as C++, against the CPU's matrix arithmetic.

Against its path for every model, which is compiled once; the lanes are compiled for each (tests/mma/test_paths.py).
"""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fp4sim.kernels.cuda.gemm_launch import ANCHORINGS, Rule
from fp4sim.mma import model_named
from fp4sim.mma.on_gpu import gpu_rule
from tests.conftest import golden
from tests.cuda.host import host_library
from tests.mma.cases import FAMILIES, KINDS, operands, pairs

MODELS = ["blackwell", "mma-sim-2026-01", "probe:F24", "probe:F34", "probe:floorNone"]
WIDE_MODELS = [*MODELS, "probe:F37", "probe:zero scale keeps exponent -6 and anchors"]


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


class Groups:
    """Rows of K decoded by the header, K filled up to whole steps as gemm.cu does."""

    def __init__(self, codes: np.ndarray, scales: np.ndarray, rule: Rule) -> None:
        rows, groups = codes.shape[0], codes.shape[1] // 8
        shape = (rows, groups)
        elements = np.zeros((*shape, 16), np.int32)
        significands, exponents, zeros = (np.zeros(shape, np.int32) for _ in range(3))
        masks = np.zeros(shape, np.uint32)
        outputs = (elements, significands, exponents, masks, zeros)
        host_library("mma_step_host.cpp").host_groups(
            *(pointer(np.ascontiguousarray(part)) for part in (codes, scales, rule.table)),
            *map(ctypes.c_int64, shape),
            rule.block,
            ANCHORINGS.index(rule.anchoring),
            *map(pointer, outputs),
        )
        padding = ((0, 0), (0, -groups % 4))
        self.nan = (significands < 0).any(axis=1)
        self.elements = np.pad(elements, (*padding, (0, 0)))
        self.significands = np.pad(np.maximum(significands, 0), padding)
        self.exponents, self.masks, self.zeros = (
            np.ascontiguousarray(np.pad(part, padding)) for part in (exponents, masks, zeros)
        )


def wide(ops, rule: Rule) -> np.ndarray:
    """Bits of row i of A with row i of B, by wide_step."""
    a, b, c = Groups(ops[0], ops[3], rule), Groups(ops[1], ops[4], rule), np.ascontiguousarray(ops[2])
    sums = ((a.elements * b.elements).sum(-1) * a.significands * b.significands).astype(np.int32)
    exponents, anchors = a.exponents + b.exponents, ((a.masks & b.masks) != 0).astype(np.uint8)
    d = np.empty(len(c), np.uint32)
    numbers = (2 + 2 * rule.unit, rule.fraction, rule.floor)
    host_library("mma_step_host.cpp").host_wide(
        *map(pointer, (sums, exponents, anchors, c, d)),
        *(ctypes.c_int64(n) for n in (len(c), sums.shape[1] // 4)),
        *numbers,
    )
    d[a.nan | b.nan] = 0x7FFFFFFF
    return d


def shifted(x: Groups, rule: Rule) -> tuple[np.ndarray, np.ndarray]:
    """A row's shift as gemm_operand chooses it, and the anchor words."""
    held = x.significands * x.elements.any(-1) != 0
    unit = np.where(held, x.exponents - rule.unit - 1 + x.zeros, 1 << 20).min(1)
    top = np.where(x.masks != 0, x.exponents, -(1 << 20)).max(1)
    shift = np.where(unit < 1 << 20, -14 - unit, np.where(top > -(1 << 20), -top, 0))
    elements = np.unpackbits(x.masks.view(np.uint8).reshape(*x.masks.shape, 4), axis=-1).sum(-1, dtype=np.int32)
    exponents, words = (x.exponents + shift[:, None]).astype(np.int32), np.empty(x.masks.shape, np.int32)
    arrays = map(pointer, (x.masks, elements, exponents, words))
    host_library("mma_step_host.cpp").host_anchors(*arrays, ctypes.c_int64(words.size))
    return shift, words


def narrow(ops, rule: Rule) -> np.ndarray:
    """Bits of row i of A with row i of B from C = +0, by narrow_step."""
    a, b = Groups(ops[0], ops[3], rule), Groups(ops[1], ops[4], rule)
    (shift_a, anchors_a), (shift_b, anchors_b) = shifted(a, rule), shifted(b, rule)
    shift = (shift_a + shift_b)[:, None]
    products = ((a.elements * b.elements).sum(-1) * a.significands * b.significands).astype(np.float64)
    sums = np.ldexp(products, a.exponents + b.exponents - 2 - 2 * rule.unit + shift).astype(np.float32)
    d = np.empty(len(sums), np.float32)
    host_library("mma_step_host.cpp").host_narrow(
        *map(pointer, (sums, anchors_a, anchors_b, d)),
        *(ctypes.c_int64(n) for n in (len(d), sums.shape[1] // 4)),
        rule.fraction,
    )
    bits = np.ldexp(d.astype(np.float64), -shift[:, 0]).astype(np.float32).view(np.uint32)
    bits[a.nan | b.nan] = 0x7FFFFFFF
    return bits


@pytest.mark.parametrize("model", WIDE_MODELS)
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 30), st.sampled_from(FAMILIES), st.sampled_from(KINDS))
def test_wide_steps(model, seed, family, kind):
    ops = operands(seed, family, kind, m=24, n=24)
    ops = (*ops[:2], np.ascontiguousarray(ops[2][:, 0]), *ops[3:])
    rule = gpu_rule(model_named(model), kind[0], kind[1])
    np.testing.assert_array_equal(wide(ops, rule), pairs(ops, kind, model, "wide"))


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 30), st.sampled_from(["any", "ordinary", "sparse", "zero_products", "cancelling", "nan"]))
def test_narrow_steps(model, seed, family):
    kind = ("ue4m3", 16)
    ops = operands(seed, family, kind, m=64, n=64, blocks=32)
    ops = (*ops[:2], np.zeros(64, np.uint32), *ops[3:])
    rule = gpu_rule(model_named(model), *kind)
    np.testing.assert_array_equal(narrow(ops, rule), pairs(ops, kind, model, "wide"))


@pytest.mark.parametrize("block", [16, 32])
@pytest.mark.parametrize("spread", [4, 13, 26])
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1 << 30), st.sampled_from(["any", "sparse", "zero_products", "cancelling"]))
def test_narrow_steps_under_powers_of_two(spread, block, seed, family):
    kind = ("ue8m0", block)
    ops = list(operands(seed, family, kind, m=64, n=64, blocks=16))
    rng = np.random.default_rng(seed)
    for side in (3, 4):
        ops[side] = rng.integers(127 - spread // 2, 127 - spread // 2 + spread - 3, ops[side].shape).astype(np.uint8)
    ops[2] = np.zeros(64, np.uint32)
    rule = gpu_rule(model_named("blackwell"), *kind)
    np.testing.assert_array_equal(narrow(ops, rule), pairs(tuple(ops), kind, "blackwell", "wide"))


def test_golden_words():
    vectors, words = golden("golden_mma.npz"), 0
    for key in vectors:
        if key.endswith("/D"):
            fmt, block = key.split("/")[1].split("_b")
            a, b, c, sa, sb, d = (vectors[key[:-1] + field] for field in ("A", "B", "C", "SA", "SB", "D"))
            (m, n), rule = d.shape, gpu_rule(model_named("blackwell"), fmt, int(block))
            rows, columns = np.repeat(np.arange(m), n), np.tile(np.arange(n), m)
            ops = (a[rows], b[columns], c.reshape(-1), sa[rows], sb[columns])
            np.testing.assert_array_equal(wide(ops, rule), d.reshape(-1), err_msg=key)
            words += d.size
    assert words == 54_528
