"""What is proven needs no emulation: proofs, bounds and a BLAS give the bits of emulated steps; a looser proof does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import fp4sim
from fp4sim.mma import Order, block_scaled_mma, model_named, model_names, proof
from fp4sim.mma.block_scaled import read_operands
from fp4sim.mma.chain import Tally
from fp4sim.mma.multiply import multiply
from fp4sim.mma.operands import Factors, block_scaled
from fp4sim.mma.order import CHAIN
from fp4sim.mma.proof import proven_product
from tests.mma.cases import FAMILIES, KINDS, Operands, operands
from tests.mma.test_paths import IN_LANES

BLACKWELL = model_named("blackwell")
NVFP4, MXFP4 = ("ue4m3", 16), ("ue8m0", 32)
BLOCK_SCALED = [name for name in model_names() if name != "dense"]


def factors(ops: Operands, kind: tuple[str, int], model: str = "blackwell") -> tuple[Factors, Factors, np.ndarray]:
    return read_operands(*ops, *kind, model_named(model))


def quantized(data: str, spec: str, shape: tuple[int, int, int], seed: int = 0) -> tuple[Factors, Factors, np.ndarray]:
    """Quantized operands of a kind of data, and C = 0."""
    m, n, k = shape
    rng = np.random.default_rng(seed)
    x, w = (rng.standard_normal((rows, k)).astype(np.float32) for rows in (m, n))
    if data == "outliers":
        x[:, rng.choice(k, k // 100, replace=False)] *= 20
    if data == "wide":
        x, w = (part * np.exp2(rng.normal(0, 3, (len(part), k // 16))).repeat(16, 1) for part in (x, w))
    kind = MXFP4 if spec.startswith("mxfp4") else NVFP4
    packed = [fp4sim.quantize(part.astype(np.float32), spec) for part in (x, w)]
    a, b = (block_scaled(p.packed[None], np.asarray(p.block_scale)[None], *kind, BLACKWELL) for p in packed)
    return a, b, np.zeros((1, m, n), np.uint32)


def near_the_bound(seed: int, kind: tuple[str, int], spread: int) -> Operands:
    """Rows against themselves and their negatives: |sum| is the product of norms, about 2^24 units of an odd element."""
    rng = np.random.default_rng(seed)
    rows, k = 64, 512
    codes = np.where(rng.random((rows, k)) < 0.5, 7, rng.integers(0, 8, (rows, k))).astype(np.uint8)
    codes[:, rng.integers(0, k, 3)] = 1
    one = 0x38 if kind[0] == "ue4m3" else 127
    unit = 8 if kind[0] == "ue4m3" else 1
    up = rng.integers(0, spread + 1, (rows, k // kind[1]))
    scale = (one - 3 * unit + up * unit).astype(np.uint8)
    scale[:, 0] = one - 3 * unit
    packed = codes[:, 0::2] | codes[:, 1::2] << 4
    signs = np.where(np.arange(rows) % 2, np.uint8(0x88), np.uint8(0))[:, None]
    return packed, packed ^ signs, np.zeros((rows, rows), np.uint32), scale, scale


@pytest.mark.parametrize("spec", ["nvfp4", "mxfp4", "nvfp4+4over6"])
@pytest.mark.parametrize("data", ["gauss", "outliers", "wide"])
def test_hundreds_of_thousands_of_outputs(data: str, spec: str) -> None:
    a, b, c = quantized(data, spec, (512, 320, 1024))
    tally = Tally()
    proven = multiply(a, b, c, BLACKWELL, "proven", tally=tally)
    np.testing.assert_array_equal(proven, multiply(a, b, c, BLACKWELL, "emulated"))
    assert tally.total == 512 * 320 * 1024
    assert tally.proven >= {"gauss": 0.999, "outliers": 0.8, "wide": 0.0}[data] * tally.total
    assert (tally.emulated > 0.9 * tally.total) == (data == "wide")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("data", "least"), [("gauss", 0.98), ("outliers", 0.5), ("wide", 0.0)])
def test_millions_of_outputs(data: str, least: float, seed: int) -> None:
    for spec in ("nvfp4", "mxfp4"):
        a, b, c = quantized(data, spec, (1024, 1024, 4096), seed)
        tally = Tally()
        proven = multiply(a, b, c, BLACKWELL, "proven", tally=tally)
        np.testing.assert_array_equal(proven, multiply(a, b, c, BLACKWELL, "emulated"))
        assert tally.proven >= least * tally.total


@pytest.mark.parametrize("spec", ["nvfp4", "mxfp4"])
def test_any_accumulator_is_bounded_step_by_step(spec: str) -> None:
    """An accumulator that is no multiple of the products' unit leaves the decision to the margins, and a few to the groups."""
    a, b, _ = quantized("gauss", spec, (150, 130, 512))
    rng = np.random.default_rng(0)
    c = np.exp2(rng.uniform(-30, 30, (1, 150, 130))).astype(np.float32) * rng.choice([-1, 1], (1, 150, 130))
    words, tally = c.astype(np.float32).view(np.uint32), Tally()
    proven = multiply(a, b, words, BLACKWELL, "proven", tally=tally)
    np.testing.assert_array_equal(proven, multiply(a, b, words, BLACKWELL, "emulated"))
    assert tally.bounded > 0.3 * tally.total
    assert 0 < tally.emulated < 0.3 * tally.total


