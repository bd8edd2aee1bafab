"""``fp4sim dialects`` and ``fp4sim diff``."""

import json

import ml_dtypes
import numpy as np
import pytest

import fp4sim
from fp4sim.commands.diff import DiffSettings, diff_sources
from fp4sim.dialects.registry import available
from fp4sim.io.source import ArrayTensor, ListSource


def bf16(seed=0, count=24, shape=(64, 128)):
    rng = np.random.default_rng(seed)
    return {
        f"t{i}": (rng.standard_normal(shape) * rng.uniform(0.1, 9)).astype(ml_dtypes.bfloat16) for i in range(count)
    }


def diff(tensors, a, b, **settings):
    source = ListSource("arrays", [ArrayTensor(name, x) for name, x in tensors.items()])
    return diff_sources([(source, source.tensors())], fp4sim.parse(a), fp4sim.parse(b), DiffSettings(**settings))


def test_dialects_are_listed_and_shown(run, run_json):
    assert {row["name"] for row in run_json("dialects", "--json")["dialects"]} == set(available())
    for name in available():
        (row,) = run_json("dialects", "show", name, "--json")["dialects"]
        assert row["convention"]["expression"]


@pytest.mark.parametrize("words", [["show"], ["te"], ["show", "nobody"], ["show", "te", "torchao"]])
def test_wrong_words(run, words):
    assert run("dialects", *words).exit_code == 2


def test_a_variant_is_shown_with_its_dialect(run, run_json):
    (row,) = run_json("dialects", "show", "@FlashInfer:v0.7.4", "--json")["dialects"]
    assert (row["name"], row["flags"]) == ("flashinfer", ["v0.7.4"])
    wrong = run("dialects", "show", "flashinfer:v0.7.2")
    assert wrong.exit_code == 2
    assert "flashinfer has no variant 'v0.7.2': there is v0.7.4" in " ".join(wrong.stderr.split())


def test_diff_counts_what_quantize_gives():
    tensors = bf16(count=3)
    result = diff(tensors, "nvfp4", "nvfp4@compressed-tensors")
    for row in result.tensors:
        one, other = (fp4sim.quantize(tensors[row.name], spec) for spec in ("nvfp4", "nvfp4@compressed-tensors"))
        assert row.codes.differing == (one.codes != other.codes).sum()
        assert row.scales.differing == (one.block_scale != other.block_scale).sum()
        assert row.values.differing == (one.dequantize() != other.dequantize()).sum()
        for example in row.examples:
            assert example.x == float(tensors[row.name][example.index])
            assert (example.code_a, example.code_b) == (one.codes[example.index], other.codes[example.index])
            assert example.scale_a == one.block_scale[example.index[0], example.index[1] // 16]


@pytest.mark.parametrize(
    ("a", "b", "causes"),
    [
        ("nvfp4@vllm-torch", "nvfp4@vllm-triton", {"scaling of elements"}),
        ("mxfp4", "mxfp4@rceil", {"scale rule"}),
        ("nvfp4", "nvfp4+rnz", {"steps"}),
        ("nvfp4", "nvfp4@ts:none", {"tensor scale"}),
        ("nvfp4@quartet2", "nvfp4+rna", {"tensor factor", "scale arithmetic", "scaling of elements"}),
        ("nvfp4@torchao", "nvfp4@torchao:onelevel", {"levels"}),
        ("nvfp4@vllm-cuda", "nvfp4@qutlass", set()),
    ],
)
def test_the_cause_is_found(a, b, causes):
    result = diff(bf16(), a, b)
    assert set(result.causes) >= causes if a.endswith("quartet2") else set(result.causes) == causes
    assert bool(result.codes.differing or result.scales.differing) == bool(causes)
    assert all(name in result.sentence for name in causes)


def test_zero_blocks_are_told_apart_by_their_policy():
    x = np.zeros((4, 64), np.float32)
    x[0] = 1
    result = diff({"x": x}, "nvfp4@fouroversix", "nvfp4@quartet2")
    assert result.causes == ("zero policy",)


def test_ties_are_a_cause():
    x = np.tile(np.array([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5, 6] * 2, ml_dtypes.bfloat16), (4, 4))
    assert diff({"x": x}, "nvfp4", "nvfp4@quartet2").causes == ("ties",)


def test_diff_on_the_command_line(run, tmp_path):
    np.savez(tmp_path / "x.npz", **{name: x.view(np.uint16) for name, x in bf16(count=8).items()})
    args = ("diff", str(tmp_path / "x.npz"), "--dtype", "bfloat16", "--a", "nvfp4", "--b", "nvfp4@torchao")
    shown = run(*args)
    assert shown.exit_code == 0
    assert "every difference comes from" in " ".join(shown.stdout.split())
    assert run(*args, "--exit-code").exit_code == 1
    assert run("diff", str(tmp_path / "x.npz"), "--dtype", "bfloat16", "--b", "nvfp4", "--exit-code").exit_code == 0
    data = json.loads(run(*args, "--json").stdout)
    assert data["codes"]["rate"] == data["codes"]["differing"] / data["codes"]["total"]
    assert data["tried"]


@pytest.mark.parametrize(("a", "b"), [("nvfp4", "mxfp4"), ("nvfp4", "nvfp4+rht"), ("nvfp4", "e1m2/16@e4m3")])
def test_specs_without_common_blocks(run, a, b):
    assert run("diff", "synthetic:gaussian", "--a", a, "--b", b).exit_code == 2
