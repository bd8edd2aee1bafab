"""The error of a product split into its parts, against the same split by hand and against exact arithmetic."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

import fp4sim
from fp4sim.commands.gemm import GemmSettings, gemm_errors
from fp4sim.commands.gemm_operand import matrix_of
from fp4sim.errors import UsageError
from fp4sim.io.source import ArrayTensor
from fp4sim.io.synthetic import open_synthetic
from fp4sim.report.gemm_cells import snr_text
from fp4sim.report.gemm_csv import gemm_csv
from fp4sim.report.gemm_markdown import gemm_markdown
from fp4sim.report.gemm_model import GemmPart
from fp4sim.stats.product_errors import BINS, ProductErrors, edges

OUTS = {"float32": np.float32, "bfloat16": ml_dtypes.bfloat16, "float16": np.float16}


def operand(name: str):
    return matrix_of(open_synthetic(f"synthetic:{name}").tensors()[0])


def given(array: np.ndarray):
    return matrix_of(ArrayTensor("x", array))


A, B = operand("outlier-channels:96x512"), operand("gaussian:80x512:seed=1")
WIDE = operand("block-lognormal:sigma=4:96x1024"), operand("block-lognormal:sigma=4:80x1024:seed=1")


def measure(a, b, spec, **settings):
    one = fp4sim.parse(spec)
    return gemm_errors(a, b, [(one, one)], GemmSettings(**settings)).formats[0]


@pytest.mark.parametrize("out", OUTS)
@pytest.mark.parametrize("spec", ["nvfp4", "mxfp4", "nvfp4/16x16", "nvfp4+4over6", "nvfp4@ts:none"])
def test_the_split_by_hand(spec, out):
    (x, _), (w, _) = A, B
    a, b = fp4sim.quantize(x, spec), fp4sim.quantize(w, spec)
    exact = x.astype(np.float64) @ w.astype(np.float64).T
    decoded = a.dequantize(np.float64) @ b.dequantize(np.float64).T
    h = fp4sim.gemm(a, b).astype(np.float64)
    y = fp4sim.gemm(a, b, out=out).astype(np.float64)
    parts = {"total": y - exact, "operands": decoded - exact, "accumulation": h - decoded, "cast": y - h}
    row = measure(A, B, spec, out=out)
    for name, error in parts.items():
        found = getattr(row, name)
        share = (error**2).sum() / (exact**2).sum()
        slack = 1e-9 * max(share, 1e-9 * row.total.rel_mse)  # the parts of 1e-15 hang on float64's own roundings
        assert found.rel_mse == pytest.approx(share, rel=1e-6, abs=slack)
        if found.rel_mse:
            assert found.snr_db == pytest.approx(-10 * math.log10(found.rel_mse))
            assert found.rel_error == pytest.approx(math.sqrt(found.rel_mse))
        else:
            assert found.snr_db is None
        if name in ("total", "operands"):
            assert found.max_error_at == np.unravel_index(np.abs(error).argmax(), error.shape)
    rows = np.sqrt((parts["total"] ** 2).sum(axis=1) / (exact**2).sum(axis=1))
    np.testing.assert_allclose(row.rows.total, rows, rtol=1e-5)
    cols = np.sqrt((parts["operands"] ** 2).sum(axis=0) / (exact**2).sum(axis=0))
    np.testing.assert_allclose(row.cols.operands, cols, rtol=1e-5)


@pytest.mark.parametrize(
    "spec", ["nvfp4", "mxfp4", "nvfp4+rht", "nvfp4+mseden", "nvfp4+sr", "mxfp4+quest", "nvfp4@ts:row"]
)
@pytest.mark.parametrize("data", [(A, B), WIDE], ids=["ordinary", "wide"])
def test_the_parts_sum_to_the_total(data, spec):
    row = measure(*data, spec)
    parts = sum(part.rel_mse for part in (row.operands, row.accumulation, row.cast))
    assert parts + sum(row.cross.values()) == pytest.approx(row.total.rel_mse, rel=1e-12)
    assert set(row.cross) == {"operands · accumulation", "operands · cast", "accumulation · cast"}


@pytest.mark.parametrize("spec", ["nvfp4", "mxfp4", "nvfp4+rht"])
def test_ordinary_data_accumulate_exactly(spec):
    row = measure(operand("gaussian:64x1024"), operand("gaussian:64x1024:seed=1"), spec)
    assert (row.steps.exact, row.steps.unproven, row.steps.shrink, row.steps.rel_error) == (64 * 64, 0, 0.0, 0.0)
    assert "the accumulation adds nothing" in row.sentence
    assert row.accumulation.rel_error < 2e-7  # roundings of the epilogue
    if spec == "mxfp4":  # which has no factor
        assert row.accumulation.rel_mse == 0


def test_an_order_of_steps_changes_the_accumulation_alone():
    chain, split = (measure(*WIDE, "mxfp4", order=order) for order in ("chain", "split-k:4"))
    assert chain.operands == split.operands
    assert chain.accumulation != split.accumulation


def test_wide_data_lose_bits_toward_zero():
    row = measure(*WIDE, "mxfp4")
    assert row.steps.exact < 0.1 * row.steps.total
    assert 0 < row.steps.shrink < 1e-5
    assert "smaller" in row.sentence
    exact = measure(*WIDE, "mxfp4", model="exact")
    assert exact.accumulation.rel_mse < row.accumulation.rel_mse
    assert abs(exact.steps.shrink) < row.steps.shrink


def test_exact_sums_are_counted_exactly():
    """Against sums of Fractions: an output counts as exact if and only if it is, unless its float64 sum is unproven."""
    (x, _), (w, _) = (given(one[0][:8, :256]) for one in WIDE)
    a, b = fp4sim.quantize(x, "mxfp4"), fp4sim.quantize(w, "mxfp4")
    words = fp4sim.gemm(a, b)
    da, db = (one.dequantize(np.float64) for one in (a, b))
    exact = 0
    for i, j in np.ndindex(words.shape):
        total = sum((Fraction(p) * Fraction(q) for p, q in zip(da[i], db[j], strict=True)), Fraction(0))
        exact += total == Fraction(float(words[i, j]))
    steps = measure(given(x), given(w), "mxfp4").steps
    assert 0 < exact < words.size
    assert steps.exact <= exact <= steps.exact + steps.unproven


def test_a_rotation_is_the_same_for_both_operands():
    row = measure(A, B, "nvfp4+rht", seed=7)
    assert row.domain == "rotated"
    (x, _), (w, _) = A, B
    a, b = fp4sim.quantize(x, "nvfp4+rht", seed=7, name="a"), fp4sim.quantize(w, "nvfp4+rht", seed=7, name="b")
    decoded = a.dequantize(np.float64) @ b.dequantize(np.float64).T  # in the input's domain: the same product
    exact = x.astype(np.float64) @ w.astype(np.float64).T
    share = ((decoded - exact) ** 2).sum() / (exact**2).sum()
    assert row.operands.rel_mse == pytest.approx(share, rel=1e-6)  # a rotation in float32 is orthogonal to 1e-8


def test_operands_of_two_formats():
    both = [fp4sim.parse(spec) for spec in ("nvfp4/16x16", "nvfp4")]
    row = gemm_errors(A, B, [(both[0], both[1])]).formats[0]
    assert row.short == "nvfp4/16x16 × nvfp4"
    assert row.accumulation is not None
    mixed = gemm_errors(A, B, [(fp4sim.parse("nvfp4"), fp4sim.parse("mxfp4"))]).formats[0]
    assert "one instruction takes one scale format" in mixed.reason


@pytest.mark.parametrize("spec", ["e1m2/16@e4m3", "nvfp4+occ:0.99", "mxplus", "if4", "e3m0/32@e8m0@floor"])
def test_formats_that_no_instruction_takes(spec):
    row = measure(A, B, spec)
    assert (row.accumulation, row.cast, row.steps, row.cross) == (None, None, None, {})
    assert row.reason
    assert row.total == row.operands
    (x, _), (w, _) = A, B
    decoded = [fp4sim.quantize(one, spec).dequantize(np.float64) for one in (x, w)]
    exact = x.astype(np.float64) @ w.astype(np.float64).T
    share = ((decoded[0] @ decoded[1].T - exact) ** 2).sum() / (exact**2).sum()
    assert row.operands.rel_mse == pytest.approx(share, rel=1e-9)


def test_overflow_and_zeros_have_no_figures():
    loud = given(A[0] * np.float32(1e4))
    row = measure(loud, B, "nvfp4", out="float16")
    assert row.overflows > 0
    assert (row.total.rel_mse, row.cast.snr_db) == (None, None)
    assert "overflow float16" in row.undefined["total"]
    assert row.operands.rel_mse is not None
    zero = measure(given(np.zeros((8, 64), np.float32)), given(B[0][:, :64].copy()), "nvfp4")
    assert zero.undefined == {"rel_mse": "the exact product is zero"}
    assert zero.rows.total == (None,) * 8
    both = [fp4sim.parse("nvfp4")] * 2
    for result in (gemm_errors(loud, B, [tuple(both)], GemmSettings(out="float16")),):
        json.dumps(result.to_dict(), allow_nan=False)
        assert "overflow" in gemm_markdown(result)


def test_one_output_that_overflows_takes_its_row_and_column_alone():
    left, right = (np.ones((40, 64), np.float32) for _ in range(2))
    left[7], right[3] = 1000, 1000
    row = measure(given(left), given(right), "nvfp4@ts:row", out="float16")
    assert row.overflows == 1
    assert [i for i, value in enumerate(row.rows.total) if value is None] == [7]
    assert [i for i, value in enumerate(row.cols.cast) if value is None] == [3]
    assert sum(value is None for line in row.heat.cast for value in line) == 1
    assert row.total.rel_mse is None
    assert not any("cast" in name for name in row.cross)


def test_a_product_beyond_float32_has_no_accumulation():
    loud = given((A[0] * 1e36).astype(np.float32))
    result = gemm_errors(loud, loud, [(fp4sim.parse("nvfp4"),) * 2])
    json.dumps(result.to_dict(), allow_nan=False)
    row = result.formats[0]
    assert row.accumulation.rel_mse is None
    assert "overflow float32" in row.undefined["accumulation"]
    assert row.operands.rel_mse is not None


def test_refusals():
    nvfp4 = fp4sim.parse("nvfp4")
    with pytest.raises(UsageError, match="K differs"):
        gemm_errors(A, given(B[0][:, :256].copy()), [(nvfp4, nvfp4)])
    rotated = fp4sim.parse("nvfp4+rht")
    with pytest.raises(UsageError, match="rotates groups of 128"):
        gemm_errors(given(A[0][:, :100].copy()), given(B[0][:, :100].copy()), [(rotated, rotated)])
    for settings in ({"model": "x"}, {"order": "x"}, {"out": "int8"}, {"threads": 0}):
        with pytest.raises(UsageError):
            GemmSettings(**settings)
    with pytest.raises(UsageError, match="no formats"):
        gemm_errors(A, B, [])


def test_the_records_do_not_hang_on_threads_and_are_strict_json():
    pair = (fp4sim.parse("nvfp4"), fp4sim.parse("nvfp4"))
    one, two = (gemm_errors(A, B, [pair], GemmSettings(threads=threads)).to_dict() for threads in (1, 2))
    assert one == two
    assert json.loads(json.dumps(one, allow_nan=False))["schema"] == "fp4sim.gemm/1"


def test_csv_has_a_row_for_each_row_and_column():
    pair = (fp4sim.parse("nvfp4"), fp4sim.parse("nvfp4"))
    lines = gemm_csv(gemm_errors(A, B, [pair])).splitlines()
    assert len(lines) == 1 + 4 + 3 + 96 + 80


def test_bins_hold_every_output():
    rng = np.random.default_rng(0)
    exact, error = rng.standard_normal((2, 75, 41))
    sums = ProductErrors((75, 41), ("operands",))
    for start in range(0, 75, 20):
        sums.add(start, exact[start : start + 20], {"operands": error[start : start + 20]})
    rows, cols = sums.row_edges, sums.col_edges
    assert (rows.size, cols.size) == (BINS + 1, BINS + 1)
    found = sums.bins("operands")
    for i, j in np.ndindex(found.shape):
        part = error[rows[i] : rows[i + 1], cols[j] : cols[j + 1]]
        assert found[i, j] == pytest.approx((part**2).mean())
    assert sums.square("exact") == pytest.approx((exact**2).sum())
    assert edges(3).tolist() == [0, 1, 2, 3]
    assert sums.worst["operands"][1] == np.unravel_index(np.abs(error).argmax(), error.shape)


def test_an_snr_of_zero_has_no_sign():
    for snr in (0.0, -0.0, -0.001):
        assert snr_text(GemmPart(1.0, 1.0, snr, 1.0, (0, 0))) == "0.00"
    assert snr_text(GemmPart(2.0, 2.0**0.5, -3.0103, 1.0, (0, 0))) == "-3.01"
