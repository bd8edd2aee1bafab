"""Every kind of figure in every state of its results: drawn, named, inert, small and the same each time."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from xml.etree import ElementTree

import pytest

from fp4sim.report.figures.registry import KINDS, kind_named, kinds_for, result_kind, svg
from fp4sim.report.figures.style import add_caption, quiet_glyphs, save_figure

STATES = {
    "compare": ("empty", "one", "nasty", "exact", "nan", "thousand", "unlayered"),
    "blocks": ("empty", "one", "nasty", "zeros", "nan", "tiny", "thousand"),
    "bias": ("empty", "one", "nasty", "zeros", "thousand"),
    "layer": ("one",),
    "rounding": ("empty", "one", "many"),
    "sweep": ("empty", "one", "many"),
    "gemm": ("empty", "one", "many", "zeros", "tiny"),
    "verify": ("empty", "one", "right", "values", "nasty", "thousand"),
}
CASES = [
    pytest.param(kind.name, accepted, state, id=f"{kind.name}-{accepted}-{state}")
    for kind in KINDS.values()
    for accepted in kind.accepts
    for state in STATES[accepted]
]
# What must be read at the axes of a figure that shows something: quantity and unit.
AXES = {
    "snr": ({"tensor", "layer"}, {"SNR, dB"}),
    "pareto": ({"bits per weight"}, {"relative squared error, Σe²/Σx²"}),
    "occupancy": ({"value / block scale"}, {"elements, %"}),
    "scale-bytes": ({"scale byte"}, {"blocks, %"}),
    "scale-error": ({"log2 of the block scale"}, {"Σe²/Σx² of blocks", "blocks, %"}),
    "heat": ({"block along the row", "SNR, dB", "error, dB above the mean"}, {"nvfp4\nrow"}),
    "ratios": ({"|x| / amax of the block"}, {"elements, %"}),
    "fours": ({"blocks on 4, %"}, set()),
    "concentration": ({"draws averaged, N"}, {"‖mean − x‖² / ‖x‖²"}),
    "sweep": ({"x / amax of its block"}, {"(E x̂ − x) / amax"}),
    "sr-bias": ({"position between two codes", "scaled element"}, {"bias, % of the gap"}),
    "gemm": ({"relative squared error, Σe²/Σx²", "row of B", "error, dB"}, {"nvfp4\nrow of A"}),
    "mismatch": (
        {"element along the quantized axis", "steps off", "distance from a tie, gaps"},
        {"row", "blocks", "elements", "wrong codes, %"},
    ),
}


@pytest.mark.parametrize(("name", "accepted", "state"), CASES)
def test_every_figure_in_every_state(name, accepted, state, results, tmp_path, recwarn):
    result = results[accepted][state]
    started = time.perf_counter()
    figure = KINDS[name].build(result)
    drawn = svg(figure, name, KINDS[name].title)
    assert time.perf_counter() - started < 20
    assert len(drawn) < 300_000
    root = ElementTree.fromstring(drawn)
    assert {element.tag.split("}")[-1] for element in root.iter()} <= {
        *("svg", "g", "path", "text", "tspan", "use", "defs", "clipPath", "rect", "image", "linearGradient", "stop"),
    }
    add_caption(figure, KINDS[name].caption)
    save_figure(figure, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size < 400_000
    assert not list(recwarn)


@pytest.mark.parametrize("name", KINDS)
def test_axes_have_names_and_units(name, results):
    accepted = KINDS[name].accepts[0]
    axes = _axes(KINDS[name].build(results[accepted]["one"]) if name != "fours" else _fours(results))
    across, along = AXES[name]
    shown = [one for one in axes if one.axison and one.get_visible()]
    assert {one.get_xlabel() for one in shown} - {""} <= across
    assert any(one.get_xlabel() in across for one in shown)
    assert {one.get_ylabel() for one in shown} - {""} == along


def _fours(results):
    return KINDS["fours"].build(results["blocks"]["nasty"])


def _axes(figure):
    nested = [one for part in getattr(figure, "subfigs", ()) for one in _axes(part)]
    return [*figure.axes, *nested]


@pytest.mark.parametrize("name", KINDS)
def test_svg_is_the_same_each_time_and_whatever_the_reader_s_settings(name, results, tmp_path):
    import matplotlib as mpl

    result = results[KINDS[name].accepts[0]]["one"]
    figure = KINDS[name].build(result)
    first = svg(figure, name)
    save_figure(figure, tmp_path / "a.svg")
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.hashsalt": "other", "text.parse_math": True}):
        figure = KINDS[name].build(result)
        assert svg(figure, name) == first
        save_figure(figure, tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_svg_is_the_same_in_another_process():
    script = (
        "import fp4sim, sys; from fp4sim.report.figures.registry import svg\n"
        "f = fp4sim.plot(fp4sim.compare('synthetic:gaussian:16x64'), 'snr'); sys.stdout.write(svg(f, 'a'))\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            check=True,
            timeout=120,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
    assert found.pop().startswith(b"<svg")


def test_svg_is_inert_and_takes_the_page_s_colours(results):
    for name in ("snr", "fours"):
        drawn = svg(KINDS[name].build(results[KINDS[name].accepts[0]]["nasty"]), "a-b", '"><script>')
        assert "<script" not in drawn
        assert "<img" not in drawn
        assert "style" not in re.sub(r">[^<]*<", "><", drawn)  # neither sheets nor attributes: a page may forbid them
        assert "currentColor" in drawn
        assert "var(--fp4-" in drawn
        assert not re.findall(r'href="(?!#a-b-|data:image/png;base64,)', re.sub(r">[^<]*<", "><", drawn))
        ids = re.findall(r' id="([^"]*)"', drawn)
        assert all(one.startswith("a-b-") for one in ids)
        root = ElementTree.fromstring(drawn)
        assert root.attrib["aria-label"] == '"><script>'


def test_names_reach_figures_as_they_are_but_harmless(results):
    figure = KINDS["fours"].build(results["blocks"]["nasty"])
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert "$x_1^2$ \\frac{a}{b}" in names
    assert "(unnamed)" in names
    assert all(name.isprintable() and len(name) <= 30 for name in names)


def test_a_thousand_tensors_become_lines_that_stay_small(results):
    figure = KINDS["snr"].build(results["compare"]["thousand"])
    assert [axes.get_title() for axes in figure.axes] == [
        *(
            "self_attn.q_proj",
            "self_attn.k_proj",
            "self_attn.v_proj",
            "self_attn.o_proj",
            "mlp.up_proj",
            "mlp.down_proj",
        ),
    ]
    assert len(figure.axes[0].lines[0].get_xdata()) == 167


def test_texts_stay_inside_the_figure(results):
    for name, accepted, state in (param.values for param in CASES if param.values[2] in ("one", "many", "nasty")):
        figure = KINDS[name].build(results[accepted][state])
        with quiet_glyphs():
            figure.draw_without_rendering()
        whole = figure.bbox
        for axes in _axes(figure):
            for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
                if axes.get_visible() and text.get_text() and text.get_visible():
                    box = text.get_window_extent()
                    assert whole.x0 - 1 <= box.x0, (name, state, text.get_text())
                    assert box.x1 <= whole.x1 + 1, (name, state, text.get_text())


def test_registry():
    assert len({kind.caption for kind in KINDS.values()}) == len(KINDS)
    assert all(len(kind.caption) > 80 and kind.title for kind in KINDS.values())
    with pytest.raises(ValueError, match="no figure 'pie'; there are snr"):
        kind_named("pie")


def test_kinds_for(results):
    names = {accepted: [kind.name for kind in kinds_for(states["one"])] for accepted, states in results.items()}
    assert names == {
        "compare": ["snr", "pareto", "occupancy", "scale-bytes"],
        "blocks": ["scale-error", "heat", "ratios", "fours"],
        "bias": ["concentration"],
        "layer": ["concentration"],
        "rounding": ["sr-bias"],
        "sweep": ["sweep"],
        "gemm": ["gemm"],
        "verify": ["mismatch"],
    }
    assert result_kind(object()) == ""
    assert kinds_for(None) == ()


def test_every_kind_is_in_the_docs():
    from pathlib import Path

    folder = Path(__file__).parents[3]
    text = (folder / "docs" / "figures.md").read_text()
    for name in KINDS:
        assert f"| **{name}** <br>" in text
        assert f"../reports/figures/{name}.png" in text
        assert (folder / "reports" / "figures" / f"{name}.png").stat().st_size < 150_000
