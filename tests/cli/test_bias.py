"""``fp4sim bias``."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.cells import cell_len

import fp4sim
from tests.documents import without_run

SMALL = ("bias", "synthetic:gaussian:16x128", "--draws", 32)
LAYER = ("bias", "--recipe", "nvidia,quartet2", "--draws", 16)


@pytest.fixture
def layer(tmp_path):
    """Files of a layer of 128 tokens, inputs and outputs."""
    rng = np.random.default_rng(5)
    paths = [tmp_path / f"{name}.npy" for name in ("x", "w", "dy")]
    for path in paths:
        np.save(path, rng.standard_normal((128, 128)).astype(np.float32))
    return paths


def test_defaults(run_json):
    data = run_json("bias", "--draws", 16, "--json")
    assert data["schema"] == "fp4sim.bias/1"
    assert list(data)[:3] == ["schema", "BITS_VERSION", "version"]
    assert data["sources"] == ["synthetic:gaussian:128x512"]
    assert [info["short"] for info in data["estimators"]] == ["nvfp4", "nvfp4+sr", "nvfp4+mseden"]
    assert data["settings"] == {"draws": 16, "axis": -1, "seed": 0, "elements": 1 << 20, "margin": 1e-4}


def test_verdicts(run_json):
    args = ("bias", "synthetic:gaussian:64x256", "-e", "nvfp4,nvfp4+sr", "-e", "nvfp4+mseden,nvfp4+4over6+sr")
    data = run_json(*args, "--draws", 256, "--margin", "0.01", "--json")
    verdicts = [row["verdict"] for row in data["tensors"][0]["results"]]
    assert verdicts == ["biased", "unbiased", "unbiased", "biased"]


def test_json_is_what_the_library_says(run_json, checkpoint, arrays):
    data = run_json("bias", checkpoint, "-e", "nvfp4+sr", "--draws", 20, "--seed", 3, "--json")
    assert {one["name"] for one in data["skipped"]} == {"norm", "ids"}
    named = {name: arrays[name] for name in ("w.bf16", "w.fp32")}
    direct = json.loads(json.dumps(fp4sim.bias(named, "nvfp4+sr", draws=20, seed=3).to_dict()))
    found = {tensor["name"]: tensor["results"] for tensor in data["tensors"]}
    assert found == {tensor["name"]: tensor["results"] for tensor in direct["tensors"]}


def test_library_takes_one_axis_and_sources():
    x = np.random.default_rng(0).standard_normal(128).astype(np.float32)
    assert fp4sim.bias(x, "nvfp4", draws=2, axis=0).tensors[0].shape == (1, 128)
    assert fp4sim.bias("synthetic:gaussian:4x64", ["nvfp4"], draws=2).tensors[0].name == "gaussian"
    with pytest.raises(ValueError, match="draws"):
        fp4sim.bias(x, draws=2.5)


def test_threads_change_nothing_and_seeds_do(run):
    one, two = (without_run(run(*SMALL, "--json", "--threads", n).stdout) for n in (1, 2))
    again, other = (without_run(run(*SMALL, "--json", "--seed", seed).stdout) for seed in (0, 1))
    assert one == two == again
    assert other["tensors"][0]["results"][1] != again["tensors"][0]["results"][1]
    # nothing random: only the recorded seed differs
    assert other["tensors"][0]["results"][0] == again["tensors"][0]["results"][0]


def test_sampling_is_told(run_json):
    data = run_json("bias", "synthetic:gaussian:256x64", "-e", "nvfp4", "--draws", 2, "--elements", 2048, "--json")
    tensor = data["tensors"][0]
    assert (tensor["elements"], tensor["measured_elements"]) == (16384, 2048)
    assert "32 of 256 rows" in tensor["notes"][0]
    whole = run_json("bias", "synthetic:gaussian:8x512", "-e", "nvfp4", "--draws", 2, "--elements", 64, "--json")
    assert (whole["tensors"][0]["measured_elements"], whole["tensors"][0]["notes"]) == (4096, [])


@pytest.mark.parametrize("columns", [60, 80, 100])
def test_table_fits_columns(run, columns, checkpoint):
    args = ("bias", checkpoint, "synthetic:exponent-sweep", "-e", "nvfp4,nvfp4+4over6+sr,mxfp4@rceil+sr:bits=8")
    result = run(*args, "--draws", 64, "--verbose", env={"COLUMNS": str(columns)})
    assert (result.exit_code, result.stderr) == (0, "")
    assert max(map(cell_len, result.stdout.splitlines())) <= columns
    assert "Skipped 2 tensors" in result.stdout
    assert not any(line.endswith(" ") for line in result.stdout.splitlines())


def test_table_says_what_it_means(run):
    text = " ".join(run(*SMALL, "-e", "nvfp4,nvfp4+sr", "--margin", 0.5).stdout.split())
    assert "nvfp4: biased" not in text
    assert text.count("unbiased to margin: the relative bias is at most") == 2
    text = " ".join(run(*SMALL, "-e", "nvfp4,nvfp4+sr").stdout.split())
    assert "nvfp4: biased: the relative bias is" in text
    assert "every draw is the same" in text
    assert "draws would decide" in text
    assert "stochastic, 32 random bits an element" in text
    assert "one draw" not in text


def test_verbose_shows_concentration_and_random_bits(run):
    args = (*SMALL, "-e", "nvfp4+sr:bits=4,nvfp4+mseden", "--draws", 64)
    assert "random bits" not in run(*args).stdout.split("nvfp4+sr:bits=4 = ")[0].split("\n\n")[-2]
    text = run(*args, "--verbose").stdout
    assert "Error of the mean of N draws" in text
    assert "p = " in text
    assert " at 4 random bits" in text


def test_random_bits_are_found(run_json):
    data = run_json("bias", "synthetic:gaussian:64x512", "-e", "nvfp4+sr:bits=3,nvfp4+sr,nvfp4+4over6+sr", "--json")
    few, many, choice = (row["rounding"] for row in data["tensors"][0]["results"])
    assert few["compatible_bits"] == [3]
    assert few["p_value"] > 1e-3
    assert 32 in many["compatible_bits"]
    assert 3 not in many["compatible_bits"]
    assert choice is None


def test_zones(run):
    plain = run(*SMALL).stdout
    assert "zone" not in plain
    zones = run("bias", "synthetic:exponent-sweep", "-e", "nvfp4", "--draws", 16).stdout
    assert "By the block's scale" in zones
    for name in ("normal", "subnormal", "zero"):
        assert f" {name} " in zones


def test_output_files(run, tmp_path):
    outputs = [tmp_path / f"report{suffix}" for suffix in (".json", ".md", ".csv")]
    result = run(*SMALL, *(item for path in outputs for item in ("-o", path)))
    assert result.exit_code == 0
    assert json.loads(outputs[0].read_text())["schema"] == "fp4sim.bias/1"
    assert outputs[1].read_text().startswith("### Bias of `nvfp4`, `nvfp4+sr`")
    with open(outputs[2], newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["estimator"] for row in rows] == ["nvfp4", "nvfp4+sr", "nvfp4+mseden"]
    assert rows[0]["verdict"] == "biased"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.csv", "report.json", "report.md"]


STARTS = {".png": b"\x89PNG\r\n\x1a\n", ".svg": b"<?xml", ".pdf": b"%PDF-"}


@pytest.mark.parametrize(
    ("option", "suffix"),
    [
        ("--plot", ".svg"),
        ("--plot", ".pdf"),
        ("--curve", ".svg"),
        ("--curve", ".png"),
        pytest.param("--plot", ".png", marks=pytest.mark.slow),
        pytest.param("--curve", ".pdf", marks=pytest.mark.slow),
    ],
)
def test_figures_are_whole_and_the_same_twice(run, tmp_path, option, suffix):
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    for path in (first, second):
        result = run(*SMALL, option, path)
        assert (result.exit_code, result.stderr) == (0, "")
    assert first.read_bytes().startswith(STARTS[suffix])
    assert first.read_bytes() == second.read_bytes()
    if suffix == ".svg":
        assert ElementTree.fromstring(first.read_bytes()).tag.endswith("svg")


def test_fail_on(run):
    assert run(*SMALL, "-e", "nvfp4+sr", "--fail-on", "biased").exit_code == 0
    result = run(*SMALL, "-e", "nvfp4,nvfp4+sr", "--fail-on", "biased", "--json")
    assert result.exit_code == 1
    assert result.stderr.startswith("fp4sim: failed: nvfp4: biased on 1 tensor; ")
    assert len(result.stderr.splitlines()) == 1
    assert json.loads(result.stdout)["schema"] == "fp4sim.bias/1"
    both = run(*SMALL, "-e", "nvfp4,nvfp4+sr", "--fail-on", "biased", "--fail-on", "undecided")
    assert (both.exit_code, len(both.stderr.splitlines())) == (1, 2)


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["--draws", 1], 2, "at least 2"),
        (["--draws", "many"], 2, "draws"),
        (["--margin", 0], 2, "margin"),
        (["--margin", "nan"], 2, "margin"),
        (["--elements", 0], 2, "elements"),
        (["-e", "nvfp5"], 2, "nvfp5"),
        (["-e", "nvfp4+rht:48"], 2, "48"),
        (["--fail-on", "sad"], 2, "sad"),
        (["-o", "x.pdf"], 2, ".html .md .json .csv .xml .txt"),
        (["--plot", "x.gif"], 2, ".png .svg .pdf"),
        (["--curve", "nowhere/x.png"], 2, "folder does not exist"),
        (["--include", "nothing"], 5, "nothing"),
        (["--recipe", "nvidia"], 2, "SOURCE"),
        (["missing.npy"], 3, "missing.npy"),
    ],
)
def test_errors_are_one_line(run, args, code, says):
    result = run(*SMALL, *args)
    assert result.exit_code == code
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


def test_nonfinite_and_nothing(run, tmp_path):
    x = np.ones((2, 32), np.float32)
    x[1, 3] = np.nan
    np.save(tmp_path / "nan.npy", x)
    result = run("bias", tmp_path / "nan.npy", "--draws", 4, "-e", "nvfp4+sr")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "where there is the option, choose nonfinite=" in result.stderr  # bias has none
    assert "nan.npy: " not in result.stderr  # there is one alone
    np.save(tmp_path / "right.npy", np.ones((2, 32), np.float32))
    for command in (("bias", "--draws", 4, "-e", "nvfp4+sr"), ("compare", "-f", "nvfp4")):
        result = run(command[0], tmp_path / "right.npy", tmp_path / "nan.npy", *command[1:])
        assert (result.exit_code, result.stdout) == (3, "")
        assert "nan.npy: tensor 'nan' holds nan at [1, 3]" in " ".join(result.stderr.split())
    np.save(tmp_path / "ids.npy", np.arange(6).reshape(2, 3))
    result = run("bias", tmp_path / "ids.npy", "--json")
    assert (result.exit_code, result.stdout) == (5, "")


def test_a_source_is_not_overwritten(run, tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(b"mine")
    result = run("bias", path, "--plot", path)
    assert result.exit_code == 2
    assert path.read_bytes() == b"mine"


def test_zeros_have_no_verdict(run_json, run, tmp_path):
    np.save(tmp_path / "zeros.npy", np.zeros((4, 128), np.float32))
    row = run_json("bias", tmp_path / "zeros.npy", "--draws", 16, "--json")["tensors"][0]["results"][1]
    assert (row["verdict"], row["mse"], row["undefined"]["mse"]) == ("undecided", None, "x is all zero")
    result = run("bias", tmp_path / "zeros.npy", "--draws", 16, "--plot", tmp_path / "z.png")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "x is all zero" in result.stdout


def test_layer(run, run_json, layer, tmp_path):
    outputs = [tmp_path / f"layer{suffix}" for suffix in (".json", ".md", ".csv", ".svg")]
    files = (item for path in outputs[:3] for item in ("-o", path))
    result = run(*LAYER, "--layer", *layer, *files, "--plot", outputs[3], env={"COLUMNS": "100"})
    assert (result.exit_code, result.stderr) == (0, "")
    assert max(map(cell_len, result.stdout.splitlines())) <= 100
    for word in ("nvidia", "quartet2", "dX", "dW", "q. forward", "biased"):
        assert word in result.stdout
    data = without_run(outputs[0].read_text())
    assert data == without_run(run(*LAYER, "--layer", *layer, "--json", "--threads", 1).stdout)
    assert list(data)[:3] == ["schema", "BITS_VERSION", "version"]
    assert data["schema"] == "fp4sim.layer/1"
    assert {row["output"] for row in data["rows"]} == {"Y", "dX", "dW"}
    assert outputs[1].read_text().count("\n| `nvidia`") == sum(row["recipe"] == "nvidia" for row in data["rows"])
    with open(outputs[2], newline="") as file:
        assert len(list(csv.DictReader(file))) == len(data["rows"])
    assert ElementTree.fromstring(outputs[3].read_bytes()).tag.endswith("svg")


def test_layer_fail_on(run, layer):
    result = run(*LAYER, "--layer", *layer, "--fail-on", "biased")
    assert result.exit_code == 1
    assert "fp4sim: failed: nvidia Y (exact): biased" in result.stderr


def test_layer_errors(run, layer, checkpoint, tmp_path):
    narrow = tmp_path / "narrow.npy"
    np.save(narrow, np.ones((128, 64), np.float32))
    cases = {
        "--layer needs --recipe": ("bias", "--layer", *layer),
        "x must end in": (*LAYER, "--layer", narrow, *layer[1:]),
        "holds 4 tensors": (*LAYER, "--layer", checkpoint, *layer[1:]),
        "unknown recipe": ("bias", "--recipe", "nonsense", "--layer", *layer),
        "--curve and --recipe": (*LAYER, "--curve", tmp_path / "c.png"),
        "--estimators and --recipe": (*LAYER, "-e", "nvfp4"),
        "--axis or --elements and --recipe": (*LAYER, "--axis", 0),
    }
    for says, args in cases.items():
        result = run(*args)
        assert (result.exit_code, result.stdout) == (2, "")
        assert says in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_matplotlib_is_loaded_for_figures_alone():
    script = (
        "import sys; from fp4sim.cli.app import app\n"
        "app(['bias', 'synthetic:gaussian:4x128', '--draws', '2', '--json'], standalone_mode=False)\n"
        "sys.exit(any(name.split('.')[0] == 'matplotlib' for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")


def test_plots_leave_pyplot_alone():
    script = (
        "import sys, fp4sim; from fp4sim.report.figures.concentration import figure as concentration_figure\n"
        "concentration_figure(fp4sim.bias('synthetic:gaussian:4x128', draws=4))\n"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")
