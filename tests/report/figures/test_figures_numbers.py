"""Figures show the numbers of their results: bars, lines and maps are held to what was measured."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from fp4sim.grammar import parse
from fp4sim.report.figures import (
    fours,
    gemm_parts,
    heat,
    mismatch,
    occupancy,
    pareto,
    ratios,
    scale_bytes,
    scale_error,
    snr,
    sr_bias,
)
from fp4sim.report.figures.labels import Position, distinct_labels, position_of
from fp4sim.report.figures.registry import kind_named
from fp4sim.report.figures.style import add_caption, add_note, new_figure
from fp4sim.transforms import rotation_size


def test_occupancy_bars_are_shares_in_order_of_value(compared):
    result = compared["one"]
    axes = occupancy.figure(result).axes[0]
    counts = result.totals[0].metrics.occupancy
    order = [15, 14, 13, 12, 11, 10, 9, 8, 0, 1, 2, 3, 4, 5, 6, 7]
    assert [bar.get_height() for bar in axes.patches] == [100 * counts[code] / sum(counts) for code in order]
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["−6", "−4", "−3", "−2", "−1.5", "−1", "−0.5", "−0", "0", "0.5", "1", "1.5", "2", "3", "4", "6"]


def test_occupancy_names_codes_by_number_where_they_have_no_one_value():
    assert occupancy.code_labels("nvfp4+if4", 16) == list("0123456789abcdef")
    assert occupancy.code_labels("a spec of a later version", 16) == list("0123456789abcdef")
    assert occupancy.code_labels("e3m0/16@e4m3", 16)[:8] == ["0", "0.25", "0.5", "1", "2", "4", "8", "16"]


def test_scale_bytes_are_the_histogram(compared):
    result = compared["one"]
    for axes, total in zip(scale_bytes.figure(result).axes, result.totals, strict=True):
        values, edges, _ = axes.patches[-1].get_data()
        counts = {int(code): count for code, count in total.metrics.scale_histogram.items()}
        assert dict(zip((edges[:-1] + 0.5).tolist(), values.tolist(), strict=True)) == {
            code: 100 * counts.get(code, 0) / total.metrics.blocks for code in range(min(counts), max(counts) + 1)
        }


def test_zones_of_scale_encodings():
    assert scale_bytes.zones(scale_bytes.scale_of("nvfp4")) == [
        ("zero", 0, 0),
        ("subnormal", 1, 7),
        ("saturated", 126, 126),
    ]
    assert scale_bytes.zones(scale_bytes.scale_of("mxfp4")) == [("saturated", 254, 254)]
    assert scale_bytes.scale_of("later") is None


def test_snr_lines_are_the_tensors(compared):
    result = replace(
        compared["one"],
        tensors=tuple(
            replace(
                compared["one"].tensors[0],
                name=f"model.layers.{i}.{kind}.weight",
                results=tuple(
                    replace(row, snr_db=10.0 * i + k + (0.5 if kind == "mlp.up" else 0))
                    for k, row in enumerate(compared["one"].tensors[0].results)
                ),
            )
            for i in (2, 0, 1)
            for kind in ("mlp.up", "q_proj")
        ),
    )
    up, q = snr.figure(result).axes
    assert (up.get_title(), q.get_title()) == ("mlp.up", "q_proj")
    assert [line.get_ydata().tolist() for line in q.lines] == [[0.0, 10.0, 20.0], [1.0, 11.0, 21.0]]
    assert [line.get_ydata().tolist() for line in up.lines] == [[0.5, 10.5, 20.5], [1.5, 11.5, 21.5]]


def test_snr_of_experts_is_the_median_in_a_band(compared):
    tensor = compared["one"].tensors[0]
    found = [
        replace(
            tensor,
            name=f"layers.{layer}.experts.{expert}.up.weight",
            results=tuple(replace(row, snr_db=float(layer + expert**2)) for row in tensor.results),
        )
        for layer in (0, 1)
        for expert in (0, 1, 2)
    ]
    axes = snr.figure(replace(compared["one"], tensors=tuple(found))).axes[0]
    assert axes.get_title() == "experts.up"
    assert axes.lines[0].get_ydata().tolist() == [1.0, 2.0]
    low, high = (
        axes.collections[0].get_paths()[0].vertices[:, 1].min(),
        axes.collections[0].get_paths()[0].vertices[:, 1].max(),
    )
    assert (low, high) == (0.0, 5.0)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("model.layers.3.self_attn.q_proj.weight", Position("self_attn.q_proj", 3)),
        ("model.layers.3.mlp.experts.17.up_proj.weight", Position("mlp.experts.up_proj", 3)),
        ("blk.0.attn_q.weight", Position("attn_q", 0)),
        ("encoder.layer.11.attention.output.dense.weight", Position("attention.output.dense", 11)),
        ("h/4/mlp/kernel", Position("mlp", 4)),
        ("lm_head.weight", Position("lm_head", None)),
        ("embeddings.word.weight", Position("embeddings.word", None)),
        ("weight", Position("weight", None)),
        ("", Position("", None)),
        ("layers.5", Position("layers", 5)),
        ("a.99999999999999999999.b", Position("99999999999999999999.b", None)),
    ],
)
def test_module_types(name, place):
    assert position_of(name) == place


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["m.layers.0.q.weight", "m.layers.1.q.weight"], ["layers.0", "layers.1"]),
        (["m.0.q.weight", "m.0.k.weight", "m.1.mlp.up.weight"], ["0.q", "0.k", "1.mlp.up"]),
        (["a.b", "a.b"], ["b", "b"]),
        (["a", "a.b"], ["a", "a.b"]),
        (["m.layers.0.q.weight"], ["m.layers.0.q.weight"]),
        (["", ""], ["(unnamed)", "(unnamed)"]),
        ([], []),
    ],
)
def test_ticks_leave_out_what_all_names_share(names, labels):
    assert distinct_labels(names, 40) == labels


def test_pareto_shows_totals_and_their_frontier(compared):
    result = compared["one"]
    axes = pareto.figure(result).axes[0]
    points = [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines[1:]]
    assert points == [
        (info.bits_per_element, total.metrics.rel_mse)
        for info, total in zip(result.formats, result.totals, strict=True)
    ]
    assert pareto.frontier([(4, 3.0), (4, 2.0), (5, 2.0), (5, 2.5), (6, 1.0), (4.5, 9.0)]) == [(4, 2.0), (6, 1.0)]


def test_heat_map_colours_are_the_errors(blocked):
    found = blocked["one"].tensors[0].results[0].map
    left, right = (axes.images[0] for axes in heat.figure(blocked["one"]).axes[:2])
    np.testing.assert_allclose(left.get_array(), -10 * np.log10(found.relative), rtol=1e-14)
    np.testing.assert_allclose(right.get_array(), 10 * np.log10(found.energy), rtol=1e-14, atol=1e-14)
    assert left.get_extent() == right.get_extent() == [0, 6, 32, 0]


def test_ratios_are_shares_of_the_elements(blocked):
    counts = blocked["one"].tensors[0].results[0].ratios
    values, edges, _ = ratios.figure(blocked["one"]).axes[0].patches[0].get_data()
    assert values.tolist() == [100 * sum(counts[i : i + 4]) / sum(counts) for i in range(0, 240, 4)]
    assert edges[-1] == 1
    assert sum(counts) == 32 * 96
    middle, low, high = ratios.grid_of("nvfp4", (3.0, 6.0, 8.0))[-1]
    assert (middle, low, high) == (1.0, 0.75, 2.0)


def test_scale_error_lines_are_octaves(blocked):
    scales = blocked["one"].tensors[0].results[0].scales
    rows = scale_error.octaves(scales)
    above, below = scale_error.figure(blocked["one"]).axes
    assert above.lines[0].get_ydata().tolist() == [row.error for row in rows]
    assert below.lines[0].get_ydata().tolist() == [100 * row.blocks / 192 for row in rows]
    assert sum(row.blocks for row in rows) == 192
    for row in rows:
        inside = [one for one in scales if math.floor(math.log2(one.scale)) == math.floor(row.place)]
        assert row.error == sum(one.e2 for one in inside) / sum(one.x2 for one in inside)


def test_fours_are_shares_of_the_blocks(blocked):
    result = blocked["nasty"]
    chosen = [i for i, info in enumerate(result.formats) if "4over6" in info.short]
    lines = fours.figure(result).axes[0].lines
    for line, i in zip(lines, chosen, strict=True):
        found = result.tensors[0].results[i]
        assert line.get_xdata()[0] == 100 * found.fours / found.blocks


def test_sr_bias_curves_are_the_result(rounded):
    left, right = sr_bias.figure(rounded["many"]).axes
    for line, curve in zip(left.lines, rounded["many"].curves, strict=False):
        assert list(line.get_ydata()) == [100 * value for value in curve.gap]
    assert list(right.lines[4].get_xdata()) == list(rounded["many"].curves[2].places)


def test_mismatch_shows_map_steps_and_ties(verified):
    case = verified["one"].cases[0]
    top, bottom = mismatch.figure(verified["one"]).subfigs
    image = np.asarray(top.axes[0].images[0].get_array())
    sizes = [[case.code_map.share(row, col) for col in range(32)] for row in range(24)]
    assert not np.any(image == 0)  # blank where all is right
    np.testing.assert_array_equal(np.nan_to_num(image) * sizes / 100, case.code_map.cells)
    assert np.nanmax(image) == 50  # row 3 is one of two in its bin
    left, right = bottom.axes
    assert [bar.get_height() for bar in left.patches] == [1]
    assert [bar.get_height() for bar in right.patches] == [*case.tie_distances[1:], case.tie_distances[0]]


def test_mismatch_draws_the_case_asked_for(verified):
    result = verified["nasty"]
    assert "$x_1^2$" in mismatch.figure(result, case="$x_1^2$ \\frac{a}{b}").subfigs[0].axes[0].get_title()
    with pytest.raises(ValueError, match="no case 'x'; there are <script>"):
        mismatch.figure(result, case="x")


def test_gemm_marks_and_maps_are_the_parts(multiplied):
    row = multiplied["one"].formats[0]
    axes = gemm_parts.figure(multiplied["one"]).axes
    assert [line.get_xdata().tolist() for line in axes[0].lines] == [
        [part.rel_mse] if part.rel_mse else [] for part in (row.total, row.operands, row.accumulation, row.cast)
    ]
    np.testing.assert_allclose(axes[1].images[0].get_array(), 10 * np.log10(row.heat.operands), rtol=1e-12)
    assert axes[1].images[0].get_extent() == [0, 24, 40, 0]


def test_captions_and_notes_make_room_for_themselves():
    figure = new_figure(4.8, 3.0)
    add_note(figure, "One more tensor not drawn.")
    after_note = figure.get_size_inches()[1]
    add_caption(figure, "What to look for. " * 12)
    text = " ".join(figure.get_supxlabel().split())
    assert text.startswith("What to look for.")
    assert text.endswith("One more tensor not drawn.")
    lines = figure.get_supxlabel().count("\n") + 1
    assert after_note == pytest.approx(3.155)
    assert figure.get_size_inches()[1] == pytest.approx(3.0 + 0.155 * lines)


def test_the_sweep_draws_no_rotated_format_unasked():
    """Two elements are too few for a rotation to mix: an estimator that is unbiased on dense data would look biased."""
    assert not any(rotation_size(parse(name)) for name in kind_named("sweep").formats.split(","))
