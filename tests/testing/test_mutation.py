"""How strong known checks are: the reason for bit equality, in numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import fp4sim
from fp4sim.cli.app import app
from fp4sim.errors import UsageError
from fp4sim.testing import Tolerance, assert_quantized_equal, mutation_score
from fp4sim.testing.changes import codes_of, with_codes
from fp4sim.testing.mutants import MUTANTS
from fp4sim.testing.mutation import default_input

SPECS = ["nvfp4", "mxfp4", "mxfp4@rceil", "nvfp4/16x16", "e2m1/row@fp32", "nvfp4+rht:64", "nvint4", "nvfp4@ts:128"]


def run(*args):
    return CliRunner().invoke(app, ["mutations", *map(str, args)])


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("part", ["output", "dequantized"])
def test_bit_equality_catches_everything(spec, part):
    check = assert_quantized_equal if part == "output" else Tolerance()
    result = mutation_score(check, spec=spec, part=part)
    assert result.accepts_correct
    assert result.missed == ()
    assert result.score == 1.0
    assert len(result.caught) >= 20


def test_a_check_that_accepts_all_scores_nothing():
    result = mutation_score(lambda actual, expected: None)
    assert result.score == 0
    assert result.caught == ()


def test_a_check_that_refuses_all_scores_nothing():
    def refuse(actual, expected):
        raise AssertionError

    result = mutation_score(refuse)
    assert not result.accepts_correct
    assert result.score == 0
    assert "refuses the right output" in str(result)


def test_cosine_passes_half_of_the_faulty_kernels():
    """cosine > 0.97, a common check, on decoded values of ordinary data."""
    result = mutation_score(Tolerance(cosine=0.97), part="dequantized")
    assert {"zeros", "scale.transposed", "codes.nibbles", "scale.nan", "scale.dropped"} <= set(result.caught)
    passes = {"scale.plus_one", "scale.minus_one", "tensor_scale.dropped", "tensor_scale.divisor", "codes.truncated"}
    passes |= {"codes.ties_away", "codes.stochastic", "codes.last_row", "codes.one_wrong", "codes.minus_zero"}
    assert passes <= set(result.missed)
    assert 0.3 < result.score < 0.6


def test_a_loose_tolerance_passes_zeros():
    small = default_input().astype(np.float32) * np.float32(1e-4)
    result = mutation_score(Tolerance(atol=1e-2, rtol=1e-2), x=small, part="dequantized")
    assert "zeros" in result.missed
    assert "codes.sign_flipped" in result.missed


def test_numpys_own_assertion_fits():
    result = mutation_score(np.testing.assert_array_equal, part="dequantized")
    assert set(result.missed) == {"codes.minus_zero"}  # 0 == -0
    assert result.check == "assert_array_equal"


def test_a_gemm_hides_the_sign_of_zero():
    assert mutation_score(Tolerance(), part="product").score == 1.0
    rows = {row.name: row.status for row in mutation_score(Tolerance(), part="product").rows}
    assert rows["codes.minus_zero"] == "no effect"


def test_a_check_that_falls_over_has_noticed():
    def fragile(actual, expected):
        if not np.isfinite(actual).all():
            raise ZeroDivisionError

    result = mutation_score(fragile, part="dequantized")
    assert result.caught == ("scale.nan",)
    assert next(row.detail for row in result.rows if row.name == "scale.nan") == "ZeroDivisionError"


def test_errors_on_the_right_output_are_the_callers():
    def broken(actual, expected):
        raise KeyError("x")

    with pytest.raises(KeyError):
        mutation_score(broken)


def test_what_cannot_be_told_apart_does_not_count():
    result = mutation_score(Tolerance(), x=np.ones((16, 32), np.float32), part="dequantized")
    status = {row.name: row.status for row in result.rows}
    assert status["codes.shifted"] == "no effect"
    assert status["codes.from_bf16"] == "no effect"
    assert result.missed == ()


def test_mutants_make_what_they_say():
    x = default_input().astype(np.float32)
    right = fp4sim.quantize(x, "nvfp4")
    made = {mutant.name: mutant.make(right, x) for mutant in MUTANTS}
    assert len(made) == len(MUTANTS) >= 30
    assert all(output is not None for output in made.values())
    assert not made["zeros"].dequantize().any()
    assert np.array_equal(made["scale.plus_one"].block_scale, np.minimum(right.block_scale + 1, 126))
    assert np.array_equal(made["codes.sign_flipped"].dequantize(), -right.dequantize())
    assert np.array_equal(made["codes.nibbles"].codes[:, ::2], right.codes[:, 1::2])
    assert np.count_nonzero(made["codes.one_wrong"].codes != right.codes) == 1
    assert np.array_equal(made["codes.truncated"].block_scale, right.block_scale)
    assert np.isnan(made["scale.nan"].dequantize()).sum() == 16
    assert np.array_equal(made["scale.swizzled"].block_scale.ravel(), right.swizzled_scale("128x4").ravel())


def test_padding_stays_zero():
    right = fp4sim.quantize(np.ones((4, 40), np.float32), "nvfp4")
    changed = with_codes(right, np.full_like(codes_of(right), 5))
    assert not codes_of(changed)[:, 40:].any()


@pytest.mark.parametrize("bad", [{"atol": -1}, {"cosine": 2}, {"rtol": float("nan")}, {"mismatched": 2}])
def test_tolerances_are_checked(bad):
    with pytest.raises(UsageError):
        Tolerance(**bad)


def test_parts_are_checked():
    with pytest.raises(UsageError, match="part"):
        mutation_score(Tolerance(), part="x")


def test_tolerance():
    a, b = np.array([1.0, 2.0, np.nan]), np.array([1.0, 2.1, np.nan])
    assert Tolerance(atol=0.2)(a, b)
    assert not Tolerance(atol=0.01)(a, b)
    assert Tolerance(atol=0.01, mismatched=0.4)(a, b)
    assert not Tolerance(atol=1)(np.array([np.nan]), np.array([1.0]))
    assert not Tolerance(cosine=0.9)(np.zeros(4), np.ones(4))
    assert Tolerance(rel_error=0.1)(np.full(4, 1.05), np.ones(4))
    assert not Tolerance()(np.array([0.0]), np.array([-0.0]))
    assert str(Tolerance(cosine=0.97)) == "cosine 0.97"
    assert str(Tolerance()) == "bit for bit"


def test_command_gates_ci(tmp_path):
    weak = run("--cosine", "0.97", "--min-score", "0.9")
    assert weak.exit_code == 1
    assert weak.stderr.startswith("fp4sim: mutation score 0.448 is below 0.9")
    assert all(len(line) <= 100 for line in weak.stdout.splitlines())
    strict = run("--min-score", "1", "--json", "-o", tmp_path / "m.json", "-o", tmp_path / "m.txt")
    assert strict.exit_code == 0
    document = json.loads(strict.stdout)
    assert (document["schema"], document["score"], document["missed"]) == ("fp4sim.mutations/1", 1.0, [])
    assert json.loads((tmp_path / "m.json").read_text()) == document
    assert "100 %" in (tmp_path / "m.txt").read_text()


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["--atol", "-1"], 2, "atol"),
        (["--min-score", "2"], 2, "0 to 1"),
        (["--spec", "nope"], 2, "nope"),
        (["missing.npy"], 3, "no such file"),
        (["-o", "x.pdf"], 2, ".json"),
        (["--part", "x"], 2, "--part"),
    ],
)
def test_command_usage(args, code, words):
    result = run(*args)
    assert result.exit_code == code, result.stdout
    assert result.stderr.count("\n") == 1
    assert words in result.stderr


def test_command_on_a_file(tmp_path):
    np.save(tmp_path / "x.npy", default_input().astype(np.float32))
    result = run(tmp_path / "x.npy", "--spec", "mxfp4", "--rel-error", "0.1")
    assert result.exit_code == 0, result.stderr
    assert "mxfp4, rel_error 0.1" in result.stdout
    np.save(tmp_path / "i.npy", np.arange(6))
    assert run(tmp_path / "i.npy").exit_code == 5


def test_verify_has_mutations_too(tmp_path):
    def verify(*args):
        return CliRunner().invoke(app, ["verify", *map(str, args)])

    gated = verify("--spec", "nvfp4", "--mutations", "--cosine", "0.97", "--min-score", "0.9")
    assert gated.exit_code == 1
    assert "45 %" in gated.stdout
    x = default_input().astype(np.float32)
    np.savez(tmp_path / "dump.npz", x=x, codes=fp4sim.quantize(x, "nvfp4").packed)
    result = verify(tmp_path / "dump.npz", "--spec", "nvfp4", "--mutations", "--json")
    assert json.loads(result.stdout)["score"] == 1.0
    for args in (["--atol", "1", tmp_path / "dump.npz"], []):
        refused = verify("--spec", "nvfp4", *args)
        assert refused.exit_code == 2
        assert refused.stderr.count("\n") == 1


def test_verify_writes_junit(tmp_path):
    import xml.etree.ElementTree as ET

    x = default_input().astype(np.float32)
    np.savez(tmp_path / "d.npz", **{"<a&b>.x": x, "<a&b>.codes": fp4sim.quantize(x, "nvfp4").packed ^ 1})
    words = ["verify", str(tmp_path / "d.npz"), "--spec", "nvfp4", "--junit", str(tmp_path / "j.xml")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1, result.stderr
    assert ET.parse(tmp_path / "j.xml").find(".//testcase").get("name") == "<a&b>"
    assert CliRunner().invoke(app, [*words[:-1], str(tmp_path / "j.txt")]).exit_code == 2
