"""Sentences say what the data carries, and nothing where it carries nothing."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

import fp4sim
from fp4sim.report.html.compare import compare_document
from fp4sim.report.html.page import html_page
from fp4sim.report.render import render
from fp4sim.report.summary import sentences_of
from fp4sim.report.summary.sentence import Link, named, of_all
from fp4sim.report.summary.thresholds import THRESHOLDS


@pytest.fixture(scope="module")
def base():
    """One tensor under nvfp4 and mxfp4, to make comparisons of."""
    x = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    return fp4sim.compare({"w": x}, "nvfp4,mxfp4")


def made(base, first, second, **changes):
    """A comparison of as many tensors as there are SNRs of nvfp4 and mxfp4; ``changes`` by index to (format, fields)."""
    tensors = []
    for i, pair in enumerate(zip(first, second, strict=True)):
        results = [
            replace(m, snr_db=snr, flushed=0.05, error_share={"over_maximum": 0.1}, alignment=1.0)
            for m, snr in zip(base.tensors[0].results, pair, strict=True)
        ]
        for index, fields in changes.get(f"t{i}", {}).items():
            results[index] = replace(results[index], **fields)
        tensors.append(replace(base.tensors[0], name=f"t{i}", results=tuple(results)))
    return replace(base, tensors=tuple(tensors))


def texts(result):
    return [sentence.text for sentence in sentences_of(result)]


def test_a_format_that_loses_everywhere(base):
    found = sentences_of(made(base, [20.0] * 10, [18.0] * 9 + [18.5]))
    assert found[0].text == (
        "mxfp4 loses 2.00 dB in the median against nvfp4 on all 10 tensors, at 4.25 instead of 4.5 bits an element."
    )
    assert found[0].rows == tuple(f"r{i}-1" for i in range(10))
    assert found[0].thresholds == ("snr difference", "agreement")
    assert len(found) == 1


def test_exceptions_are_named(base):
    result = made(base, [20.0] * 20, [18.0] * 18 + [20.05, 21.0])
    assert texts(result)[0] == (
        "mxfp4 loses 2.00 dB in the median against nvfp4 on 18 of 20 tensors, at 4.25 instead of 4.5 bits an element;"
        " the exceptions are t18 and t19."
    )
    assert [part.row for part in sentences_of(result)[0].parts if isinstance(part, Link)] == ["r18-1", "r19-1"]


def test_one_tensor_is_not_called_all(base):
    (sentence,) = texts(made(base, [20.0], [18.0]))
    assert "loses 2.00 dB against nvfp4 on the only tensor" in sentence


@pytest.mark.parametrize("seed", range(20))
def test_random_results_say_nothing(base, seed):
    rng = np.random.default_rng(seed)
    first, second = (rng.normal(20, 3, 224).tolist() for _ in range(2))
    assert texts(made(base, first, second)) == []


def test_formats_alike(base):
    assert texts(made(base, [20.0] * 9, [20.05] * 9)) == [
        "mxfp4 and nvfp4 are within 0.1 dB of each other on all 9 tensors."
    ]


@pytest.mark.parametrize(("losing", "says"), [(7, False), (8, True)])
def test_few_tensors_must_agree(base, losing, says):
    result = made(base, [20.0] * 8, [18.0] * losing + [22.0] * (8 - losing))
    assert any("loses" in text for text in texts(result)) is says
    few = made(base, [20.0] * 7, [18.0] * 6 + [22.0])
    assert texts(few) == []


@pytest.mark.parametrize(
    ("field", "low", "high", "says"),
    [
        ("scale_lost", 0.02, 0.021, "more than 2 % of its blocks to scale underflow, up to 2.1 %"),
        ("scale_subnormal", 0.1, 0.11, "more than 10 % of its block scales in the subnormal range"),
        ("flushed", 0.25, 0.26, "more than 25 % of its elements flushed to zero, up to 26 %"),
        ("alignment", 0.981, 0.97, "comes back more than 2 % too small, up to 3 %"),
        ("alignment", 1.019, 1.03, "comes back more than 2 % too large, up to 3 %"),
        ("error_share", {"over_maximum": 0.25}, {"over_maximum": 0.3}, "owes more than 25 % of its squared error"),
    ],
)
def test_a_threshold_decides(base, field, low, high, says):
    calm = made(base, [20.0] * 3, [20.0] * 3, t1={1: {field: low}})
    assert [text for text in texts(calm) if text.startswith("Under")] == []
    result = made(base, [20.0] * 3, [20.0] * 3, t1={1: {field: high}})
    (text,) = [text for text in texts(result) if text.startswith("Under")]
    assert text.startswith("Under mxfp4, 1 of 3 tensors ")
    assert says in text
    assert text.endswith(": t1.")


def test_formats_with_the_same_tensors_share_a_sentence(base):
    result = made(base, [20.0] * 3, [20.0] * 3, t0={0: {"flushed": 0.5}, 1: {"flushed": 0.6}})
    (sentence,) = [one for one in sentences_of(result) if one.warning]
    assert (
        sentence.text
        == "Under nvfp4 and mxfp4, 1 of 3 tensors has more than 25 % of its elements flushed to zero, up to 60 %: t0."
    )
    assert sentence.rows == ("r0-0", "r0-1")


def test_one_draw_is_no_sign_of_shrinkage(base):
    noisy = replace(base, formats=(base.formats[0], replace(base.formats[1], notes=("stochastic: one draw",))))
    assert texts(made(noisy, [20.0] * 3, [20.0] * 3, t1={1: {"alignment": 0.9}}))[1:] == []


def test_outliers_by_distance_and_spread(base):
    close = [20.0 + 0.1 * (i % 3) for i in range(30)]
    assert any(
        "t29" in text and "below the median of 20.1 dB" in text
        for text in texts(made(base, [*close[:29], 15.0], close))
    )
    wide = [14.0 + i % 12 for i in range(30)]
    assert not any("below the median" in text for text in texts(made(base, [*wide[:29], 10.0], wide)))


def test_nonfinite_elements_are_told_first(base):
    result = made(base, [20.0] * 2, [18.0] * 2)
    result = replace(result, tensors=(replace(result.tensors[0], nonfinite=3), result.tensors[1]))
    assert texts(result)[0] == "1 of 2 tensors holds NaN or Inf, 3 elements in all: t0."


def test_all_zero_says_nothing():
    assert texts(fp4sim.compare({"z": np.zeros((8, 32), np.float32)}, "nvfp4,mxfp4")) == []


def test_verify_names_a_cause_only_where_it_explains_all(every_kind):
    result = every_kind["verify"]
    case = result.cases[0]
    finding = replace(case.findings[0], cause="scale.truncated", sentence="it was truncated", explained=2, mismatches=2)
    whole = replace(result, cases=(replace(case, findings=(finding,)),))
    assert any(
        text.startswith("scale.truncated reproduces every difference (it was truncated)") for text in texts(whole)
    )
    part = replace(result, cases=(replace(case, findings=(replace(finding, explained=1),)),))
    assert not any("scale.truncated" in text for text in texts(part))
    unknown = replace(result, cases=(replace(case, findings=(replace(finding, cause="unknown"),)),))
    assert any(text.startswith("Nothing that was tried") for text in texts(unknown))


def test_bias_says_verdicts_with_their_numbers(every_kind):
    result = every_kind["bias"]
    found = texts(result)
    assert any(text.startswith("nvfp4 is ") for text in found)
    none = [
        replace(t, results=tuple(replace(b, relative_bias=None, rounding=None) for b in t.results))
        for t in result.tensors
    ]
    assert texts(replace(result, tensors=tuple(none))) == []
    two = result.tensors
    biased = [replace(b, verdict="biased") for b in two[0].results]
    split = replace(result, tensors=(replace(two[0], results=tuple(biased)), two[1]))
    assert any("is biased on 1 of 2 tensors" in text and "w." in text for text in texts(split))


def test_variance_is_compared_among_the_unbiased(every_kind):
    result = every_kind["bias"]

    def with_variance(values):
        rows = []
        for tensor in result.tensors:
            biases = [
                replace(b, verdict="unbiased", variance=replace(tensor.results[1].variance, estimate=value))
                for b, value in zip(tensor.results, values, strict=True)
            ]
            rows.append(replace(tensor, results=tuple(biases)))
        return replace(result, tensors=tuple(rows))

    assert any("nvfp4 scatters least, nvfp4+sr 2 times" in text for text in texts(with_variance([1.0, 2.0, 3.0])))
    assert not any("scatters least" in text for text in texts(with_variance([1.0, 1.05, 3.0])))


def test_thresholds_are_shown_and_linked(base):
    result = made(base, [20.0] * 10, [18.0] * 10, t3={0: {"scale_lost": 0.5}})
    page = html_page(compare_document(result))
    for name in ("snr difference", "agreement", "scale underflow"):
        assert THRESHOLDS[name].decides.replace("'", "&#39;") in page
    assert THRESHOLDS["clipping"].decides not in page
    assert '<a href="#r3-0"><bdi>t3</bdi></a>' in page


def test_lists_of_names():
    links = [Link(f"n{i}", f"r{i}-0") for i in range(9)]

    def text(count):
        return "".join(part if isinstance(part, str) else part.text for part in named(links[:count]))

    assert (text(1), text(2), text(3)) == ("n0", "n0 and n1", "n0, n1 and n2")
    assert text(6) == "n0, n1, n2, n3, n4 and n5"
    assert text(8) == "n0, n1, n2, n3, n4 and 3 more"
    assert (of_all(1, 1, "case"), of_all(2, 2, "case"), of_all(1, 2, "case")) == (
        "the only case",
        "both cases",
        "1 of 2 cases",
    )


def test_the_documentation_has_every_threshold():
    from pathlib import Path

    text = (Path(__file__).parents[2] / "docs" / "reports.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.count("|") == 4]
    stated = {}
    for names, values, _ in rows:
        for name, value in zip(names.split(", "), values.split(", "), strict=False):
            stated[name] = value
    for name, threshold in THRESHOLDS.items():
        assert stated[name].replace(" ", "") == threshold.text.replace(" ", ""), name


def test_sentences_are_in_every_text(base):
    from fp4sim.report.render import render

    result = made(base, [20.0] * 10, [18.0] * 10)
    for suffix in (".txt", ".md", ".html"):
        assert "loses 2.00 dB in the median against nvfp4 on all 10 tensors" in " ".join(render(result, suffix).split())
    long = "loses 2.00 dB"
    assert long not in render(made(base, [20.0] * 10, [18.0] * 5 + [22.0] * 5), ".txt")


def test_evidence_names_what_could_not_run(every_kind):
    found = sentences_of(every_kind["evidence"])
    assert [one.text for one in found] == [
        "On a simulated GPU, 1 of 3 checks passed; 65,600 results were compared.",
        "1 of 4 checks could not run there: rcp.",
        "Not passed: mma and order.",
    ]


def test_a_page_leads_from_every_sentence_to_its_rows(every_kind):
    for name, result in every_kind.items():
        page = render(result, ".html")
        listed = re.search(r'<section id="summary">.*?</section>', page, re.DOTALL)
        for item in re.findall(r"<li.*?</li>", listed[0] if listed else "", re.DOTALL):
            targets = re.findall(r'href="#([^"]+)"', item)
            assert targets or name == "diff", item
            assert all(f"id={target}>" in page for target in targets)


def test_tensors_without_an_snr_are_not_counted_silently(base):
    result = made(base, [20.0, 20.0, 20.0], [18.0, 18.0, None])
    assert texts(result)[0] == (
        "mxfp4 loses 2.00 dB in the median against nvfp4 on both tensors that have an SNR, at 4.25 instead of"
        " 4.5 bits an element."
    )
