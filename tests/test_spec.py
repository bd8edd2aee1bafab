"""The spec string: what each string of DESIGN.md means, that every spelling round-trips, and what an error says."""

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fp4sim import parse, parse_list
from fp4sim.errors import SpecError
from fp4sim.spec_names import DIALECTS

STEP_STRINGS = [
    "sr",
    "sr:bits=8",
    "sr:clip",
    "sr:bits=8:clip",
    "4over6",
    "4over6:mae",
    "4over6:absmax",
    "4over6:bound=448",
    "4over6:fast:mae",
    "h:16:te",
]
STEP_STRINGS += ["quest", "mseden", "mseden:s=128", "mseden:posthoc", "eden", "rht", "rht:16:te", "h", "h:64"]
STEP_STRINGS += ["occ", "occ:0.999:row", "occ:nocomp", "dge", "dge:cap=2", "rht+4over6+sr+dge"]

# What is written, its canonical spelling, its shortest one.
MEANINGS = [
    ("nvfp4", "e2m1/16@e4m3@rn@ts:tensor", "nvfp4"),
    ("mxfp4", "e2m1/32@e8m0@floor", "mxfp4"),
    ("nvint4", "e0m3/16@e4m3@rn@ts:tensor", "nvint4"),
    *((name, name, name) for name in ("e2m1", "e1m2", "e3m0", "e4m3", "e5m2", "bf16", "fp32")),
    ("e5m2+sr", "e5m2+sr", "e5m2+sr"),
    ("e2m1/16@e4m3", "e2m1/16@e4m3@rn@ts:tensor", "nvfp4"),
    ("e2m1/1x16@e4m3", "e2m1/16@e4m3@rn@ts:tensor", "nvfp4"),
    ("nvfp4/16x16", "e2m1/16x16@e4m3@rn@ts:tensor", "nvfp4/16x16"),
    ("nvfp4/row", "e2m1/row@e4m3@rn@ts:tensor", "nvfp4/row"),
    ("e2m1/tensor@fp32", "e2m1/tensor@fp32@rn", "e2m1/tensor@fp32"),
    ("mxfp4/16", "e2m1/16@e8m0@floor", "mxfp4/16"),
    *((f"mxfp4@{rule}", f"e2m1/32@e8m0@{rule}", f"mxfp4@{rule}") for rule in ("ceil", "rceil", "even", "log2")),
    *((f"nvfp4@{rule}", f"e2m1/16@e4m3@{rule}@ts:tensor", f"nvfp4@{rule}") for rule in ("up", "down")),
    *((f"e1m2/16@{s}", f"e1m2/16@{s}@rn@ts:tensor", f"e1m2/16@{s}") for s in ("e5m2", "ue5m3", "e3m4", "e4m4")),
    ("e1m2/16@bf16", "e1m2/16@bf16@rn", "e1m2/16@bf16"),
    ("e3m0/32@e8m0", "e3m0/32@e8m0@floor", "e3m0/32@e8m0"),
    ("nvfp4@ue5m3:max=61440", "e2m1/16@ue5m3:max=61440@rn@ts:tensor", None),
    ("nvfp4@ts:none", "e2m1/16@e4m3@rn@ts:none", "nvfp4@ts:none"),
    ("nvfp4@ts:row", "e2m1/16@e4m3@rn@ts:row", "nvfp4@ts:row"),
    ("nvfp4@ts:128", "e2m1/16@e4m3@rn@ts:128", "nvfp4@ts:128"),
    ("nvfp4@ts:given", "e2m1/16@e4m3@rn@ts:given", "nvfp4@ts:given"),
    ("nvfp4@ts:bound=256", "e2m1/16@e4m3@rn@ts:tensor:bound=256", "nvfp4@ts:bound=256"),
    ("nvfp4@ts:row:bound=256.5", "e2m1/16@e4m3@rn@ts:row:bound=256.5", "nvfp4@ts:row:bound=256.5"),
    ("mxfp4@ts:given", "e2m1/32@e8m0@floor@ts:given", "mxfp4@ts:given"),
    ("nvfp4@torchao", "e2m1/16@e4m3@rn@ts:tensor@torchao", "nvfp4@torchao"),
    ("nvfp4@torchao:onelevel", "e2m1/16@e4m3@rn@ts:tensor@torchao:onelevel", "nvfp4@torchao:onelevel"),
    ("mxfp4@torchao:v0.18", "e2m1/32@e8m0@floor@torchao:v0.18", "mxfp4@torchao:v0.18"),
    ("mxfp4@torchao@rceil", "e2m1/32@e8m0@rceil@torchao", None),
    ("nvfp4@vllm-cuda", "e2m1/16@e4m3@rn@ts:tensor@vllm-cuda", "nvfp4@vllm-cuda"),
    ("e2m1@ml_dtypes", "e2m1@ml_dtypes", "e2m1@ml_dtypes"),
    ("nvfp4+4over6:mae:bound=448", "e2m1/16@e4m3@rn@ts:tensor+4over6:bound=448:mae", None),
    ("mxfp4+quest:mult=1", "e2m1/32@e8m0@floor+quest:mult=1", "mxfp4+quest:mult=1"),
    *((f"nvfp4+{step}", f"e2m1/16@e4m3@rn@ts:tensor+{step}", f"nvfp4+{step}") for step in STEP_STRINGS),
]

