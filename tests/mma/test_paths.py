"""The reference, the compiled kernel of every model and the compiled lanes give the same bits, whatever the operands."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fp4sim.floats import E2M1, E8M0, UE4M3
from fp4sim.kernels.cpu import mma_lanes
from fp4sim.kernels.reference.blocks import unpack
from fp4sim.mma import block_scaled_mma, dense_mma, model_named, model_names
from tests.mma.cases import FAMILIES, KINDS, Operands, multiply, operands

BLOCK_SCALED = [name for name in model_names() if name != "dense"]
IN_LANES = [
    "blackwell",
    "mma-sim-2026-01",
    "probe:F34_C_only",
    "probe:out_RNE",
    "probe:floorNone",
    *(  # each is compiled anew, which takes seconds
        pytest.param(name, marks=pytest.mark.slow)
        for name in (
            "probe:F24",
            "probe:F34",
            "probe:F37",
            "probe:align_RNE",
            "probe:only nonzero dots anchor",
            "probe:align_floor",
            "probe:zero scale keeps exponent -6 and anchors",
            "probe:UE4M3 sign applied",
            "probe:two chained K=32 steps",
            "probe:group16_evenodd(MX)",
        )
    ),
]
CASES = {"seed": st.integers(0, 2**32 - 1), "family": st.sampled_from(FAMILIES), "kind": st.sampled_from(KINDS)}


@given(**CASES, model=st.sampled_from(BLOCK_SCALED), blocks=st.integers(1, 13))
@settings(max_examples=600)
def test_every_model_compiled_equals_its_reference(
    seed: int, family: str, kind: tuple[str, int], model: str, blocks: int
) -> None:
    ops = operands(seed, family, kind, blocks=blocks)
    before = ops[2].copy()
    reference = multiply(ops, kind, model, "reference")
    np.testing.assert_array_equal(multiply(ops, kind, model, "wide"), reference)
    np.testing.assert_array_equal(ops[2], before)  # C is not written to


@pytest.mark.parametrize("model", IN_LANES)
@given(**CASES)
@settings(max_examples=60)
def test_lanes_equal_the_kernel_of_every_model(model: str, seed: int, family: str, kind: tuple[str, int]) -> None:
    assert mma_lanes.covers(model_named(model))
    ops = operands(seed, family, kind, m=18, n=70, blocks=16)
    before = ops[2].copy()
    np.testing.assert_array_equal(multiply(ops, kind, model, "compiled"), multiply(ops, kind, model, "wide"))
    np.testing.assert_array_equal(ops[2], before)


@given(**CASES)
@settings(max_examples=200)
def test_lanes_equal_the_reference(seed: int, family: str, kind: tuple[str, int]) -> None:
    ops = operands(seed, family, kind)
    np.testing.assert_array_equal(
        multiply(ops, kind, "blackwell", "compiled"), multiply(ops, kind, "blackwell", "reference")
    )


@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["fp16", "bf16", "tf32"]))
@settings(max_examples=100)
def test_dense_compiled_equals_its_reference(seed: int, kind: str) -> None:
    rng, width = np.random.default_rng(seed), 32 if kind == "tf32" else 16
    top = {"fp16": 0x7C00, "bf16": 0x7F80, "tf32": 0x7F800000}[kind]
    a, b = (rng.integers(0, 1 << width, (4, 24)).astype(np.uint32 if width == 32 else np.uint16) for _ in range(2))
    a, b = (np.where(x & top == top, x & ~x.dtype.type(top), x) for x in (a, b))
    c = rng.integers(0, 1 << 32, (4, 4)).astype(np.uint32)
    paths = [dense_mma(a, b, c, kind=kind, path=path).view(np.uint32) for path in ("compiled", "reference")]
    np.testing.assert_array_equal(*paths)


def fractions_of(ops: Operands, kind: tuple[str, int]) -> list[list[Fraction]]:
    """Exact values of the outputs."""
    a, b, c, sa, sb = ops
    fmt = UE4M3 if kind[0] == "ue4m3" else E8M0
    left, right = (
        [[Fraction(v) * Fraction(fmt.value(int(s[i, k // kind[1]]) & (0x7F if fmt is UE4M3 else 0xFF)))
          for k, v in enumerate(row)] for i, row in enumerate(E2M1.values()[unpack(x)].tolist())]
        for x, s in ((a, sa), (b, sb))
    )  # fmt: skip
    start = c.view(np.float32).astype(float).tolist()
    return [
        [Fraction(start[i][j]) + sum(x * y for x, y in zip(left[i], right[j], strict=True)) for j in range(len(right))]
        for i in range(len(left))
    ]


def nearest_even(exact: Fraction) -> int:
    """Bits of the float32 nearest to a fraction, found among its neighbours."""
    if abs(exact) >= Fraction(2) ** 128 - Fraction(2) ** 103:
        return 0x7F800000 | (0x80000000 if exact < 0 else 0)
    near = (
        np.float32(float(exact)) if abs(exact) < Fraction(2) ** 127 else np.float32(np.copysign(2.0**127, float(exact)))
    )
    if abs(exact) >= Fraction(2) ** 127:
        near = np.float32(min(abs(float(exact)), 3.4028234663852886e38) * (1 if exact > 0 else -1))
    with np.errstate(over="ignore"):
        around = [near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))]
    finite = [x for x in around if np.isfinite(x)]
    best = min(finite, key=lambda x: (abs(Fraction(float(x)) - exact), int(x.view(np.uint32)) & 1))
    return int(best.view(np.uint32)) if best != 0 else 0


@given(**CASES)
@example(seed=0, family="huge_c", kind=("ue8m0", 32))
@settings(max_examples=60)
def test_exact_is_the_nearest_float_to_the_sum_of_fractions(seed: int, family: str, kind: tuple[str, int]) -> None:
    ops = operands(seed, "any" if family == "nan" else family, kind)
    ops[2][(ops[2] & 0x7F800000) == 0x7F800000] = 0x7F7FFFFF
    expected = [[nearest_even(value) for value in row] for row in fractions_of(ops, kind)]
    np.testing.assert_array_equal(multiply(ops, kind, "exact"), np.array(expected, np.uint32))


def test_threads_bands_and_batches_change_no_bit() -> None:
    ops = operands(7, "wide", ("ue4m3", 16), m=70, n=130, blocks=20)
    given_ = {"scale_format": "ue4m3", "block": 16}
    for model in ("blackwell", "fp32-rn"):
        one = block_scaled_mma(*ops, **given_, model=model, threads=1).view(np.uint32)
        two = block_scaled_mma(*ops, **given_, model=model, threads=2).view(np.uint32)
        np.testing.assert_array_equal(one, two)
        stacked = tuple(np.stack([x, x[::-1]]) for x in ops[:1] + ops[3:4])
        twice = [np.stack([x, x]) for x in (ops[1], ops[4])]
        c = np.stack([ops[2], ops[2][::-1]])
        both = block_scaled_mma(stacked[0], twice[0], c, stacked[1], twice[1], **given_, model=model).view(np.uint32)
        np.testing.assert_array_equal(both, np.stack([one, one[::-1]]))
