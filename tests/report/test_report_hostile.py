"""Names from outside are inert in every renderer."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser

import pytest
from rich.console import Console

from fp4sim.report.csv_table import compare_csv
from fp4sim.report.html_table import compare_table
from fp4sim.report.json_text import strict_json
from fp4sim.report.markdown import code, compare_markdown
from fp4sim.report.terminal import View, print_compare


def render(result, width=100, view=None, **console):
    screen = Console(width=width, file=io.StringIO(), **console)
    print_compare(screen, result, view)
    return screen.file.getvalue()


def inert(text, allowed="\n"):
    return all(char.isprintable() or char in allowed for char in text)


@pytest.mark.parametrize("width", [40, 80, 100, 200])
def test_terminal_has_no_control_characters_and_fits(hostile, width):
    # even a console with markup switched on must not read markup in names
    text = render(hostile, width, View(verbose=True), markup=True, emoji=True)
    assert inert(text)
    from rich.cells import cell_len

    widest = max(cell_len(line.rstrip()) for line in text.splitlines())
    assert widest <= max(width, 60)


def test_terminal_keeps_markup_as_text(hostile):
    text = render(hostile, 200, View(top=0))
    assert "[bold red]markup[/bold red]" in text
    assert "<script>" in text


def test_markdown_rows_keep_their_columns(hostile):
    text = compare_markdown(hostile)
    assert inert(text)
    for line in text.splitlines():
        if line.startswith("|"):
            cells = re.sub(r"`[^`]*`", "", line).count("|") - 1
            assert cells == 10, line
            assert not re.search(r"(?<!`)<(?!/?code>)", re.sub(r"`[^`]*`", "", line)), line


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model.layers.0.weight", "`model.layers.0.weight`"),
        ("a|b", "<code>a&#124;b</code>"),
        ("`", "<code>&#96;</code>"),
        ("a\\", "<code>a&#92;</code>"),
        ("<b>", "<code>&#60;b&#62;</code>"),
        ("a\nb", "<code>a&#92;nb</code>"),
        ("", "<code></code>"),
        (" x", "<code> x</code>"),
    ],
)
def test_markdown_code(name, expected):
    assert code(name) == expected


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen = set()
        self.attributes = set()

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_html_has_only_its_own_tags(hostile):
    text = compare_table(hostile)
    tags = Tags()
    tags.feed(text)
    assert inert(text)
    assert tags.seen <= {"table", "thead", "tbody", "tr", "th", "td", "b", "bdi", "p", "code"}
    assert tags.attributes <= {"title"}
    assert hostile._repr_html_() == text


def test_csv_has_no_formula_and_no_control_character(hostile, hostile_names):
    text = compare_csv(hostile)
    assert inert(text)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 2 * (len(hostile_names) + 1)
    for row in rows:
        assert None not in row
        for column in ("tensor", "source"):
            assert not row[column].lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r"))


def test_an_empty_name_is_named_everywhere(hostile):
    lines = render(hostile, 200, View(top=0, verbose=True)).splitlines()
    assert sum(line.startswith("(unnamed) ") for line in lines) == 3
    assert any(line.startswith("  dtype int32") for line in lines)
    markdown = compare_markdown(hostile)
    assert "| `(unnamed)` | 4×32 |" in markdown
    assert "- `(unnamed)`: dtype int32" in markdown
    assert "<bdi>(unnamed)</bdi>" in compare_table(hostile)
    rows = list(csv.DictReader(io.StringIO(compare_csv(hostile))))
    assert [row["format"] for row in rows if row["tensor"] == "(unnamed)"] == ["nvfp4", "mxfp4"]
    assert {row["row"] for row in rows if not row["tensor"]} == {"total"}


def test_json_keeps_names_exactly(hostile, hostile_names):
    def refuse(constant):
        raise AssertionError(constant)

    text = strict_json(hostile.to_dict())
    assert text.isascii()
    assert inert(text)
    data = json.loads(text, parse_constant=refuse)
    assert [tensor["name"] for tensor in data["tensors"]] == list(hostile_names)
