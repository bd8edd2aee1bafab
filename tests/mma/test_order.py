"""Orders of accumulation: spellings, slices, and the same bits from the definition and the compiled paths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fp4sim
from fp4sim.errors import UsageError
from fp4sim.mma import Order, block_scaled_mma, order_named
from fp4sim.mma.order import add_up
from tests.mma.cases import FAMILIES, KINDS, operands

SPELLINGS = [
    "chain",
    "split-k:2",
    "split-k:3:backward",
    "stream-k:1:3",
    "stream-k:2:c-last",
    "split-k:5:backward:c-last",
]


@pytest.mark.parametrize("text", SPELLINGS)
def test_spellings(text: str) -> None:
    assert str(order_named(text)) == text
    assert order_named(order_named(text)) is not None


@pytest.mark.parametrize(
    "text", ["", "split-k", "split-k:0", "split-k:2:3", "stream-k", "stream-k:3:2", "chain:2", "k:2", "split-k:x"]
)
def test_refusals(text: str) -> None:
    with pytest.raises(UsageError, match="order"):
        order_named(text)


def test_slices() -> None:
    assert Order(4).slices(10) == [slice(0, 3), slice(3, 6), slice(6, 9), slice(9, 10)]
    assert Order(4).slices(2) == [slice(0, 1), slice(1, 2)]
    assert Order(cuts=(3, 5)).slices(10) == [slice(0, 3), slice(3, 5), slice(5, 10)]
    assert Order(cuts=(3, 12)).slices(4) == [slice(0, 3), slice(3, 4)]


@given(
    seed=st.integers(0, 2**32 - 1),
    family=st.sampled_from(FAMILIES),
    kind=st.sampled_from(KINDS),
    order=st.sampled_from(SPELLINGS),
    model=st.sampled_from(
        ["blackwell", "fp32-rn", "probe:out_RNE", "probe:C_after:F35 dot RZ,RZ", "probe:-0 kept on underflow"]
    ),
)
@settings(max_examples=80)
def test_definition_and_compiled_agree(seed: int, family: str, kind: tuple[str, int], order: str, model: str) -> None:
    ops = operands(seed, family, kind, blocks=16)
    given_ = {"scale_format": kind[0], "block": kind[1], "model": model, "order": order}
    paths = [
        block_scaled_mma(*ops, **given_, path=path).view(np.uint32) for path in ("reference", "compiled", "proven")
    ]
    np.testing.assert_array_equal(paths[1], paths[0])
    np.testing.assert_array_equal(paths[2], paths[0])


def test_split_k_is_chains_and_float32_additions() -> None:
    a, b, c, sa, sb = operands(3, "wide", ("ue4m3", 16), m=20, n=20, blocks=64)
    kind, zero = {"scale_format": "ue4m3", "block": 16}, np.zeros_like(c)
    c = np.where((c & 0x7F800000) == 0x7F800000, 0, c).astype(np.uint32)
    parts = [
        block_scaled_mma(a[:, k : k + 256], b[:, k : k + 256], c if k == 0 else zero, sa[:, k // 8 : k // 8 + 32],
                         sb[:, k // 8 : k // 8 + 32], **kind)
        for k in (0, 256)
    ]  # fmt: skip
    split = block_scaled_mma(a, b, c, sa, sb, **kind, order="split-k:2")
    np.testing.assert_array_equal(split, parts[0] + parts[1])
    chain = block_scaled_mma(a, b, c, sa, sb, **kind)
    assert (split != chain).any()  # or the order would not be tested


def test_partial_sums_add_up_from_either_end() -> None:
    words = [np.array([x], np.float32).view(np.uint32) for x in (2.0**24, 1.0, 1.0)]
    for by_definition in (False, True):
        sums = [
            add_up(words, order, by_definition=by_definition).view(np.float32)[0]
            for order in (Order(3), Order(3, backward=True))
        ]
        assert sums == [2.0**24, 2.0**24 + 2]


@given(words=st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=2))
@settings(max_examples=500)
def test_the_definition_adds_as_ieee_does(words: list[int]) -> None:
    pair = [np.array([word], np.uint32) for word in words]
    np.testing.assert_array_equal(
        add_up(pair, Order(2), by_definition=True), add_up(pair, Order(2), by_definition=False)
    )


def test_gemm_takes_an_order() -> None:
    x = np.random.default_rng(0).standard_normal((24, 512)).astype(np.float32)
    a = fp4sim.quantize(x * np.exp2(np.arange(512) % 23).astype(np.float32), "nvfp4")
    assert (fp4sim.gemm(a, a, order="split-k:4") != fp4sim.gemm(a, a)).any()
    with pytest.raises(UsageError, match="order"):
        fp4sim.gemm(a, a, order="serpentine")
