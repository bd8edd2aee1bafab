"""Every renderer on every kind of result: ordinary, empty, single, without values, and with names from hell."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from fp4sim.errors import UsageError
from fp4sim.report.kinds import KINDS
from fp4sim.report.render import SUFFIXES, render
from fp4sim.report.summary import sentences_of

NAMES = [kind.name for kind in KINDS]
VOID = {"meta", "br", "wbr", "input"}
OWN_TAGS = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "a",
        "header",
        "p",
        "h1",
        "h2",
        "h3",
        "bdi",
        "main",
        "dl",
        "div",
    ),
    *(
        "dt",
        "dd",
        "section",
        "ul",
        "li",
        "details",
        "summary",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "script",
        "code",
    ),
    *("figure", "figcaption"),
    *("svg", "g", "defs", "path", "use", "text", "tspan", "clippath", "rect", "line", "image"),
}


class Page(HTMLParser):
    """Tags, attributes and texts of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.ids, self.links, self.texts, self.scripts = set(), set(), [], [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.scripts += tag == "script"
        for name, value in attrs:
            self.attributes.add(name)
            if name == "id":
                self.ids.append(value)
            if name in ("href", "src", "xlink:href"):
                self.links.append(value)

    def handle_data(self, data):
        self.texts.append(data)


def well_formed(text, suffix):
    """Check a document as its readers would; gives what it holds."""
    if suffix == ".json":
        return json.loads(text)
    if suffix == ".xml":
        return ElementTree.fromstring(text.encode("utf-8"))
    if suffix == ".csv":
        rows = list(csv.reader(io.StringIO(text)))
        assert {len(row) for row in rows} == {len(rows[0])}
        return rows
    if suffix == ".html":
        page = Page(text)
        assert page.tags <= OWN_TAGS
        assert page.scripts == 1
        assert len(page.ids) == len(set(page.ids))
        inner = {link[1:] for link in page.links if link.startswith("#")}
        assert inner <= set(page.ids)
        assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links)
        assert not page.attributes & {"style", "onerror", "onclick", "src"}
        return page
    if suffix == ".md":
        for block in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1, block
    return text


def inert(text):
    """No control character, no mark that turns the reading direction around, nothing that UTF-8 cannot hold."""
    text.encode("utf-8")
    return not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in text if c != "\n")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", NAMES)
def test_every_kind_renders_to_every_suffix(every_kind, name, suffix):
    result = every_kind[name]
    text = render(result, suffix)
    assert well_formed(text, suffix) is not None
    assert inert(text)
    assert text.endswith("\n") or suffix == ".html"
    assert render(result, suffix) == text


def emptied(result):
    """The result without any record in it."""
    lists = {}
    for one in fields(result):
        value = getattr(result, one.name)
        if isinstance(value, tuple) and value and is_dataclass(value[0]):
            lists[one.name] = ()
    return replace(result, **lists)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", NAMES)
def test_nothing_to_show(every_kind, name, suffix):
    empty = emptied(every_kind[name])
    assert sentences_of(empty) == ()
    text = render(empty, suffix)
    well_formed(text, suffix)
    assert inert(text)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_one_tensor_under_one_format(plain, suffix):
    one = replace(plain, formats=plain.formats[:1], totals=plain.totals[:1], tensors=(only(plain.tensors[0]),))
    text = render(one, suffix)
    well_formed(text, suffix)
    assert not re.search(r"\| median|  median|median, ", text)
    assert sentences_of(one) == ()


