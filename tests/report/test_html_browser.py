"""Pages in a browser: no complaint, no request, sorting, filtering, keyboard, dark mode, no overflow."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from fp4sim.report.kinds import KINDS
from fp4sim.report.render import render
from fp4sim.report.summary import sentences_of

_spec = importlib.util.spec_from_file_location("browser", Path(__file__).with_name("browser.py"))
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)

pytestmark = pytest.mark.skipif(bool(_module.missing()), reason=_module.missing() or "a browser is there")

TENSORS, FORMATS = 1000, 6


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with _module.chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def many(plain, tmp_path_factory):
    """A page of 1,000 tensors under 6 formats; and its result."""
    infos = tuple(replace(plain.formats[i % 3], short=f"format-{i}") for i in range(FORMATS))
    totals = tuple(plain.totals[i % 3] for i in range(FORMATS))
    tensors = []
    for i in range(TENSORS):
        base = plain.tensors[i % 3]
        results = tuple(
            replace(
                base.results[k % 3], snr_db=(1.0 + (7 * i) % TENSORS) / 50 + k, scale_lost=0.5 if i in (3, 900) else 0.0
            )
            for k in range(FORMATS)
        )
        tensors.append(replace(base, name=f"model.layers.{i // 8}.mlp.experts.{i}.weight", results=results))
    result = replace(plain, formats=infos, totals=totals, tensors=tuple(tensors))
    path = tmp_path_factory.mktemp("many") / "many.html"
    path.write_text(render(result, ".html"))
    return path, result


def names(browser):
    return [row.text for row in browser.all("#tensors tbody tr > th")]


def column(browser, index):
    return browser.run(
        f"return [...document.querySelectorAll('#tensors tbody tr')].map(row => row.cells[{index}].textContent)"
    )


def status(browser):
    return browser.one("#tensors [role=status]").text


def clean(browser, path):
    assert browser.complaints() == []
    assert browser.requests() == [path.as_uri()]


@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("name", [kind.name for kind in KINDS])
def test_every_kind_is_quiet_and_fits(browser, every_kind, name, width, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(render(every_kind[name], ".html"))
    browser.complaints(), browser.requests()
    browser.open(path, width)
    assert browser.overflow() == 0
    for link in browser.all("tbody a[role=button]")[:1]:
        browser.run("arguments[0].click()", link)
        assert browser.overflow() == 0
    clean(browser, path)


@pytest.mark.parametrize("width", [390, 1400])
def test_hostile_names_do_nothing(browser, hostile, width, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(render(hostile, ".html"))
    browser.complaints(), browser.requests()
    browser.open(path, width)
    assert browser.overflow() == 0
    assert browser.run("return document.querySelectorAll('img').length") == 0
    assert browser.run("return document.scripts.length") == 1
    assert "<script>alert(1)</script>" in names(browser)
    clean(browser, path)


def test_the_policy_forbids_what_is_injected(browser, plain, tmp_path):
    """Not only is nothing injected: if it were, the policy would stop it."""
    path = tmp_path / "page.html"
    path.write_text(
        render(plain, ".html").replace("</main>", "<script>window.hit = 1</script><img src='file:///x'></main>")
    )
    browser.complaints()
    browser.open(path)
    assert browser.run("return window.hit") is None
    assert sum("Content Security Policy" in line for line in browser.complaints()) == 2


def test_dark_mode(browser, plain, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(render(plain, ".html"))
    seen = {}
    for scheme in ("light", "dark"):
        browser.open(path, scheme=scheme)
        style = "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]"
        ground, ink = (luminance(colour) for colour in browser.run(style))
        series = browser.run(
            "return getComputedStyle(document.querySelector('.fp4-figure [fill^=\"var(--fp4-0\"]')).fill"
        )
        text = browser.run("return getComputedStyle(document.querySelector('.fp4-figure text')).fill")
        seen[scheme] = (ground, series)
        assert contrast(ground, ink) > 7
        assert contrast(ground, luminance(series)) > 3
        assert contrast(ground, luminance(text)) > 7
    assert seen["light"][0] > 0.9
    assert seen["dark"][0] < 0.05
    assert seen["light"][1] != seen["dark"][1]


def luminance(colour):
    """Relative luminance of rgb(r, g, b), as WCAG has it."""
    parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


def test_thousand_tensors_are_small_and_paged(browser, many):
    path, _ = many
    assert path.stat().st_size < 3_000_000
    browser.open(path)
    assert len(browser.all("#tensors tbody tr")) == 50
    assert status(browser) == "Rows 1–50 of 6,000"
    for width in (390, 1400):
        assert browser.open(path, width).overflow() == 0


def test_sorting(browser, many):
    browser.open(many[0])
    buttons = browser.all("#tensors thead button")
    head = browser.all("#tensors thead th")[4]
    buttons[4].click()
    assert head.get_attribute("aria-sort") == "ascending"
    values = [float(text) for text in column(browser, 4)]
    assert values == sorted(values)
    assert values[0] == 0.02
    buttons[4].click()
    assert head.get_attribute("aria-sort") == "descending"
    values = [float(text) for text in column(browser, 4)]
    assert values == sorted(values, reverse=True)
    assert values[0] == 25.0
    buttons[0].click()
    assert [one.get_attribute("aria-sort") for one in browser.all("#tensors thead th")].count("none") == len(
        buttons
    ) - 1
    assert column(browser, 0)[0].endswith("layers.0.mlp.experts.0.weight")
    assert column(browser, 0)[49].endswith("experts.8.weight")  # as numbers: 8 comes before 10


def test_values_that_are_missing_go_last(browser, plain, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(render(plain, ".html"))
    browser.open(path)
    for _ in range(2):
        browser.all("#tensors thead button")[4].click()
        assert [text == "–" for text in column(browser, 4)] == [False] * 9 + [True] * 3


def test_filtering(browser, many):
    browser.open(many[0])
    field = browser.one("#tensors input[type=search]")
    label = browser.run("return document.querySelector('#tensors input[type=search]').labels[0].textContent")
    assert label == "Filter: words in names"
    field.send_keys("Layers.7. experts.5")
    assert set(names(browser)) == {f"model.layers.7.mlp.experts.{i}.weight" for i in (56, 57, 58, 59)}
    assert status(browser) == "Rows 1–24 of 24 (6,000 in all)"
    choice = next(one for one in browser.all("#tensors .controls select") if "format-2" in one.text)
    choice.send_keys("format-2")
    assert status(browser) == "Rows 1–4 of 4 (6,000 in all)"
    assert set(column(browser, 3)) == {"format-2"}
    field.send_keys("nothing")
    assert status(browser) == "No row matches (6,000 in all)"
    assert names(browser) == []


def test_paging(browser, many):
    browser.open(many[0])
    back, next_page = browser.all("#tensors .pager button")
    assert not back.is_enabled()
    first = names(browser)
    next_page.click()
    assert status(browser) == "Rows 51–100 of 6,000"
    assert names(browser) != first
    back.click()
    assert names(browser) == first
    browser.one("#tensors .pager select").send_keys("1,000")
    assert len(browser.all("#tensors tbody tr")) == 1000


def test_sentences_lead_to_their_rows(browser, many):
    path, result = many
    browser.open(path)
    assert len(sentences_of(result)) >= 1
    item = next(one for one in browser.all("#summary li") if "scale underflow" in one.text)
    item.find_element("css selector", "a.rows").click()
    assert set(names(browser)) == {result.tensors[i].name for i in (3, 900)}
    assert status(browser) == "Rows 1–12 of 12 (6,000 in all)"
    assert "Only the rows of: Under format-0" in browser.one("#tensors .only").text
    browser.one("#tensors .only button").click()
    assert status(browser) == "Rows 1–50 of 6,000"
    item.find_elements("css selector", "a:not(.rows)")[1].click()  # the second: tensor 900 on page 109
    target = browser.one("#tensors tr.target")
    assert "experts.900." in target.text
    assert browser.driver.switch_to.active_element == target
    assert browser.run("return location.hash") == "#r900-0"


def test_an_address_leads_to_its_row(browser, many):
    browser.driver.get("about:blank")
    browser.driver.get(many[0].as_uri() + "#r777-3")
    assert "experts.777." in browser.one("#tensors tr.target").text


def test_keyboard(browser, many):
    from selenium.webdriver.common.keys import Keys

    browser.open(many[0])
    field = browser.one("#tensors input[type=search]")
    field.send_keys("experts.12.")
    reached = []
    for _ in range(40):
        browser.driver.switch_to.active_element.send_keys(Keys.TAB)
        active = browser.driver.switch_to.active_element
        reached.append((active.tag_name, active.get_attribute("role") or ""))
        if reached[-1] == ("a", "button"):
            break
    assert ("select", "") in reached
    assert ("div", "region") in reached
    assert reached.count(("button", "")) == 11
    active.send_keys(Keys.SPACE)
    assert active.get_attribute("aria-expanded") == "true"
    opened = browser.one("#tensors tr.open").text
    for word in ("beyond largest code", "format-5", "amax", "model.layers.1.mlp.experts.12.weight"):
        assert word in opened
    active.send_keys(Keys.ENTER)
    assert active.get_attribute("aria-expanded") == "false"
    assert not browser.all("#tensors tr.open")
    button = browser.all("#tensors thead button")[4]
    button.send_keys(Keys.ENTER)
    assert browser.all("#tensors thead th")[4].get_attribute("aria-sort") == "ascending"


def test_one_detail_of_a_tensor_is_open_at_a_time(browser, many):
    browser.open(many[0])
    links = browser.all("#tensors tbody a[role=button]")
    links[0].click()
    links[1].click()
    assert [one.get_attribute("aria-expanded") for one in links[:2]] == ["false", "true"]
    assert len(browser.all("#tensors tr.open")) == 1


def test_without_scripts_all_is_there(browser, plain, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(render(plain, ".html"))
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.open(path)
        assert len(browser.all("#tensors tbody tr")) == len(plain.tensors) * len(plain.formats)
        assert all(detail.is_displayed() for detail in browser.all("#details .detail"))
        assert len(browser.all("#details .detail")) == len(plain.tensors)
        assert not browser.all("thead button")
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_print_shows_the_table_without_controls(browser, plain, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(render(plain, ".html"))
    browser.open(path)
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert not any(one.is_displayed() for one in browser.all(".controls, .skip"))
        assert browser.one("#tensors table").is_displayed()
        pdf = browser.driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"]
        assert len(pdf) > 10_000
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
