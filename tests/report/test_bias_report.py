"""What a bias report shows: names that stay inert, numbers that do not mislead, figures that tell what they leave out."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

import fp4sim
from fp4sim.commands.bias import BiasSettings, bias_sources
from fp4sim.errors import UsageError
from fp4sim.grammar import parse, parse_list
from fp4sim.io.source import ArrayTensor, ListSource
from fp4sim.report.bias_cells import interval_text, margin_text, rounding_text, row_statement, statement, thousandths
from fp4sim.report.bias_csv import bias_csv
from fp4sim.report.bias_html import bias_table
from fp4sim.report.bias_markdown import bias_markdown
from fp4sim.report.bias_model import Range, RoundingCheck
from fp4sim.report.bias_terminal import BiasView, print_bias
from fp4sim.report.figures.concentration import MOST_PANELS
from fp4sim.report.figures.concentration import figure as concentration_figure
from fp4sim.report.figures.style import save_figure
from fp4sim.report.figures.sweep import figure as curve_figure
from fp4sim.report.json_text import strict_json
from fp4sim.stats.bias_curve import Sweep, bias_curve


def render(result, width=100, view=None, **options):
    screen = Console(width=width, file=io.StringIO(), **options)
    print_bias(screen, result, view)
    return screen.file.getvalue()


def inert(text):
    return all(char.isprintable() or char == "\n" for char in text)


@pytest.fixture(scope="module")
def nasty(hostile_names):
    """Every hostile name as a tensor that is drawn, and once more as one that is skipped."""
    rng = np.random.default_rng(0)
    tensors = [ArrayTensor(name, rng.standard_normal((4, 32)).astype(np.float32)) for name in hostile_names]
    tensors += [ArrayTensor(name, np.zeros(3, np.int32)) for name in hostile_names]
    tensors.append(ArrayTensor("$x_1$ \\frac", np.full((4, 32), 1e9, np.float32)))
    source = ListSource("=evil|source", tensors)
    specs = parse_list("nvfp4,nvfp4+sr")
    return bias_sources([(source, source.tensors())], specs, BiasSettings(draws=16))


@pytest.fixture(scope="module")
def one():
    x = np.random.default_rng(1).standard_normal((32, 128)).astype(np.float32)
    return fp4sim.bias(x, "nvfp4,nvfp4+sr,nvfp4+4over6+sr", draws=64)


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_terminal_is_inert_and_fits(nasty, width):
    text = render(nasty, width, BiasView(verbose=True), markup=True, emoji=True)
    assert inert(text)
    assert max(cell_len(line.rstrip()) for line in text.splitlines()) <= width


def test_markdown_is_inert_and_keeps_its_columns(nasty):
    text = bias_markdown(nasty)
    assert inert(text)
    rows = [re.sub(r"`[^`]*`", "", line) for line in text.splitlines() if line.startswith("|")]
    assert {row.count("|") - 1 for row in rows} == {10}
    assert len(rows) == 2 + 2 * len(nasty.tensors)
    for line in text.splitlines():
        assert not re.search(r"<(?!/?code>)", re.sub(r"`[^`]*`", "", line)), line


def test_a_name_in_a_sentence_is_inert(nasty):
    worst = replace(nasty, tensors=nasty.tensors[:2])
    assert "the largest relative bias is" in statement(worst, 0)
    for index in range(len(nasty.tensors) - 1):
        pair = replace(nasty, tensors=(nasty.tensors[index], nasty.tensors[index]))
        line = next(line for line in bias_markdown(pair).splitlines() if line.startswith("- `nvfp4`:"))
        assert not re.search(r"[<>*_\[\]@|\\]", line), line


def test_csv_is_inert(nasty):
    rows = list(csv.DictReader(io.StringIO(bias_csv(nasty))))
    assert sum(row["row"] == "tensor" for row in rows) == 2 * len(nasty.tensors)
    for row in rows:
        assert None not in row
        for column in ("tensor", "source"):
            assert not row[column].startswith(("=", "+", "-", "@", "\t", "\r"))


def test_csv_holds_every_digit(one):
    rows = list(csv.DictReader(io.StringIO(bias_csv(one))))
    for row, bias in zip(rows, one.tensors[0].results, strict=True):
        assert float(row["mse"]) == bias.mse.estimate
        assert float(row["relative_bias_high"]) == bias.relative_bias.high
        assert row["verdict"] == bias.verdict


def test_html_and_json(nasty, hostile_names):
    text = bias_table(nasty)
    assert "<script" not in text
    assert "<img" not in text
    assert inert(text)
    data = json.loads(strict_json(nasty.to_dict()))
    assert [tensor["name"] for tensor in data["tensors"]][:-1] == list(hostile_names)


def test_figure_names_are_inert_and_left_out_panels_told(nasty, tmp_path, capfd, recwarn):
    assert len(nasty.tensors) > MOST_PANELS
    strange = replace(nasty, tensors=nasty.tensors[-3:] + nasty.tensors[2:3] + nasty.tensors[15:16])
    for name, result in {"all": nasty, "strange": strange}.items():
        save_figure(concentration_figure(result), tmp_path / f"{name}.svg")
        ElementTree.fromstring((tmp_path / f"{name}.svg").read_bytes())
    figure = concentration_figure(nasty)
    assert len(figure.axes) == MOST_PANELS
    assert f"{len(nasty.tensors) - MOST_PANELS} more tensors not drawn" in " ".join(figure.get_supxlabel().split())
    assert "$x_1$" in " ".join(axes.get_title() for axes in concentration_figure(strange).axes)
    assert capfd.readouterr().err == ""
    assert not list(recwarn)


def test_figure_shows_what_was_measured(one):
    axes = concentration_figure(one).axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_xlabel() == "draws averaged, N"
    assert "‖x‖²" in axes.get_ylabel()
    drawn = [container.lines[0].get_ydata().tolist() for container in axes.containers]
    assert drawn == [[point.error for point in bias.curve] for bias in one.tensors[0].results]
    low, high = axes.get_ylim()
    assert low < min(map(min, drawn)) < max(map(max, drawn)) < high
    labels = [text.get_text() for text in concentration_figure(one).legends[0].get_texts()]
    assert labels == ["nvfp4", "nvfp4+sr", "nvfp4+4over6+sr", "1/N"]


@pytest.mark.parametrize("panels", [1, 2, 3, 4])
def test_figure_holds_its_texts(one, panels):
    figure = concentration_figure(replace(one, tensors=one.tensors * panels))
    figure.draw_without_rendering()
    whole = figure.bbox
    for text in (figure.legends[0], *(axes.title for axes in figure.axes if axes.get_visible())):
        box = text.get_window_extent()
        assert box.width > 0
        assert whole.x0 <= box.x0 < box.x1 <= whole.x1
        assert whole.y0 <= box.y0 < box.y1 <= whole.y1


def test_figures_ignore_the_reader_s_settings(one, tmp_path):
    import matplotlib

    save_figure(concentration_figure(one), tmp_path / "a.svg")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.hashsalt": "other"}):
        save_figure(concentration_figure(one), tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_save_figure_refuses_and_leaves_nothing(one, tmp_path):
    with pytest.raises(UsageError, match=r"\.png \.svg \.pdf"):
        save_figure(concentration_figure(one), tmp_path / "x.bmp")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0.000"),
        (-0.0, "0.000"),
        (0.0236, "23.600"),
        (-0.007077, "-7.077"),
        (1e-9, "1.0e-06"),
        (1.0, "1000.000"),
        (1e30, "1.00e+33"),
    ],
)
def test_thousandths(value, text):
    assert thousandths(value) == text


def test_margin_text():
    assert margin_text(None) == "–"
    assert margin_text(Range(0.25, None, None)) == "250.000"
    assert margin_text(Range(0.25, 0.25, 0.25)) == "250.000"
    assert margin_text(Range(0.25, 0.2, 0.3)) == "250.000 ± 50.000"


def test_markdown_says_how_sure_it_is(one):
    text = bias_markdown(one)
    bias = one.tensors[0].results[-1]
    half = (bias.mse.high - bias.mse.low) / 2
    assert half > 0
    assert f"| {1e3 * bias.mse.estimate:.3f} ± {1e3 * half:.3f} |" in text
    off = f"{1e3 * (1 - bias.alignment.estimate):.3f} ± {1e3 * (bias.alignment.high - bias.alignment.low) / 2:.3f}"
    assert f"| {off} |" in text
    assert "mse ↓ | variance ↓ | relative bias ↓" in text


def test_interval_text():
    assert interval_text(None) == "–"
    assert interval_text(Range(0.1, None, None)) == "–"
    assert interval_text(Range(0.1, 0.1, 0.1)) == "exact"
    assert interval_text(Range(0.1, 0.0, 0.2)) == "0.000 … 200.000"


@pytest.mark.parametrize(
    ("bits", "text"),
    [
        ((), "no number of random bits"),
        ((4,), "4 random bits"),
        ((15, 16, 32), "15 or more random bits"),
        ((3, 16, 32), "3, 16, 32 random bits"),
        ((32,), "32 random bits"),
    ],
)
def test_rounding_text(bits, text):
    assert rounding_text(RoundingCheck(4, 10, 1.0, 10, 0.5, bits)).endswith(f"; the counts fit {text}")


def test_statements(one):
    biased, fair, choice = (statement(one, i) for i in range(3))
    assert biased.endswith("; every draw is the same")
    assert fair.startswith(one.tensors[0].results[1].sentence)
    assert "no number of draws brings the error of their mean below" in choice
    bias = replace(one.tensors[0].results[2], relative_bias=Range(0.03, 0.01, 0.04))
    assert "below 0.0001 of |x|²" in row_statement(bias)  # what is sure, not the estimate of 0.0009
    two = replace(one, tensors=one.tensors * 2)
    assert statement(two, 0).startswith("of 2 tensors: biased 2; the largest relative bias is 0.09")


def test_representations(one):
    assert str(one) == bias_markdown(one)
    assert one._repr_html_() == bias_table(one)


def test_labels_tell_sources_apart(one):
    tensor = one.tensors[0]
    twins = (replace(tensor, source="a"), replace(tensor, source="b"))
    result = replace(one, tensors=twins, sources=("a", "b"))
    assert [result.label(twin) for twin in twins] == ["a: (unnamed)", "b: (unnamed)"]


def test_curve_of_nearest_is_the_rounding_error():
    curve = bias_curve(parse("nvfp4"), draws=2)
    exact = np.array(
        [fp4sim.quantize(np.r_[6, v, np.zeros(14)].astype(np.float32), "nvfp4").dequantize()[1] for v in curve.x]
    )
    np.testing.assert_array_equal(curve.bias, exact - curve.x)
    assert not curve.standard_error.any()
    assert (curve.x[0], curve.x[-1], curve.amax) == (0, 6, 6)


@pytest.mark.parametrize("spec", ["nvfp4+sr", "nvfp4/16x16+sr", "mxfp4+sr", "nvfp4@ts:row+sr"])
def test_curve_of_unbiased_estimators_is_zero(spec):
    curve = bias_curve(parse(spec), draws=400, values=np.linspace(-5.9, 5.9, 60))
    moved = curve.standard_error > 0
    assert moved.sum() > 40
    scores = curve.bias[moved] / curve.standard_error[moved]
    assert np.abs(scores).max() < 5
    assert np.abs(curve.bias).max() < 0.5


# two elements and zeros, rotated, have two magnitudes: as far from MS-EDEN's Gaussian limit as can be
@pytest.mark.parametrize("spec", ["nvfp4+4over6+sr", "nvfp4+mseden"])
def test_curve_shows_bias(spec):
    curve = bias_curve(parse(spec), draws=400)
    moved = curve.standard_error > 0
    assert np.abs(curve.bias[moved] / curve.standard_error[moved]).max() > 8


def test_curve_is_the_same_on_any_threads():
    one, two = (bias_curve(parse("nvfp4+sr"), draws=4, threads=n) for n in (1, 2))
    np.testing.assert_array_equal(one.bias, two.bias)


@pytest.mark.parametrize(
    "arguments",
    [{"draws": 1}, {"amax": 0}, {"amax": np.inf}, {"values": np.array([7.0])}, {"values": np.array([np.nan])}],
)
def test_curve_refuses(arguments):
    with pytest.raises(UsageError):
        bias_curve(parse("nvfp4"), **arguments)


def test_curve_figure():
    curves = [bias_curve(parse(spec), draws=4) for spec in ("nvfp4", "nvfp4+sr")]
    axes = curve_figure(Sweep(tuple(curves))).axes[0]
    assert axes.get_xlabel() == "x / amax of its block"
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), curves[0].bias / 6)
