"""``fp4sim compare``."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from rich.cells import cell_len

import fp4sim
from tests.documents import without_run


def test_json_is_what_the_library_says(run_json, checkpoint, arrays):
    data = run_json("compare", checkpoint, "--json", "-f", "nvfp4", "-f", "mxfp4@rceil")
    assert data["schema"] == "fp4sim.compare/1"
    assert [info["short"] for info in data["formats"]] == ["nvfp4", "mxfp4@rceil"]
    assert {one["name"] for one in data["skipped"]} == {"norm", "ids"}
    direct = fp4sim.compare({name: arrays[name] for name in ("w.bf16", "w.fp32")}, "nvfp4,mxfp4@rceil").to_dict()
    found = {tensor["name"]: tensor["results"] for tensor in data["tensors"]}
    assert set(found) == {"w.bf16", "w.fp32"}
    for tensor in direct["tensors"]:
        assert found[tensor["name"]] == tensor["results"]


def test_json_of_undefined_numbers(run_json, tmp_path):
    np.save(tmp_path / "zeros.npy", np.zeros((4, 32), np.float32))
    metrics = run_json("compare", tmp_path / "zeros.npy", "--json")["totals"][0]["metrics"]
    assert metrics["snr_db"] is None
    assert metrics["undefined"]["snr_db"]


@pytest.mark.parametrize("columns", [80, 100])
def test_table_fits_columns(run, checkpoint, columns):
    result = run("compare", checkpoint, "--verbose", env={"COLUMNS": str(columns)})
    assert result.exit_code == 0
    assert result.stderr == ""
    assert max(map(cell_len, result.stdout.splitlines())) <= columns
    assert "Skipped 2 tensors" in result.stdout
    assert "nvfp4 = e2m1/16@e4m3@rn@ts:tensor, 4.5 bits per element" in result.stdout
    assert not any(line.endswith(" ") for line in result.stdout.splitlines())


@pytest.mark.parametrize("columns", ["0", "x", "1", "99999999999", "-5"])
def test_odd_columns_do_not_break(run, columns):
    assert run("compare", "synthetic:ties", env={"COLUMNS": columns}).exit_code == 0


def test_the_suite_is_the_default(run_json):
    data = run_json("compare", "--json", "--include", "*t*")
    assert data["sources"] == ["synthetic"]
    assert [tensor["name"] for tensor in data["tensors"]] == ["student-t", "outlier-channels"]
    assert [info["short"] for info in data["formats"]] == ["nvfp4", "mxfp4"]


def test_include_exclude_axis_seed(run_json, checkpoint):
    args = ["compare", checkpoint, "--json", "-f", "mxfp4+sr"]
    data = run_json(*args, "--include", "w.*", "--exclude", "*bf16", "--axis", "0", "--seed", "3")
    assert [tensor["name"] for tensor in data["tensors"]] == ["w.fp32"]
    assert data["settings"] == {"axis": 0, "seed": 3, "nonfinite": "error"}


def test_threads_change_nothing(run, checkpoint):
    one, two = (without_run(run("compare", checkpoint, "--json", "--threads", n).stdout) for n in (1, 2))
    assert one == two


def test_dtype_reads_raw_integers(run_json, tmp_path, arrays):
    np.save(tmp_path / "raw.npy", arrays["w.bf16"].view(np.uint16))
    data = run_json("compare", tmp_path / "raw.npy", "--dtype", "bfloat16", "--json")
    assert data["tensors"][0]["dtype"] == "bfloat16"


def test_nonfinite(run, tmp_path):
    x = np.ones((2, 32), np.float32)
    x[1, 3] = np.inf
    np.save(tmp_path / "x.npy", x)
    result = run("compare", tmp_path / "x.npy")
    assert result.exit_code == 3
    assert "(1, 3)" in result.stderr or "[1, 3]" in result.stderr
    assert "1 element not finite" in run("compare", tmp_path / "x.npy", "--nonfinite", "ignore").stdout
    assert run("compare", tmp_path / "x.npy", "--nonfinite", "propagate").exit_code == 0


def test_output_files(run, checkpoint, tmp_path):
    outputs = [tmp_path / f"report{suffix}" for suffix in (".json", ".md", ".csv")]
    result = run("compare", checkpoint, *(item for path in outputs for item in ("-o", path)))
    assert result.exit_code == 0
    assert json.loads(outputs[0].read_text())["schema"] == "fp4sim.compare/1"
    assert outputs[1].read_text().startswith("### Error of `nvfp4`, `mxfp4`")
    with open(outputs[2], newline="") as file:
        assert len(list(csv.DictReader(file))) == 6


def test_a_source_is_not_overwritten(run, tmp_path):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text("{}")
    result = run("compare", index, "-o", index)
    assert result.exit_code == 2
    assert index.read_text() == "{}"


def test_top_and_sort(run, checkpoint):
    worst = run("compare", checkpoint, "--top", 1, "--sort", "max_error").stdout
    assert "1 more tensors are not shown" in worst
    assert "not shown" not in run("compare", checkpoint, "--top", 0).stdout


@pytest.mark.parametrize(
    ("rule", "code"),
    [("snr_db<1", 0), ("snr_db > 1", 1), ("rel_mse>1e-9", 1), ("flushed>0.9", 0), ("mean_error<-1", 0)],
)
def test_fail_on(run, checkpoint, rule, code):
    result = run("compare", checkpoint, "--fail-on", rule, "--fail-on", "snr_db<0")
    assert result.exit_code == code
    assert result.stderr.count("fp4sim: failed: ") == 2 * code
    assert "2 tensors" in result.stdout


def test_fail_on_undefined(run, tmp_path):
    np.save(tmp_path / "exact.npy", np.full((2, 32), 6, np.float32))
    assert run("compare", tmp_path / "exact.npy", "-f", "mxfp4", "--fail-on", "snr_db<15").exit_code == 0
    infinite = run("compare", tmp_path / "exact.npy", "-f", "mxfp4", "--fail-on", "snr_db>15")
    assert (infinite.exit_code, infinite.stderr.split(" over")[0]) == (1, "fp4sim: failed: mxfp4: snr_db inf > 15")
    x = np.ones((2, 32), np.float32)
    x[0, 0] = np.nan
    np.save(tmp_path / "nan.npy", x)
    args = ["compare", tmp_path / "nan.npy", "-f", "mxfp4", "--nonfinite", "propagate", "--fail-on", "snr_db<15"]
    result = run(*args)
    assert result.exit_code == 1
    assert "snr_db is undefined (not finite" in result.stderr


def test_json_leaves_stdout_alone_when_a_gate_fails(run, checkpoint):
    result = run("compare", checkpoint, "--json", "--fail-on", "snr_db<99")
    assert result.exit_code == 1
    json.loads(result.stdout)