# Strings of equal meaning.
EQUAL = [
    ("nvfp4", "e2m1/16@e4m3", " NVFP4 ", "nv fp4\n", "NvFp4@TE", "nvfp4+rn", "nvfp4@rn", "nvfp4@ts:bound=448",
     "nvfp4@ts:tensor", "nvfp4@ts:tensor:bound=448.0", "nvfp4/16", "nvfp4/1x16", "nvfp4@e4m3",
     "e2m1/16@ts:tensor@rn@e4m3@te"),
    ("mxfp4", "e2m1/32@e8m0", "mxfp4@floor", "mxfp4@ts:none", "e2m1/32@floor@e8m0"),
    ("nvfp4@ue5m3", "nvfp4@ue5m3:max=114688", "e2m1/16@ue5m3@ts:bound=114688"),
    ("nvfp4@ts:bound=256", "nvfp4@ts:tensor:bound=256.0"),
    ("mxfp4@ceil@torchao", "mxfp4@torchao@ceil"),
    ("mxfp4@torchao:onelevel:v0.18", "mxfp4@torchao:v0.18:onelevel"),
    ("nvfp4+sr+rht", "nvfp4+rht+sr", "nvfp4+rht:128+sr:bits=32"),
    ("nvfp4+rht+4over6+sr+dge", "nvfp4+dge+sr+4over6+rht"),
    ("nvfp4+4over6", "nvfp4+4over6:mse", "nvfp4+4over6:bound=256", "nvfp4+4over6:mse:bound=256"),
    ("nvfp4+4over6:mae:bound=448", "nvfp4+4over6:bound=448:mae"),
    ("mxfp4+quest", "mxfp4+quest:mult=1.5", "mxfp4+quest:mult=1.50"),
    ("nvfp4+h", "nvfp4+h:32"),
    ("nvfp4+occ", "nvfp4+occ:0.99", "nvfp4+occ:.99"),
    ("nvfp4+dge", "nvfp4+dge:k=5:cap=3"),
]  # fmt: skip

