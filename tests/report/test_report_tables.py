"""What the tables show: numbers that do not mislead, marks, columns that fit."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

import fp4sim
from fp4sim.report.cells import METRICS, best_rows, metric_text, middle_cut, number_text, percent
from fp4sim.report.csv_table import compare_csv
from fp4sim.report.html_table import compare_table
from fp4sim.report.json_text import strict_json
from fp4sim.report.markdown import compare_markdown
from fp4sim.report.order import worst_first
from fp4sim.report.terminal import View, print_compare


def render(result, width=100, view=None, **options):
    screen = Console(width=width, file=io.StringIO(), markup=False, emoji=False, highlight=False, **options)
    print_compare(screen, result, view)
    return screen.file.getvalue()


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("snr_db", 20.4268, "20.43"),
        ("rel_mse", 0.0090639, "9.064"),
        ("cosine", 0.9954674, "0.995467"),
        ("cosine", 0.99999999321, "0.9999999932"),
        ("cosine", 1.0, "1.000000"),
        ("flushed", 1e-7, "1.0e-05"),
        ("flushed", 0.0, "0.00"),
        ("rel_mse", 6.1e-78, "6.1e-75"),
        ("rel_mse", 1e30, "1.000e+33"),
        ("mse", 1.31007e70, "1.31e+70"),
        ("mean_error", -3.33e-05, "-3.3e-05"),
        ("snr_db", None, "–"),
        ("snr_db", math.inf, "∞"),
    ],
)
def test_number_text(metric, value, text):
    assert number_text(metric, value) == text


def test_percent_tells_little_from_nothing():
    assert (percent(0.0), percent(1e-9), percent(0.5)) == ("0.00", "1.0e-07", "50.00")


@pytest.mark.parametrize("length", range(1, 12))
def test_middle_cut(length):
    assert len(middle_cut("abcdefghijk", length)) == min(length, 11)


def test_best_is_what_reads_best(plain):
    rows = plain.tensors[0].results
    assert best_rows("snr_db", rows) == {0}
    alike = [rows[0], replace(rows[0], snr_db=rows[0].snr_db + 1e-9), rows[1]]
    assert best_rows("snr_db", alike) == {0, 1}
    assert best_rows("snr_db", alike[:2]) == set()
    assert best_rows("snr_db", plain.tensors[3].results) == set()


@pytest.mark.parametrize("metric", ["snr_db", "effective_bits", "rel_mse"])
def test_no_error_at_all_is_best(exact, metric):
    assert best_rows(metric, exact.tensors[0].results) == {1}


def test_no_error_at_all_is_infinite_in_tables(exact):
    grid = replace(exact, tensors=exact.tensors[:1])
    text = render(grid)
    assert "mxfp4*        ∞ " in text
    assert "∞ no error at all" in text
    assert "undefined" not in text
    assert "| **∞** |" in compare_markdown(grid)
    assert 'title="no error at all"><b>∞</b>' in compare_table(grid)
    rows = list(csv.DictReader(io.StringIO(compare_csv(grid))))
    assert (rows[1]["format"], rows[1]["snr_db"]) == ("mxfp4", "")
    assert grid.to_dict()["tensors"][0]["results"][1]["snr_db"] is None


def test_no_error_at_all_sorts_as_best(exact):
    reversed_formats = replace(
        exact, tensors=tuple(replace(tensor, results=tensor.results[::-1]) for tensor in exact.tensors)
    )
    assert [tensor.name for tensor in worst_first(reversed_formats, "snr_db").tensors] == ["noise", "grid", "double"]


def test_an_infinite_median_is_shown(exact, plain):
    assert exact.totals[1].median["snr_db"] is None
    assert exact.median(1, "snr_db") == math.inf
    assert exact.median(0, "snr_db") == exact.totals[0].median["snr_db"]
    line = next(line for line in compare_markdown(exact, ["snr_db"]).splitlines()[::-1] if line.startswith("| median"))
    assert line == "| median |  | ∞ |"
    assert "∞" in render(exact).split("mxfp4 ")[1].splitlines()[1]
    none = replace(plain.totals[0], median={})
    assert replace(plain, totals=(none,)).median(0, "snr_db") is None


def test_notes_are_shown(exact):
    line = "float64 rounded once to float32: 1 tensor"
    assert line in render(exact).splitlines()
    assert f"- {line}" in compare_markdown(exact).splitlines()
    assert line in compare_table(exact)
    rows = csv.DictReader(io.StringIO(compare_csv(exact)))
    assert {row["tensor"] for row in rows if row["notes"] == "float64 rounded once to float32"} == {"double"}


@pytest.mark.parametrize("width", [60, 80, 100, 140])
@pytest.mark.parametrize("verbose", [False, True])
def test_terminal_fits(plain, width, verbose):
    text = render(plain, width, View(verbose=verbose))
    assert max(cell_len(line.rstrip()) for line in text.splitlines()) <= width
    for info in plain.formats:
        assert info.spec in " ".join(text.split())


def test_terminal_without_color_has_marks_and_no_escapes(plain):
    text = render(plain)
    assert "\x1b" not in text
    assert "nvfp4*" in text
    assert "median" in text
    assert "No room for" not in render(plain, 200)


def test_terminal_respects_no_color(plain, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    text = render(plain, force_terminal=True)
    assert "\x1b[32m" not in text
    assert "1;32" not in text


def test_terminal_names_stay_distinct(plain):
    text = render(plain, 80)
    assert "…" in text
    for layer in ("model.layers.0.", "model.layers.11"):
        assert layer in text


def test_terminal_columns_and_top(plain):
    text = render(plain, view=View(metrics=("mse", "snr_db"), top=1))
    assert "MSE" in text
    assert "cosine" not in text
    assert "3 more tensors are not shown" in text


def test_terminal_single_tensor_has_no_median_and_single_format_no_mark():
    one = fp4sim.compare(np.linspace(-1, 1, 64, dtype=np.float32).reshape(2, 32), "nvfp4")
    lines = render(one).splitlines()
    assert not any(line.startswith("  median") for line in lines)
    assert not any("nvfp4*" in line for line in lines)


def test_worst_first(plain):
    ordered = worst_first(plain, "snr_db").tensors
    assert ordered[-1].name == "zeros"
    values = [tensor.results[0].snr_db for tensor in ordered[:-1]]
    assert values == sorted(values)
    errors = [tensor.results[0].rel_mse for tensor in worst_first(plain, "rel_mse").tensors[:-1]]
    assert errors == sorted(errors, reverse=True)


def test_worst_first_puts_nonfinite_first():
    x = np.ones((2, 32), np.float32)
    x[0, 0] = np.nan
    result = fp4sim.compare({"fine": np.ones((2, 32), np.float32) * 0.3, "nan": x}, "mxfp4", nonfinite="propagate")
    assert worst_first(result, "mse").tensors[0].name == "nan"


def test_markdown(plain):
    text = compare_markdown(plain)
    assert "| Format | bits/elem | relMSE ×1e3 ↓ | SNR dB ↑ |" in text
    assert f"**{metric_text('snr_db', plain.totals[0].metrics)}**" in text
    assert "| `lm_head` | 64×96 | float32 | `nvfp4` |" in text
    assert str(plain) == text
    assert "MSE ↓ | mean err |" in compare_markdown(plain, ["mse", "mean_error"])


def test_csv_holds_every_digit(plain):
    rows = list(csv.DictReader(io.StringIO(compare_csv(plain))))
    assert len(rows) == (len(plain.tensors) + 1) * len(plain.formats)
    assert {row["row"] for row in rows} == {"tensor", "total"}
    for metric in METRICS:
        value = getattr(plain.tensors[0].results[0], metric)
        assert float(rows[0][metric]) == value
    assert next(row for row in rows if row["tensor"] == "zeros")["snr_db"] == ""


def test_html_says_why_a_number_is_missing(plain):
    text = compare_table(plain)
    assert 'title="x is all zero"' in text
    assert text.count("<tr>") == 1 + 3 * 5


def test_strict_json_refuses_nan():
    with pytest.raises(ValueError, match="JSON"):
        strict_json({"x": float("nan")})
