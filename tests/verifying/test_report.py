"""What ``fp4sim verify`` prints and writes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from rich.cells import cell_len

import fp4sim
from fp4sim.io.writer import write_safetensors
from tests.cli.conftest import *  # noqa: F403  the fixtures run and run_json
from tests.verifying.bugs import truncated_scale
from tests.verifying.inputs import many_amax
from tests.verifying.kernel import NV


@pytest.fixture
def bad(tmp_path):
    arrays = replace(NV, scale=truncated_scale)(many_amax(31))
    path = tmp_path / "bad \x1b[31m.safetensors"
    write_safetensors(path, {f"a\x1b[31m|b.{key}": np.asarray(array) for key, array in arrays.items()})
    return path


@pytest.mark.parametrize("columns", [60, 100])
def test_failure(run, bad, columns):
    result = run("verify", bad, "--spec", "nvfp4", "--identify", env={"COLUMNS": str(columns)})
    assert result.exit_code == 1
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[1].startswith("Mismatched elements: ")
    assert lines[2].startswith("Greatest absolute difference: ")
    assert columns < 100 or " at index (" in lines[2]
    assert columns < 100 or lines[3].startswith("Greatest relative difference: ")
    text = " ".join(result.stdout.split())
    assert "one step low and every code follows: the scale was truncated, not rounded" in text
    assert "\x1b" not in result.stdout
    assert max(cell_len(line) for line in lines if not line.startswith("REPRO")) <= columns
    assert lines[-1].startswith("REPRO: fp4sim verify ")


def test_success_says_what_was_compared(run, tmp_path):
    arrays = {f"{i}.{key}": np.asarray(array) for i in range(2) for key, array in NV(many_amax(i)).items()}
    write_safetensors(tmp_path / "ok.safetensors", arrays)
    result = run("verify", tmp_path / "ok.safetensors", "--spec", "nvfp4")
    assert result.exit_code == 0
    assert "2 cases" in result.stdout
    assert "65,536 codes, 4,096 scales and 2 tensor scales" in result.stdout


def test_files(run, bad, tmp_path):
    outputs = [tmp_path / "r.json", tmp_path / "r.md", tmp_path / "more.txt"]
    args = ["-o", outputs[0], "-o", outputs[1], "--markdown", outputs[2]]
    assert run("verify", bad, "--spec", "nvfp4", *args).exit_code == 1
    data = json.loads(outputs[0].read_text())
    assert data["ok"] is False
    finding = data["cases"][0]["findings"][0]
    assert (finding["cause"], finding["explained"]) == ("scale.truncated", finding["mismatches"])
    assert data["cases"][0]["scale_deltas"] == {"-1": finding["mismatches"]}
    assert outputs[1].read_text() == outputs[2].read_text()
    assert "`scale.truncated`" in outputs[1].read_text()
    assert "\x1b" not in outputs[1].read_text()


def test_json_is_strict_even_with_nan(run, tmp_path):
    x = np.array(many_amax(3)).astype(np.float32)
    x[1, 5] = np.nan
    codes = fp4sim.quantize(x, "nvfp4", nonfinite="propagate").packed ^ np.uint8(1)
    write_safetensors(tmp_path / "n.safetensors", {"x": x, "codes": codes})

    def refuse(constant):
        raise AssertionError(constant)

    result = run("verify", tmp_path / "n.safetensors", "--spec", "nvfp4", "--json")
    assert result.exit_code == 1
    json.loads(result.stdout, parse_constant=refuse)


def test_the_function_is_not_shadowed():
    import fp4sim.verifying

    assert callable(fp4sim.verify)
    assert "verify" in dir(fp4sim)