# What is written, the bad token, and something that the message must offer instead.
ERRORS = [
    ("", "names no format", "nvfp4"),
    ("fp4", "'fp4'", "nvfp4"),
    ("nvfp4/", "'/'", "16x16"),
    ("nvfp4/0", "'/0'", "16x16"),
    ("nvfp4/15", "'/15'", "even length"),
    ("nvfp4/16/16", "'/16'", "one /<block>"),
    ("nvfp4@te/16", "'/16'", "straight after the format"),
    ("nvfp4@", "'@'", "@e4m3"),
    ("nvfp4@e4m3@e8m0", "'@e8m0'", "at most one of a kind"),
    ("nvfp4@up@down", "'@down' is a second rule", "at most one of a kind"),
    ("nvfp4@ts:none@ts:row", "'@ts:row' is a second tensor scale", "at most one"),
    ("nvfp4@te@torchao", "'@torchao' is a second dialect", "at most one"),
    ("nvfp4@floor", "'@floor' does not act on e4m3", "rn up down"),
    ("mxfp4@up", "'@up' does not act on e8m0", "floor ceil rceil even log2"),
    ("e2m1@rn", "'@rn' has no scale", "@e4m3"),
    ("nvfp4@nearest", "'@nearest'", "rceil"),
    ("nvfp4@e4m5", "'@e4m5'", "X+Y <= 8"),
    ("nvfp4@e4m3:max=3", "'@e4m3:max=3'", "ue5m3"),
    ("nvfp4@ue5m3:max=1", "'@ue5m3:max=1'", "61440"),
    ("nvfp4@ts", "'@ts'", "none tensor row given"),
    ("nvfp4@ts:0", "'@ts:0'", "128"),
    ("nvfp4@ts:24", "'@ts:24'", "multiple of the block length"),
    ("nvfp4/16x16@ts:128", "'@ts:128'", "multiple of the block length"),
    ("nvfp4/16x16@ts:row", "'@ts:row'", "ts:tensor"),
    ("nvfp4/tensor@ts:row", "'@ts:row'", "ts:tensor"),
    ("nvfp4@ts:bound=0", "'@ts:bound=0'", "bound=256"),
    ("nvfp4@ts:bound=449", "'@ts:bound=449'", "448"),
    ("nvfp4@ts:none:bound=256", "'@ts:none:bound=256'", "less"),
    ("mxfp4@ts:tensor", "'@ts:tensor'", "ts:given"),
    ("e2m1@ts:row", "'@ts:row'", "@e4m3"),
    ("nvfp4@torchao:twolevel", "'twolevel'", "onelevel"),
    ("nvfp4@te:onelevel", "'onelevel'", "te without a variant"),
    ("nvfp4@torchao:onelevel:onelevel", "'onelevel'", "onelevel v0.18 cuda"),
    ("nvfp4@ml_dtypes", "'@ml_dtypes'", "e2m1@ml_dtypes"),
    ("nvfp4+", "'+'", "4over6"),
    ("nvfp4+rne", "'+rne'", "rnz"),
    ("nvfp4+sr@ts:none", "'@ts:none' follows a step", "before the first +"),
    ("nvfp4+sr+rn", "'+rn' is a second rounding", "one of a kind"),
    ("nvfp4+rht+h", "'+h' is a second transform", "one of a kind"),
    ("nvfp4+quest+4over6", "'+4over6' is a second choice", "one of a kind"),
    ("nvfp4+mseden+rht", "'+rht' is a second transform", "one of a kind"),
    ("nvfp4+sr:bits=0", "'bits=0'", "1..32"),
    ("nvfp4+sr:bits=33", "'bits=33'", "1..32"),
    ("nvfp4+sr:bits=8:bits=8", "bits twice", "bits="),
    ("nvfp4+sr:8", "'8'", "bits="),
    ("nvfp4+rn:clip", "'clip'", "+rn without parameters"),
    ("nvfp4+4over6:mae:absmax", "mae and absmax", "one of mse mae absmax"),
    ("nvfp4+rht:te:16", "'16'", "a number (2..256)"),
    ("nvfp4+occ:1.5", "'1.5'", "0.5..1"),
    ("e2m1@e4m3", "a scale but no block", "/16"),
    ("e2m1/16", "a block but no scale", "e2m1/16@e4m3"),
    ("nvfp4,mxfp4", "'nvfp4,mxfp4'", "mxfp4"),
    ("e2m1/\u0661\u0666@e4m3", "@", "even length"),  # 16 in Arabic-Indic digits
    ("e2m1/16@e\u0664m\u0663", "is not known", "@e4m3"),
    ("n" * 500, "500 characters", "400"),
]


