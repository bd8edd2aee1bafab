"""Colours that colour-blind readers tell apart, on white and on a dark page; and marks besides."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from fp4sim.report.figures.style import COLOURS, DASHES, INK, MARKS, colour, dash, mark
from fp4sim.report.figures.svg import DARK_COLOURS, DARK_VARIABLES

# Machado, Oliveira, Fernandes 2009, table 1, severity 1.0; on linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = TO_XYZ.sum(axis=1)


def linear(text):
    value = np.array([int(text[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    ratio = TO_XYZ @ np.clip(rgb, 0, 1) / WHITE
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(a, b, seen):
    return np.linalg.norm(lab(seen @ linear(a)) - lab(seen @ linear(b)))


def contrast(a, b):
    low, high = sorted(float(TO_XYZ[1] @ linear(one)) for one in (a, b))
    return (high + 0.05) / (low + 0.05)


def test_the_measure_knows_confusable_colours():
    assert distance("#ff0000", "#00ff00", VISION["normal"]) > 150
    assert distance("#c0392b", "#7a7a00", VISION["deuteranopia"]) < 20  # a red and an olive


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("palette", [COLOURS, DARK_COLOURS], ids=["light", "dark"])
def test_every_pair_of_colours_is_told_apart(palette, vision):
    closest = min(distance(a, b, VISION[vision]) for a, b in combinations(palette, 2))
    assert closest > 15  # 2.3 is a just noticeable difference


def test_colours_stand_out_from_the_page():
    assert min(contrast(one, "#ffffff") for one in COLOURS) > 2
    assert min(contrast(one, "#121519") for one in DARK_COLOURS) > 4.5
    assert contrast(INK, "#ffffff") > 12


def test_series_differ_by_more_than_colour():
    pairs = [(colour(i), mark(i)) for i in range(70)]
    assert len(set(pairs)) == 70
    assert all(mark(i) != mark(i + 1) and dash(i) != dash(i + 1) for i in range(40))
    assert len({(colour(i), dash(i)) for i in range(len(COLOURS) * len(DASHES))}) == len(COLOURS) * len(DASHES)
    assert len(set(MARKS)) == len(MARKS)


def test_ink_is_no_series_and_dark_has_every_variable():
    assert INK.lower() not in {one.lower() for one in COLOURS}
    assert len(DARK_COLOURS) == len(COLOURS)
    assert DARK_VARIABLES.count("--fp4-") == len(COLOURS)


def test_the_html_page_has_the_dark_colours():
    from importlib.resources import files

    sheet = files("fp4sim.report.html").joinpath("templates/style.css").read_text()
    for i, value in enumerate(DARK_COLOURS):
        short = "#fff" if value == "#FFFFFF" else value.lower()
        assert f"--fp4-{i}: {short};" in sheet
