"""The bound on the error of a chain: never violated, 0 where nothing is cut, and what it bounds is a shrink."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fp4sim.floats import E2M1, UE4M3
from fp4sim.kernels.reference.blocks import unpack
from fp4sim.mma import block_scaled_mma, error_bound, model_names
from tests.mma.cases import FAMILIES, KINDS, Operands, operands
from tests.mma.test_paths import fractions_of

MODELS = [name for name in model_names() if name != "dense"]


def excess(ops: Operands, kind: tuple[str, int], model: str) -> list[Fraction]:
    """|error| - bound of every output, by fractions; finite ones alone."""
    given_ = {"scale_format": kind[0], "block": kind[1], "model": model}
    d = block_scaled_mma(*ops, **given_, path="wide")  # one kernel for all models; the lanes are compiled for each
    bound = error_bound(*ops, **given_)
    exact = fractions_of(ops, kind)
    return [
        abs(Fraction(float(d[i, j])) - exact[i][j]) - Fraction(float(bound[i, j]))
        for i, j in np.ndindex(d.shape)
        if np.isfinite(d[i, j]) and np.isfinite(bound[i, j])
    ]


@given(
    seed=st.integers(0, 2**32 - 1),
    family=st.sampled_from([name for name in FAMILIES if name != "nan"]),
    kind=st.sampled_from(KINDS),
    model=st.sampled_from([name for name in MODELS if "signed" not in name and "UE4M3 sign" not in name]),
)
@settings(max_examples=150)
def test_no_model_leaves_its_bound(seed: int, family: str, kind: tuple[str, int], model: str) -> None:
    ops = operands(seed, family, kind, blocks=20)
    ops[2][(ops[2] & 0x7F800000) == 0x7F800000] = 0x7F7FFFFF
    assert all(over <= 0 for over in excess(ops, kind, model))


def drawn(seed: int, side: int, k: int, spread: int) -> Operands:
    """Products of UE4M3 blocks whose sums float64 has exactly: scales over ``spread`` binades."""
    rng = np.random.default_rng(seed)
    codes = [rng.integers(0, 256, (side, k // 2), dtype=np.uint8) for _ in range(2)]
    scales = [rng.integers(0x38 - 8 * spread, 0x38 + 8 * spread, (side, k // 16)).astype(np.uint8) for _ in range(2)]
    return codes[0], codes[1], np.zeros((side, side), np.uint32), *scales


def check_random_cases(side: int, seeds: int) -> tuple[int, float, float]:
    """Outputs, and the shrink, sum of |D| - |exact| over sum of |exact|, of ``blackwell`` and of rounding to nearest."""
    given_ = {"scale_format": "ue4m3", "block": 16}
    size, shrinks, count = 0.0, np.zeros(2), 0
    for seed in range(seeds):
        ops = drawn(seed, side, 512, 4 + seed % 4)
        exact, bound = in_float64(ops), error_bound(*ops, **given_)
        models = [block_scaled_mma(*ops, **given_, model=name).astype(np.float64) for name in ("blackwell", "fp32-rn")]
        assert (np.abs(models[0] - exact) <= bound).all()
        assert (models[0] != exact).mean() > 0.1  # or nothing is shown
        shrinks += [(np.abs(d) - np.abs(exact)).sum() for d in models]
        size, count = size + np.abs(exact).sum(), count + exact.size
    return count, shrinks[0] / size, shrinks[1] / size


def in_float64(ops: Operands) -> np.ndarray:
    a, b, _, sa, sb = ops
    table = np.array([0.0 if code == 0x7F else UE4M3.value(code) for code in range(128)])
    x, y = (E2M1.values()[unpack(codes)] * table[scale].repeat(16, 1) for codes, scale in ((a, sa), (b, sb)))
    return np.asarray(x @ y.T)  # at most 49 bits


def test_random_cases_stay_inside_and_shrink() -> None:
    count, shrink, nearest = check_random_cases(128, 4)
    assert count == 65_536
    assert shrink < -3e-8
    assert shrink < -5 * abs(nearest)


@pytest.mark.slow
def test_a_million_random_cases() -> None:
    count, shrink, nearest = check_random_cases(512, 4)
    assert count > 1_000_000
    assert shrink < -3e-8
    assert shrink < -5 * abs(nearest)


def test_a_bound_of_zero_is_a_proof_and_void_questions_are_nan() -> None:
    ops = drawn(0, 16, 128, 1)
    np.testing.assert_array_equal(error_bound(*ops, scale_format="ue4m3", block=16), np.zeros((16, 16)))
    ops[3][2, 0], ops[2][0, 1] = 0x7F, 0x7F800000
    bound = error_bound(*ops, scale_format="ue4m3", block=16)
    assert np.isnan(bound[2]).all()
    assert np.isnan(bound[0, 1])
    assert (np.delete(np.delete(bound, 2, 0), 1, 1) == 0).all()