@pytest.mark.parametrize(("text", "canonical", "short"), MEANINGS)
def test_a_string_means_what_the_design_says(text, canonical, short):
    spec = parse(text)
    assert str(spec) == canonical
    assert parse(canonical) == spec
    assert parse(spec.short) == spec
    if short is not None:
        assert spec.short == short


@pytest.mark.parametrize("spellings", EQUAL, ids=lambda group: group[0])
def test_equal_meaning_compares_equal(spellings):
    specs = {parse(text) for text in spellings}
    assert len(specs) == 1, {str(spec) for spec in specs}
    assert len({(str(spec), spec.short, spec.slug) for spec in map(parse, spellings)}) == 1


def test_groups_of_different_meaning_differ():
    specs = [parse(group[0]) for group in EQUAL]
    assert len(set(specs)) == len(specs)


@pytest.mark.parametrize(("text", "named", "offered"), ERRORS)
def test_an_error_names_the_token_and_what_fits(text, named, offered):
    with pytest.raises(SpecError) as caught:
        parse(text)
    message = str(caught.value)
    assert named in message
    assert offered in message
    assert message.isprintable()


def test_an_error_gives_the_column_of_the_token():
    for text, column in [("nvfp4@x", 6), ("nvfp4/7", 6), ("nvfp4 @te @ts:col", 9), ("nvfp4@te+sr:bits=99", 9)]:
        with pytest.raises(SpecError, match=rf"column {column}:"):
            parse(text)


def test_control_characters_never_reach_the_terminal():
    for text in ["nvfp4@te:\x1b[31m@te", "nvfp4@\x1b[31m", "\x07", "nvfp4+sr:\x1b", "e2m1/16@ts:\x7f@ts:none"]:
        with pytest.raises(SpecError) as caught:
            parse(text)
        assert str(caught.value).isprintable(), text


def test_the_string_that_an_error_suggests_is_valid():
    for text in ["e2m1/16", "e2m1/16+sr", "e1m2/16@te", "e2m1/16@torchao+sr"]:
        with pytest.raises(SpecError) as caught:
            parse(text)
        suggested = re.search(r"\(e\.g\. (\S+)\)", str(caught.value))
        assert parse(suggested[1]).scale is not None


@pytest.mark.parametrize("value", [None, 4, b"nvfp4", ["nvfp4"]])
def test_what_is_not_a_string_is_refused(value):
    with pytest.raises((SpecError, TypeError)) as caught:
        parse(value)
    if isinstance(caught.value, SpecError):
        assert type(value).__name__ in str(caught.value)


def test_a_list_is_split_at_commas_and_keeps_its_order():
    expected = [parse("mxfp4"), parse("nvfp4"), parse("nvfp4+sr")]
    assert parse_list("mxfp4, nvfp4,,NVFP4@te ,nvfp4+sr") == expected
    assert parse_list(["mxfp4,nvfp4", "nvfp4+sr"]) == expected
    for empty in ["", " , ", [], [""]]:
        with pytest.raises(SpecError, match=r"at least one, e\.g\. nvfp4,mxfp4"):
            parse_list(empty)


# --- Every spec round-trips -------------------------------------------------------------------------------------------