def test_long_chains_are_proven_almost_everywhere() -> None:
    a, b, c = quantized("gauss", "nvfp4", (64, 64, 16384))
    tally = Tally()
    multiply(a, b, c, BLACKWELL, "proven", tally=tally)
    assert tally.proven > 0.9 * tally.total


@pytest.mark.parametrize("kind", [NVFP4, MXFP4])
@pytest.mark.parametrize("spread", range(4, 9))
def test_sums_that_just_reach_the_bound(spread: int, kind: tuple[str, int]) -> None:
    for seed in range(4):
        a, b, c = factors(near_the_bound(seed, kind, spread), kind)
        emulated = multiply(a, b, c, BLACKWELL, "emulated")
        for run in (64, 256, 512):
            bits, sure = proven_product(a, b, c, BLACKWELL, run)
            np.testing.assert_array_equal(bits[sure], emulated[sure])
        np.testing.assert_array_equal(multiply(a, b, c, BLACKWELL, "proven"), emulated)


def test_a_looser_bound_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The data above would show a proof that lets sums reach 2^26 units, so that it does show that 2^24 is right."""
    monkeypatch.setattr(proof, "SIGNIFICAND", 26)
    wrong = within = 0
    for kind in (NVFP4, MXFP4):
        for spread in range(4, 9):
            a, b, c = factors(near_the_bound(0, kind, spread), kind)
            bits, sure = proven_product(a, b, c, BLACKWELL, 256)
            wrong += int((bits[sure] != multiply(a, b, c, BLACKWELL, "emulated")[sure]).sum())
            within += int(sure.sum())
    assert wrong > 100
    assert within > 1000


def test_the_bound_is_reached_and_not_passed() -> None:
    """2^24 units are proven, 2^24 + 1 are not; both by one pair of rows whose products are a square and an odd rest."""
    codes = np.zeros((1, 64), np.uint8)
    codes[0, :16] = 2  # 1.0 in one block: a norm of 4
    scale = np.array([[127 + 10, 127]], np.uint8)  # products of 2^20: a sum of 2^24
    for odd, expected in ((0, True), (1, False)):
        codes[0, 32] = 2 * odd  # a product of 1
        packed = codes[:, 0::2] | codes[:, 1::2] << 4
        c = np.zeros((1, 1), np.uint32)
        a, b, words = factors((packed, packed, c, scale, scale), MXFP4)
        bits, sure = proven_product(a, b, words, BLACKWELL, 64)
        assert bool(sure[0, 0, 0]) is expected
        assert not expected or bits.view(np.float32)[0, 0, 0] == 2.0**24


CASES = {"seed": st.integers(0, 2**32 - 1), "family": st.sampled_from(FAMILIES), "kind": st.sampled_from(KINDS)}


@given(**CASES, model=st.sampled_from(BLOCK_SCALED), start=st.booleans())
@settings(max_examples=300)
def test_proven_outputs_of_every_model_are_its_own(
    seed: int, family: str, kind: tuple[str, int], model: str, start: bool
) -> None:
    """Zero groups under large scales, subnormal scales, cancelling rows, C of any size: proven means equal."""
    ops = operands(seed, family, kind, blocks=16)
    ops = ops if start else (*ops[:2], np.zeros_like(ops[2]), *ops[3:])
    rule = model_named(model)
    a, b, c = factors(ops, kind, model)
    if proof.limits(rule, a, b).bits < 1:
        return
    run = a.step if a.step > 64 else 128 // a.step * a.step
    bits, sure = proven_product(a, b, c, rule, run)
    known = sure & ~(a.nan[:, :, None] | b.nan[:, None, :])
    np.testing.assert_array_equal(bits[known], multiply(a, b, c, rule, "wide")[known])


@pytest.mark.parametrize("model", [*IN_LANES, "exact", "fp32-rn", "mxf8f6f4", "probe:group32", "ue5m3-report"])
@given(**CASES, blocks=st.sampled_from([4, 20, 70]), start=st.booleans())
@example(seed=0, family="wide", kind=MXFP4, blocks=70, start=False)
@settings(max_examples=25)
def test_products_by_proof_equal_every_emulated_step(
    model: str, seed: int, family: str, kind: tuple[str, int], blocks: int, start: bool
) -> None:
    ops = operands(seed, family, kind, m=5, n=67, blocks=blocks)
    ops = ops if start else (*ops[:2], np.zeros_like(ops[2]), *ops[3:])
    given_ = {"scale_format": kind[0], "block": kind[1], "model": model}
    proven = block_scaled_mma(*ops, **given_, path="proven").view(np.uint32)
    np.testing.assert_array_equal(proven, block_scaled_mma(*ops, **given_, path="emulated").view(np.uint32))


@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(KINDS), c=st.booleans())
@settings(max_examples=40)
def test_where_all_of_k_is_one_proven_chunk_all_orders_and_models_agree(
    seed: int, kind: tuple[str, int], c: bool
) -> None:
    ops = operands(seed, "ordinary", kind, m=4, n=4, blocks=16)
    rng = np.random.default_rng(seed)
    start = rng.integers(-100, 100, (4, 4)).astype(np.float32).view(np.uint32) if c else np.zeros((4, 4), np.uint32)
    ops = (*ops[:2], start, *ops[3:])
    a, b, words = factors(ops, kind)
    bits, sure = proven_product(a, b, words, BLACKWELL, a.significand.shape[-1])
    assert sure.any()
    orders = [CHAIN, Order(2), Order(3, backward=True), Order(cuts=(1,), c_last=True)]
    for model in ("blackwell", "exact", "fp32-rn", "probe:C_after:F35 dot RZ,RZ", "probe:group64"):
        left, right, _ = factors(ops, kind, model)
        for order in orders if model == "blackwell" else [CHAIN]:
            out = multiply(left, right, words, model_named(model), order=order)
            np.testing.assert_array_equal(out[sure], bits[sure])


def test_threads_change_no_bit() -> None:
    a, b, c = quantized("outliers", "nvfp4", (130, 200, 512))
    outs = [multiply(a, b, c, BLACKWELL, "proven", threads=threads) for threads in (1, 2, 5)]
    np.testing.assert_array_equal(outs[0], outs[1])
    np.testing.assert_array_equal(outs[0], outs[2])