def only(tensor):
    return replace(tensor, results=tensor.results[:1])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_value_at_all(plain, suffix):
    names = (
        "mse",
        "rel_mse",
        "snr_db",
        "effective_bits",
        "cosine",
        "alignment",
        "mean_error",
        "max_error",
        "max_error_at",
    )
    reasons = dict.fromkeys(names, "not finite: NaN in x")

    def without(metrics):
        return replace(metrics, **dict.fromkeys(names), undefined=reasons, error_share={}, element_share={})

    tensors = tuple(replace(t, results=tuple(map(without, t.results)), amax=None) for t in plain.tensors)
    totals = tuple(replace(t, metrics=without(t.metrics), median=dict.fromkeys(t.median)) for t in plain.totals)
    bare = replace(plain, tensors=tensors, totals=totals)
    text = render(bare, suffix)
    well_formed(text, suffix)
    assert "nan" not in re.sub(r"NaN in x|NaN or Inf", "", text).lower() or suffix == ".html"  # a word of the style
    assert sentences_of(bare) == ()
    if suffix == ".html":
        assert 'title="not finite: NaN in x">–' in text


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_hostile_names_are_inert(hostile, hostile_names, suffix):
    text = render(hostile, suffix)
    found = well_formed(text, suffix)
    assert inert(text)
    if suffix == ".html":
        assert "alert(1)" in "".join(found.texts)
        assert len(text) < 400_000  # a name of 10 kB is cut
    if suffix == ".csv":
        formula = tuple("=+-@\t\r\n＝＋－＠")
        assert not any(cell.startswith(formula) and not is_number(cell) for row in found for cell in row)
    if suffix == ".xml":
        assert len(list(found.iter("testcase"))) == 2 * len(hostile_names) + 2 + len(hostile_names)
        assert len(list(found.iter("skipped"))) == len(hostile_names)


def is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def renamed(value, name):
    """A record whose texts from outside are all ``name``."""
    outside = (
        "name",
        "source",
        "sources",
        "repro",
        "label",
        "ignored",
        "unmatched",
        "check",
        "detail",
        "reason",
        "notes",
    )
    if is_dataclass(value):
        changes = {}
        for one in fields(value):
            if not one.init:
                continue
            item = getattr(value, one.name)
            if one.name in outside and isinstance(item, str):
                changes[one.name] = name
            elif one.name in outside and isinstance(item, tuple):
                changes[one.name] = (name,)
            else:
                changes[one.name] = renamed(item, name)
        return replace(value, **changes)
    return tuple(renamed(item, name) for item in value) if isinstance(value, tuple) else value


@pytest.mark.parametrize("suffix", [".html", ".md", ".csv", ".xml", ".txt"])
@pytest.mark.parametrize("kind", NAMES)
def test_every_text_from_outside_is_inert(every_kind, kind, suffix, hostile_names):
    names = (
        "<script>alert(1)</script>|`x`\x1b[31m‮\n",
        '"><img src=x onerror=alert(1)>',
        "=cmd|' /C calc'!A0",
        *hostile_names[7:11],
    )
    if suffix == ".html":  # pages draw figures, which takes time, and care for no beginning
        names = (names[0], "".join(names[1:]))
    for name in names:
        text = render(renamed(every_kind[kind], name), suffix)
        well_formed(text, suffix)
        assert inert(text)
        if suffix in (".html", ".md", ".xml"):
            assert not re.search(r"(?<!\\)<(script>alert|img)", re.sub(r"`[^`\n]*`", "", text))
        if suffix == ".csv":
            rows = csv.reader(io.StringIO(text))
            assert not any(
                cell.startswith(("=", "+", "@", "-c")) and not is_number(cell) for row in rows for cell in row
            )


def test_junit_counts_crossed_thresholds(plain):
    root = ElementTree.fromstring(render(plain, ".xml", ["nvfp4: snr_db 12 < 15", "<b>"]).encode())
    assert (root.get("failures"), len(list(root.iter("failure")))) == ("2", 2)
    calm = ElementTree.fromstring(render(plain, ".xml").encode())
    assert calm.get("failures") == "0"
    assert int(calm.get("tests")) == (len(plain.tensors) + 1) * len(plain.formats)


def test_an_unknown_suffix_is_refused(plain):
    with pytest.raises(UsageError, match=r"\.html \.md"):
        render(plain, ".pdf")