DECIMALS = st.one_of(
    st.from_regex(r"[0-9]{1,6}(\.[0-9]{1,9})?", fullmatch=True), st.from_regex(r"\.[0-9]{1,9}", fullmatch=True)
)
ABOVE_ZERO = DECIMALS.filter(lambda text: float(text) >= 0.001)
FLOAT_SCALES = ["e4m3", "e5m2", "ue5m3", "ue5m3:max=61440", "ue5m3:max=122880", "e3m4", "e1m2", "e6m2", "e4m4", "e7m0"]
STEP_TEXTS = {
    "transform": st.one_of(
        st.tuples(st.integers(2, 256), st.sampled_from(["", ":te"])).map(lambda p: f"h:{p[0]}{p[1]}"),
        st.tuples(st.integers(2, 256), st.sampled_from(["", ":te"])).map(lambda p: f"rht:{p[0]}{p[1]}"),
        st.sampled_from(["h", "rht", "rht:te"]),
    ),
    "choice": st.one_of(
        st.tuples(
            st.sampled_from(["", ":mse", ":mae", ":absmax", ":fast"]), st.one_of(st.none(), st.integers(1, 999999))
        ).map(lambda p: "4over6" + p[0] + ("" if p[1] is None else f":bound={p[1]}")),
        ABOVE_ZERO.map("max:{}".format),
        st.sampled_from(["max", "minmse", "if4"]),
    ),
    "rounding": st.one_of(
        st.sampled_from(["rn", "rna", "rnz", "rz", "ru", "rd", "sr"]),
        st.tuples(st.integers(1, 32), st.sampled_from(["", ":clip"])).map(lambda p: f"sr:bits={p[0]}{p[1]}"),
    ),
    "correction": st.one_of(
        st.floats(0.5, 1).flatmap(
            lambda q: st.sampled_from([f"occ:{q:.9f}", f"occ:{q:.3f}:row", "occ:row:nocomp", "occ"])
        ),
        ABOVE_ZERO.map("pma:{}".format),
        st.sampled_from(["pma", "mxplus"]),
    ),
    "backward": st.tuples(st.integers(1, 99), DECIMALS).map(lambda p: f"dge:k={p[0]}:cap={p[1]}"),
}
WIDE_STEPS = {  # steps that occupy several kinds
    ("transform", "choice"): st.one_of(
        ABOVE_ZERO.map("quest:mult={}".format), st.integers(1, 256).map("quest:size={}".format)
    ),
    ("transform", "choice", "correction"): st.one_of(
        st.integers(1, 999).map("mseden:s={}".format),
        st.tuples(DECIMALS, st.integers(1, 256)).map(lambda p: f"eden:override={p[0]}:size={p[1]}"),
        st.sampled_from(["eden", "mseden:posthoc", "eden:s=128", "mseden:size=1"]),
    ),
}


@st.composite
def step_texts(draw):
    free, texts = dict(STEP_TEXTS), []
    if draw(st.integers(0, 3)) == 0:
        kinds = draw(st.sampled_from(sorted(WIDE_STEPS)))
        texts.append(draw(WIDE_STEPS[kinds]))
        for kind in kinds:
            del free[kind]
    texts += [draw(step) for step in free.values() if draw(st.booleans())]
    return draw(st.permutations(texts))


@st.composite
def at_parts(draw, block):
    """The @ parts of a scaled format, in any order."""
    pow2 = draw(st.booleans())
    scale = draw(st.sampled_from(["e8m0"] if pow2 else [*FLOAT_SCALES, "bf16", "fp32"]))
    parts = [scale]
    if draw(st.booleans()):
        parts.append(
            draw(st.sampled_from(["floor", "ceil", "rceil", "even", "log2"] if pow2 else ["rn", "up", "down"]))
        )
    if draw(st.booleans()):
        modes = ["ts:none", "ts:given"]
        if scale in FLOAT_SCALES:
            modes += ["ts:tensor", "ts:bound=1", "ts:bound=.5", "ts:tensor:bound=0.75"]
            if block == "row" or block.isdigit():
                modes += ["ts:row", "ts:row:bound=0.00001"]
            if block.isdigit():
                modes += [f"ts:{2 * int(block)}", f"ts:{int(block)}:bound=1.25"]
        parts.append(draw(st.sampled_from(modes).filter(lambda mode: "=." not in mode)))
    if draw(st.booleans()):
        parts.append(draw(st.sampled_from([row.name for row in DIALECTS if not row.cast_only] + ["torchao:onelevel"])))
    return draw(st.permutations(parts))


