"""The enclosure of every order of accumulation, against all orders and trees enumerated under the definition of a model."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fp4sim
from fp4sim.errors import UsageError
from fp4sim.kernels.reference import mma as reference
from fp4sim.mma import block_scaled_mma, error_bound, model_named
from fp4sim.mma.enclosure import enclose
from fp4sim.mma.instances import PROBE_MODELS
from fp4sim.mma.operands import block_scaled
from tests.mma.cases import FAMILIES, KINDS, Operands, operands

STEP = 64
MORE_FAMILIES = ("cancelling steps", "cancelling groups")


def sums(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bits of all float32 sums of two sets of bits, to nearest even and toward zero."""
    with np.errstate(all="ignore"):
        left, right = x.view(np.float32)[:, None], y.view(np.float32)[None, :]
        near = left + right
        part = near - left
        error = (left - (near - part)) + (right - part)  # a nearest sum and its error are exact together
        cut = np.where(near * error < 0, np.nextafter(near, np.float32(0)), near)
    return np.concatenate([near, cut], axis=None).view(np.uint32)


def all_results(ops: Operands, kind: tuple[str, int], model_name: str, *, with_c: bool) -> np.ndarray:
    """Bits of every evaluation of the output (0, 0): every tree of steps onto accumulators and of float32 sums."""
    model, (a, b, c, sa, sb) = model_named(model_name), ops
    left, right = (block_scaled(p[None], s[None], kind[0], kind[1], model) for p, s in ((a, sa), (b, sb)))
    steps = reference._terms(left, (0, 0), right, (0, 0), model)

    def onto(step: int, accumulators: np.ndarray) -> np.ndarray:
        return np.array([reference._chain([steps[step]], int(bits), model) for bits in accumulators], np.uint32)

    @cache
    def results(leaves: frozenset[int]) -> np.ndarray:
        """-1 is C."""
        if leaves == {-1}:
            return c[0, :1]
        found = [onto(next(iter(leaves)), np.zeros(1, np.uint32))] if len(leaves) == 1 else []
        found += [onto(step, results(leaves - {step})) for step in leaves - {-1} if leaves != {step}]
        for size in range(1, len(leaves) // 2 + 1):
            for part in combinations(sorted(leaves), size):
                found.append(sums(results(frozenset(part)), results(leaves - frozenset(part))))
        return np.unique(np.concatenate(found))

    return results(frozenset(range(-1 if with_c else 0, len(steps))))


def row(ops: Operands) -> Operands:
    a, b, c, sa, sb = ops
    return a[:1], b[:1], c[:1, :1], sa[:1], sb[:1]


def check(ops: Operands, kind: tuple[str, int], model: str, *, with_c: bool) -> float | None:
    """Hold all results against the bounds; how many times as wide as the results the enclosure is (None: a single value)."""
    a, b, c, sa, sb = ops
    found = enclose(
        a, b, sa, sb, scale_format=kind[0], block=kind[1], c=c.view(np.float32) if with_c else None, model=model
    )
    values = all_results(ops, kind, model, with_c=with_c).view(np.float32)
    low, high = found.low[0, 0], found.high[0, 0]
    if found.nan[0, 0]:
        return None
    if found.free[0, 0]:
        assert (low, high) == (-np.inf, np.inf)
        return None
    assert not np.isnan(values).any()
    assert low <= values.min(), (low, values.min())
    assert values.max() <= high, (high, values.max())
    if low == high or values.min() == values.max():
        return None
    return float((np.float64(high) - low) / (np.float64(values.max()) - values.min()))


MODELS = ["blackwell", "fp32-rn", "mma-sim-2026-01", "ue5m3-report", *list(PROBE_MODELS)[1:]]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@settings(max_examples=150)
@given(seed=st.integers(0, 1 << 32), family=st.sampled_from([*FAMILIES, *MORE_FAMILIES]), with_c=st.booleans())
def test_no_order_leaves_the_enclosure(kind: tuple[str, int], seed: int, family: str, with_c: bool) -> None:
    check(_operands(seed, family, kind), kind, "blackwell", with_c=with_c)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("seed", range(8))
def test_no_order_under_any_model_does(model: str, seed: int) -> None:
    for family in ("any", "wide", *MORE_FAMILIES, "tiny", "subnormal"):
        kind = KINDS[seed % 3]
        if model == "fp32-rn":  # steps of a block: three of them in all
            ops = row(operands(seed, family if family in FAMILIES else "wide", kind, 1, 1, 2))
        else:
            ops = _operands(seed, family, kind, steps=2)
        check(ops, kind, model, with_c=bool(seed & 1))


def _operands(seed: int, family: str, kind: tuple[str, int], steps: int = 3) -> Operands:
    rng = np.random.default_rng(seed)
    blocks = steps * STEP // kind[1]
    ops = operands(seed, family if family in FAMILIES else "ordinary", kind, 1, 1, blocks)
    ops = tuple(np.array(part) for part in ops)  # type: ignore[assignment]
    if family == "cancelling steps":  # each step undoes the one before it, up to an element
        half = STEP // 2
        ops[0][0, half : 2 * half], ops[1][0, half : 2 * half] = ops[0][0, :half] ^ 0x88, ops[1][0, :half]
        ops[0][0, half] ^= rng.integers(0, 16)
        each = STEP // kind[1]
        for scale in ops[3:]:
            scale[0] = (scale[0].astype(int) + rng.integers(0, 3)).clip(1, 0x7E)
            scale[0, each : 2 * each] = scale[0, :each]
        ops[2][0, 0] = rng.choice([0x4B800000, 0xCB800001, 0x3F800001, 0x7F000000, 0x00000001])
    if family == "cancelling groups":  # the first group of each step anchors high and sums to zero: the others are cut
        each = STEP // kind[1]
        for start in range(0, steps * STEP // 2, STEP // 2):
            ops[0][0, start : start + 8] = 0x22
            ops[0][0, start + 4 : start + 8] ^= 0x88
            ops[1][0, start : start + 8] = 0x22
        for scale in ops[3:]:
            low, high = (1, 16) if kind[0] == "ue4m3" else (117, 124)
            scale[0] = rng.integers(low, high, scale.shape[1])
            scale[0, ::each] = 0x7E if kind[0] == "ue4m3" else 137
        ops[2][0, 0] = rng.choice([0, 0x38800001, 0xB9000003])
    return ops


def test_how_tight_it_is() -> None:
    """Where orders differ the enclosure is a small multiple of what they span; a looser one would be of little use."""
    ratios = []
    for seed in range(60):
        for family in ("any", "wide", *MORE_FAMILIES, "ordinary"):
            ratio = check(_operands(seed, family, KINDS[seed % 3]), KINDS[seed % 3], "blackwell", with_c=bool(seed & 1))
            ratios += [] if ratio is None else [ratio]
    assert len(ratios) > 40
    assert np.median(ratios) < 8, np.median(ratios)


def test_exact_products_have_one_value() -> None:
    rng = np.random.default_rng(0)
    a, b = (fp4sim.quantize(rng.standard_normal((40, 512)).astype(np.float32), "nvfp4") for _ in range(2))
    found = enclose(a.packed, b.packed, a.block_scale, b.block_scale, scale_format="ue4m3", block=16)
    zero = np.zeros((40, 40), np.float32)
    d = block_scaled_mma(a.packed, b.packed, zero, a.block_scale, b.block_scale, scale_format="ue4m3", block=16)
    np.testing.assert_array_equal(found.low, d)
    np.testing.assert_array_equal(found.high, d)
    assert not (found.nan | found.free).any()


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_more_than_a_tile_and_any_number_of_threads(kind: tuple[str, int]) -> None:
    a, b, c, sa, sb = operands(5, "wide", kind, 150, 260, 16)
    given_ = {"scale_format": kind[0], "block": kind[1]}
    one, two = (enclose(a, b, sa, sb, **given_, threads=threads) for threads in (1, 2))
    d = block_scaled_mma(a, b, np.zeros(c.shape, np.float32), sa, sb, **given_)
    for part in ("low", "high", "nan", "free"):
        np.testing.assert_array_equal(getattr(one, part), getattr(two, part))
    inside = one.nan | one.free | ((one.low <= d) & (d <= one.high))
    assert inside.all()
    assert (one.low < one.high).any()


def test_refusals() -> None:
    a, b, c, sa, sb = operands(0, "ordinary", KINDS[0])
    with pytest.raises(UsageError, match="no instruction"):
        enclose(a, b, sa, sb, scale_format="ue4m3", block=32)
    with pytest.raises(UsageError, match="K differs"):
        enclose(a, b[:, :-32], sa, sb[:, :-4], scale_format="ue4m3", block=16)
    with pytest.raises(UsageError, match="c has shape"):
        enclose(a, b, sa, sb, c=c[:1], scale_format="ue4m3", block=16)
    with pytest.raises(UsageError, match="a_scale has shape"):
        enclose(a, b, sa[:, :-1], sb, scale_format="ue4m3", block=16)
    with pytest.raises(UsageError, match="raw bytes"):
        enclose(a.astype(np.float32), b, sa, sb, scale_format="ue4m3", block=16)
    with pytest.raises(UsageError, match="two axes"):
        enclose(a[None], b, sa, sb, scale_format="ue4m3", block=16)


def test_a_step_may_flush_two_numbers() -> None:
    model = replace(model_named("blackwell"), name="flushing", flush_result=True, subnormal_c="flushed")
    a, b = np.zeros((1, 32), np.uint8), np.zeros((1, 32), np.uint8)
    a[0, 0], b[0, 0] = 0x3, 0x2  # 1.5 and 1
    scales = np.full((1, 2), 64, np.uint8), np.full((1, 2), 63, np.uint8)
    c = np.full((1, 1), 0.75 * 2.0**-126, np.float32)
    kind = {"scale_format": "ue8m0", "block": 32, "model": model}
    assert block_scaled_mma(a, b, c, *scales, **kind) == 0  # and 1.5 * 2^-126 is the sum
    assert enclose(a, b, *scales, c=c, **kind).low <= 0
    assert error_bound(a, b, c, *scales, **kind) >= 1.5 * 2.0**-126


def test_no_rows() -> None:
    a, b, _, sa, sb = operands(0, "ordinary", KINDS[0])
    assert enclose(a[:0], b, sa[:0], sb, scale_format="ue4m3", block=16).low.shape == (0, len(b))


def test_what_underflows_is_a_positive_zero() -> None:
    a = np.zeros((1, 32), np.uint8)
    a[0, 0] = 0x9  # -0.5
    scales = np.full((1, 2), 26, np.uint8)
    kind = {"scale_format": "ue8m0", "block": 32}
    found = enclose(a, a & 0x77, scales, scales, **kind)
    d = block_scaled_mma(a, a & 0x77, np.zeros((1, 1), np.float32), scales, scales, **kind)
    assert (found.low <= d).all()
    assert (d <= found.high).all()
    assert found.low.view(np.uint32) == 0
