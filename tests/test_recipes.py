"""The recipes as data: every one has a meaning, and those without one are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fp4sim.errors import SpecError, UsageError
from fp4sim.grammar import parse
from fp4sim.recipes.model import GEMMS, Backward, Operand, Recipe, check_recipe
from fp4sim.recipes.registry import recipe, recipes

NAMES = [one.name for one in recipes()]
WANTED = {
    "bf16",
    "nvidia",
    "nvidia:quartet2",
    "nvidia:4over6",
    "quartet",
    "quartet:sr",
    "quartet2",
    "quartet2:no46",
    "quartet2:posthoc",
    "quartet2:s128",
    "tetrajet",
    "tetrajet2",
    "fp4-all-the-way",
    "tseng",
    "microsoft",
    "microsoft:released",
}


def test_names_are_the_documented_ones_and_unique() -> None:
    assert set(NAMES) == WANTED
    assert len(NAMES) == len(WANTED)


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_has_a_meaning_a_source_and_specs_that_parse(name: str) -> None:
    one = recipe(name)
    check_recipe(one)
    assert one.source
    assert one.title
    for gemm in GEMMS:
        for operand in one.operands(gemm):
            spec = operand.parsed
            assert (spec is None) == (operand.spec == "")
            assert spec is None or parse(str(spec)) == spec


def test_names_are_folded() -> None:
    assert recipe(" Quartet2 ") is recipe("quartet2")


@pytest.mark.parametrize(
    ("name", "expected"), [("nvida", "nvidia"), ("quartet3", "quartet2"), ("tetra-jet", "tetrajet")]
)
def test_an_unknown_name_says_what_is_close(name: str, expected: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean.*{expected}"):
        recipe(name)


def test_an_unknown_name_like_no_other_lists_all() -> None:
    with pytest.raises(UsageError, match=r"unknown recipe 'zzz'; there is: bf16 nvidia .* microsoft:released$"):
        recipe("zzz")


def test_streams_are_of_the_product_and_tensor_unless_named() -> None:
    one = recipe("quartet2")
    names = [one.stream(gemm, operand) for gemm in GEMMS for operand in one.operands(gemm)]
    assert names == ["fprop.x", "fprop.w", "dgrad.dy", "dgrad.w", "wgrad.dy", "wgrad.x"]
    shared = recipe("microsoft")
    assert shared.stream("dgrad", shared.dgrad[0]) == shared.stream("wgrad", shared.wgrad[0])


def broken() -> dict[str, tuple[Recipe, str]]:
    base, quartet = recipe("bf16"), recipe("quartet")
    x, w = base.fprop
    dy = base.dgrad[0]
    random = Operand("x", "nvfp4+rht:16"), Operand("w", "nvfp4+rht:16")
    mixed = Operand("x", "mxfp4+quest"), Operand("w", "mxfp4+quest:size=64")
    across = Operand("x", "mxfp4+quest", axis=0), Operand("w", "mxfp4+quest", axis=0)
    return {
        "order": (replace(base, dgrad=(w, dy)), "dgrad multiplies dy and w"),
        "axis": (replace(base, fprop=(replace(x, axis=2), w)), "axis 2"),
        "forward source": (replace(base, fprop=(replace(x, source="dequantized"), w)), "no forward quantization"),
        "gradient source": (replace(base, wgrad=(replace(dy, source="dequantized"), x)), "no forward quantization"),
        "not rotated": (replace(base, dgrad=(dy, replace(w, source="rotated"))), "one fixed rotation"),
        "random rotation": (replace(quartet, fprop=random), "one fixed rotation"),
        "two rotations": (replace(quartet, fprop=mixed), "one fixed rotation"),
        "rotation across": (replace(quartet, fprop=across), "along the inner dimension"),
        "mask without rotation": (replace(base, backward=Backward("trust mask")), "rotated domain"),
        "dge without scales": (replace(base, backward=Backward("dge")), "dge needs"),
        "dge under a rotation": (replace(quartet, backward=Backward("dge")), "dge needs"),
    }


@pytest.mark.parametrize("case", broken())
def test_a_recipe_without_a_meaning_is_refused_by_name(case: str) -> None:
    one, reason = broken()[case]
    with pytest.raises(UsageError, match=f"recipe {one.name}: .*{reason}"):
        check_recipe(one)


def test_a_spec_that_does_not_parse_is_a_spec_error() -> None:
    base = recipe("bf16")
    with pytest.raises(SpecError, match="nvfp5"):
        check_recipe(replace(base, fprop=(Operand("x", "nvfp5"), base.fprop[1])))
