"""``fp4sim plot`` and ``fp4sim.plot``: every kind from tensors, saved results and formats, and every refusal in one line."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

import fp4sim
from fp4sim.errors import NothingComparedError, UnreadableError, UsageError
from fp4sim.report.figures.registry import KINDS
from fp4sim.report.figures.style import save_figure

SMALL = "synthetic:gaussian:16x128"
SIGNATURES = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


@pytest.fixture
def dump(tmp_path):
    x = np.random.default_rng(0).standard_normal((16, 64)).astype(np.float32)
    packed = fp4sim.quantize(x, "nvfp4")
    codes = np.array(packed.codes)
    codes[:, 5] ^= 1
    path = tmp_path / "dump.npz"
    np.savez(path, x=x, codes=codes, block_scale=packed.block_scale, tensor_scale=packed.tensor_scale)
    return path


FROM_TENSORS = [name for name in KINDS if name != "mismatch"]
WRITTEN = [(kind, ".svg") for kind in FROM_TENSORS] + [
    ("snr", ".png"),
    ("snr", ".pdf"),
    ("heat", ".png"),
    ("heat", ".pdf"),
]
RARER = [(kind, suffix) for kind in FROM_TENSORS for suffix in SIGNATURES if (kind, suffix) not in WRITTEN]


@pytest.mark.parametrize(
    ("kind", "suffix"), [*WRITTEN, *(pytest.param(*case, marks=pytest.mark.slow) for case in RARER)]
)
def test_every_kind_is_written(kind, suffix, run, tmp_path):
    path = tmp_path / f"figure{suffix}"
    sources = {"sweep": [], "sr-bias": [], "gemm": [SMALL, SMALL + ":seed=1"]}.get(kind, [SMALL])
    done = run("plot", kind, *sources, "-o", path, "--draws", 4)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")
    assert path.read_bytes().startswith(SIGNATURES[suffix])
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_a_dump_and_a_saved_result_give_the_same_figure(run, dump, tmp_path):
    assert run("plot", "mismatch", dump, "-f", "nvfp4", "-o", tmp_path / "a.svg").exit_code == 0
    assert run("verify", dump, "--spec", "nvfp4", "-o", tmp_path / "r.json").exit_code == 1
    assert run("plot", "mismatch", tmp_path / "r.json", "-o", tmp_path / "b.svg").exit_code == 0
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_compare_s_json_is_drawn_as_its_tensors_are(run, tmp_path):
    formats = ("-f", "nvfp4,mxfp4")
    assert run("compare", SMALL, *formats, "-o", tmp_path / "r.json").exit_code == 0
    for kind in ("snr", "pareto", "occupancy", "scale-bytes"):
        assert run("plot", kind, tmp_path / "r.json", "-o", tmp_path / "a.svg").exit_code == 0
        assert run("plot", kind, SMALL, *formats, "-o", tmp_path / "b.svg").exit_code == 0
        assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_list(run):
    done = run("plot", "--list", env={"COLUMNS": "100"})
    assert done.exit_code == 0
    assert all(name in done.stdout for name in KINDS)
    assert max(map(len, done.stdout.splitlines())) <= 100
    rows = json.loads(run("plot", "--list", "--json").stdout)
    assert rows["schema"] == "fp4sim.figures/1"
    assert [row["name"] for row in rows["figures"]] == list(KINDS)


def test_tensors_are_chosen_by_name(run, tmp_path):
    path = tmp_path / "two.npz"
    rng = np.random.default_rng(0)
    np.savez(path, keep=rng.standard_normal((4, 32)), leave=rng.standard_normal((4, 32)))
    chosen = ("--include", "keep", "-f", "nvfp4", "--no-caption", "-o", tmp_path / "a.svg")
    assert run("plot", "heat", path, *chosen).exit_code == 0
    figure = fp4sim.plot({"keep": np.load(path)["keep"]}, "heat", "nvfp4")
    assert figure.axes[0].get_title(loc="left") == "keep"
    save_figure(figure, tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


REFUSED = {
    "no KIND": (2, ["-o", "{}/x.png"]),
    "no figure 'pie'; there are snr": (2, ["pie", "-o", "{}/x.png"]),
    "say where to, e.g. -o snr.png": (2, ["snr", SMALL]),
    "suffix is one of .png .svg .pdf": (2, ["snr", SMALL, "-o", "{}/x.gif"]),
    "the folder does not exist": (2, ["snr", SMALL, "-o", "{}/none/x.png"]),
    "no such file": (3, ["snr", "{}/none.npy", "-o", "{}/x.png"]),
    "sr-bias is drawn from --formats alone": (2, ["sr-bias", SMALL, "-o", "{}/x.png"]),
    "the bias by position is that of +sr alone": (2, ["sr-bias", "-f", "nvfp4", "-o", "{}/x.png"]),
    "mismatch takes one SOURCE": (2, ["mismatch", "-o", "{}/x.png"]),
    "say what the kernel should compute": (2, ["mismatch", "{}/dump.npz", "-o", "{}/x.png"]),
    "no case 'b'": (2, ["mismatch", "{}/dump.npz", "-f", "nvfp4", "--case", "b", "-o", "{}/x.png"]),
    "gemm takes two SOURCEs": (2, ["gemm", SMALL, "-o", "{}/x.png"]),
    "FILE::TENSOR names an operand": (2, ["gemm", SMALL, SMALL, "--include", "a", "-o", "{}/x.png"]),
    "heat has no cases": (2, ["heat", SMALL, "--case", "b", "-o", "{}/x.png"]),
    "--json goes with --list": (2, ["snr", SMALL, "--json", "-o", "{}/x.png"]),
    "heat is measured from tensors, not from a result of compare": (2, ["heat", "{}/r.json", "-o", "{}/x.png"]),
    "go with tensors": (2, ["snr", "{}/r.json", "-f", "nvfp4", "-o", "{}/x.png"]),
    "a saved result is drawn alone": (2, ["snr", "{}/r.json", SMALL, "-o", "{}/x.png"]),
    "newer than fp4sim": (3, ["snr", "{}/new.json", "-o", "{}/x.png"]),
    "is not JSON": (3, ["snr", "{}/torn.json", "-o", "{}/x.png"]),
    "it has no schema": (3, ["snr", "{}/other.json", "-o", "{}/x.png"]),
    "newer than": (3, ["snr", "{}/compact.json", "-o", "{}/x.png"]),
    "nothing to compare": (5, ["heat", SMALL, "--exclude", "*", "-o", "{}/x.png"]),
    "column 1": (2, ["snr", SMALL, "-f", "fp4", "-o", "{}/x.png"]),
}


@pytest.mark.parametrize("says", REFUSED)
def test_refusals_are_one_line_and_leave_no_file(says, run, dump, tmp_path):
    run("compare", SMALL, "-o", tmp_path / "r.json")
    new = json.loads((tmp_path / "r.json").read_text()) | {"schema": "fp4sim.compare/99"}
    (tmp_path / "new.json").write_text(json.dumps(new))
    (tmp_path / "compact.json").write_text(json.dumps(new, separators=(",", ":"), sort_keys=True))
    (tmp_path / "torn.json").write_text(json.dumps(new)[:-1])
    (tmp_path / "other.json").write_text("{}")
    before = set(tmp_path.iterdir())
    code, args = REFUSED[says]
    done = run("plot", *(str(arg).replace("{}", str(tmp_path)) for arg in args))
    assert (done.exit_code, done.stdout) == (code, "")
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert set(tmp_path.iterdir()) == before


def test_plot_takes_results_arrays_mappings_and_paths(dump, tmp_path):
    x = np.random.default_rng(0).standard_normal((8, 64)).astype(np.float32)
    compared = fp4sim.compare(x)
    compared.save(tmp_path / "r.json")
    for source in (compared, tmp_path / "r.json", str(tmp_path / "r.json")):
        assert fp4sim.plot(source, "snr").axes[0].get_ylabel() == "SNR, dB"
    assert fp4sim.plot({"a": x, "b": x}, "fours").axes[0].get_xlabel() == "blocks on 4, %"
    assert fp4sim.plot(x[0], "ratios", "nvfp4").axes[0].get_ylabel() == "elements, %"
    assert fp4sim.plot(dump, "mismatch", "nvfp4").subfigs
    assert fp4sim.plot(kind="sr-bias").axes
    assert fp4sim.plot(fp4sim.bias(x, "nvfp4+sr", draws=4), "concentration").axes
    assert fp4sim.plot(compared, "pareto", caption=True).get_supxlabel().startswith("Relative squared error")
    assert fp4sim.plot(compared, "pareto").get_supxlabel() == ""


@pytest.mark.parametrize(
    ("args", "error", "says"),
    [
        ((None, "snr"), UsageError, "snr needs something to draw"),
        ((np.ones((2, 16)), "sweep"), UsageError, "drawn from formats alone"),
        ((np.ones((2, 16)), "mismatch"), UsageError, "takes a result of fp4sim.verify"),
        ((np.ones((2, 16)), "gemm"), UsageError, "takes a result of fp4sim gemm"),
        ((np.array([[np.nan] * 16]), "heat"), UnreadableError, "holds nan"),
        (({}, "heat"), NothingComparedError, "nothing to compare"),
        ((np.ones((2, 16)), "nothing"), UsageError, "no figure 'nothing'"),
    ],
)
def test_plot_refuses(args, error, says):
    with pytest.raises(error, match=says):
        fp4sim.plot(*args)


def test_help_and_lists_load_no_matplotlib():
    script = (
        "import sys; from fp4sim.cli.app import app\n"
        "app(['plot', '--list', '--json'], standalone_mode=False)\n"
        "sys.exit(any(name.split('.')[0] == 'matplotlib' for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_manifest_of_a_dump_is_no_result(run, tmp_path):
    x = np.linspace(-1, 1, 512, dtype=np.float32).reshape(16, 32)
    (tmp_path / "x.bin").write_bytes(x.tobytes())
    (tmp_path / "codes.bin").write_bytes(fp4sim.quantize(x, "nvfp4").packed.tobytes())
    arrays = {
        "x": {"file": "x.bin", "dtype": "float32", "shape": [16, 32]},
        "codes": {"file": "codes.bin", "dtype": "uint8", "shape": [16, 16]},
    }
    (tmp_path / "m.json").write_text(json.dumps({"schema": "fp4sim.dump/1", "arrays": arrays}))
    done = run("plot", "mismatch", tmp_path / "m.json", "-f", "nvfp4", "-o", tmp_path / "m.png")
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "m.png").read_bytes().startswith(b"\x89PNG")