@st.composite
def spec_texts(draw):
    element = draw(st.sampled_from(["e2m1", "e1m2", "e3m0", "e0m3", "e4m3", "e5m2", "bf16", "fp32"]))
    if draw(st.integers(0, 5)) == 0:
        text = element + draw(st.sampled_from(["", "@te", "@ml_dtypes", "@onnx"]))
    else:
        tiles = st.integers(1, 600).map(lambda n: str(2 * n))
        block = draw(st.one_of(st.sampled_from(["16", "32", "16x16", "row", "tensor", "128x128"]), tiles))
        text = f"{element}/{block}" + "".join("@" + part for part in draw(at_parts(block)))
    text += "".join("+" + step for step in draw(step_texts()))
    return text.upper() if draw(st.booleans()) else text


@settings(max_examples=400, deadline=None)
@given(spec_texts())
def test_every_valid_spec_round_trips(text):
    spec = parse(text)
    assert parse(str(spec)) == spec
    assert parse(spec.short) == spec
    assert str(parse(spec.short)) == str(spec)
    assert len(spec.short) <= len(str(spec))
    assert re.fullmatch(r"[a-z0-9._-]+", spec.slug)
    assert hash(parse(str(spec))) == hash(spec)


@pytest.mark.parametrize(
    "text",
    ["nvfp4+eden:override=0.00001", "nvfp4+quest:mult=0.001", "nvfp4@ts:bound=0.00001", "nvfp4+dge:cap=.000000001"],
)
def test_small_parameters_round_trip(text):
    spec = parse(text)
    assert parse(str(spec)) == spec
    assert parse(spec.short) == spec


def test_slugs_are_distinct_and_safe():
    heads = ["nvfp4", "nvfp4/32", "nvfp4/16x16", "mxfp4", "mxfp4/16", "nvint4", "e1m2/16@ue5m3", "e3m0/row@e4m3"]
    scales = ["", "@ts:given", "@torchao", "@torchao:onelevel", "@torchao:v0.18", "@flashinfer-exact"]
    steps = ["", "+sr", "+sr:bits=8", "+rht", "+rht:16:te", "+h:16", "+4over6", "+4over6:mae", "+4over6:bound=448"]
    steps += ["+quest", "+quest:mult=1", "+mseden:s=128", "+eden", "+occ:0.999", "+occ:row", "+dge", "+rz+dge"]
    specs = {parse("".join(parts)) for parts in itertools.product(heads, scales, steps)}
    assert len(specs) == len(heads) * len(scales) * len(steps)
    slugs = {spec.slug for spec in specs}
    assert len(slugs) == len(specs)
    assert all(re.fullmatch(r"[a-z0-9._-]+", slug) and slug[0] not in ".-" for slug in slugs)


# --- Nothing but a spec or a SpecError --------------------------------------------------------------------------------

TOKENS = ["nvfp4", "mxfp4", "e2m1", "/16", "/16x16", "/row", "@e4m3", "@e8m0", "@ts:", "@ts:row", "@te", "@torchao:"]
TOKENS += [
    "+sr",
    "+sr:bits=",
    "+rht:",
    "+4over6:mae",
    ":",
    "=",
    "@",
    "+",
    "/",
    "8",
    "1e-5",
    "-1",
    "nan",
    "\x00",
    "é",
    ",",
]


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.text(max_size=40), st.lists(st.sampled_from(TOKENS), max_size=7).map("".join)))
def test_any_text_is_a_spec_or_a_spec_error(text):
    try:
        spec = parse(text)
    except SpecError as error:
        message = str(error)
        assert message.isprintable()
        assert re.search(r"fits here: |has a scale but no block; |has a block but no scale; ", message)
        assert repr("".join(text.lower().split())) in message
    else:
        assert parse(str(spec)) == spec
        assert re.fullmatch(r"[a-z0-9._-]+", spec.slug)


# --- What parses but is not built -------------------------------------------------------------------------------------
