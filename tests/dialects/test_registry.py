"""Names, modules and conventions agree; libraries say what they do not have."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

import fp4sim
from fp4sim import dialects
from fp4sim.dialects.registry import available, dialect_named
from fp4sim.errors import UsageError
from fp4sim.spec_names import DIALECT_ROWS, DIALECTS

SHARED = {"__init__", "base", "dialect", "mx", "operations", "registry", "target"}


def test_names_and_modules_agree():
    modules = {path.stem for path in Path(dialects.__file__).parent.glob("*.py")} - SHARED
    assert modules == {name.replace("-", "_") for name in available()}
    assert set(available()) == {row.name for row in DIALECTS if row.available} == set(DIALECT_ROWS)


@pytest.mark.parametrize("name", available())
def test_a_dialect_has_a_complete_convention(name):
    dialect = dialect_named(name)
    assert dialect.name == name
    for key, value in asdict(dialect.convention).items():
        assert value or key == "notes", key
    assert "fp4sim" not in dialect.convention.source


@pytest.mark.parametrize("row", DIALECTS, ids=lambda row: row.name)
def test_flags_have_variants(row):
    for flag in row.flags:
        assert dialect_named(row.name, (flag,)) != dialect_named(row.name)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mxfp4@vllm-cuda@floor", "the rule even alone"),
        ("nvfp4@ms-amp", "power-of-two scales alone"),
        ("nvfp4@llamacpp@ts:tensor", "no tensor scale"),
        ("nvfp4@torchao:onelevel@ts:row", "no tensor scale"),
        ("mxfp4@torchao@log2", "the rule floor ceil even rceil alone"),
    ],
)
def test_what_a_library_does_not_have(text, says):
    with pytest.raises(UsageError, match=says):
        fp4sim.quantize(np.ones((1, 32), np.float32), text)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("mxfp4@modelopt", "mxfp4@rceil@modelopt"),
        ("mxfp4@vllm-torch", "mxfp4@even@vllm-torch"),
        ("nvfp4@llamacpp", "nvfp4@ts:none@llamacpp"),
        ("mxfp4@torchao", "mxfp4@floor@torchao"),
    ],
)
def test_a_library_brings_its_own_rule(text, meaning):
    assert fp4sim.parse(text) == fp4sim.parse(meaning)
    assert fp4sim.parse(fp4sim.parse(text).short) == fp4sim.parse(text)


@pytest.mark.parametrize("name", [row.name for row in DIALECTS if not row.cast_only])
def test_zero_tensors_and_measures_do_not_fail(name):
    head = "nvfp4" if DIALECT_ROWS[name].float_scales else "mxfp4"
    for text in (f"{head}@{name}", f"mxfp4@{name}"):
        fp4sim.quantize(np.zeros((4, 64), np.float32), text)
        fp4sim.compare(np.zeros((4, 64), np.float32), text)
        fp4sim.compare(np.ones((4, 64), np.float32), text)


def test_vllm_cuda_rounds_the_largest_exponents_in_integers():
    packed = fp4sim.quantize(np.full((1, 32), 3.3e38, np.float32), "mxfp4@vllm-cuda")
    assert packed.block_scale.tolist() == [[253]]
